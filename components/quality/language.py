"""Is a text in one of the languages that a task is in? Said only where the text is long enough to tell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from components.stage import StageError

LETTERS = 40
"""Below so many letters a guess is too often wrong to count."""
SURE = 0.95
_NO_LETTER = re.compile(r"[\W\d_]+")


def other_language(text: str, languages: Sequence[str]) -> str | None:
    """The language (ISO 639-1) a text is surely in, if that is none of `languages`; None where it is or can't be told.

    Raises:
        StageError: a language that py3langid does not know.
    """
    if not languages or len(_NO_LETTER.sub("", text)) < LETTERS:
        return None
    identifier = _identifier()
    unknown = sorted(set(languages) - set(identifier.nb_classes))
    if unknown:
        raise StageError(
            f"params.yaml: quality.languages: {unknown[0]!r} is unknown; "
            f"known are {', '.join(sorted(identifier.nb_classes))}, and [] checks no language"
        )
    (first, p_first), (second, p_second) = identifier.rank(text)[:2]
    if first in languages:
        return None
    # Close relatives (Arabic and its dialects) share the probability between them.
    sure = p_first if second in languages else p_first + p_second
    return str(first) if sure >= SURE else None


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
