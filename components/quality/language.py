"""Is a text in one of the languages that a task is in? Said only where the text is long enough to tell."""

from __future__ import annotations

import re
from collections import Counter
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
    _check(tuple(languages))
    if identifier.classify(text)[0] in languages:  # quicker than to rank them all, and nearly always the answer
        return None
    (first, p_first), (second, p_second) = identifier.rank(text)[:2]
    # Close relatives (Arabic and its dialects) share the probability between them.
    sure = p_first if second in languages else p_first + p_second
    return str(first) if sure >= SURE else None


def languages_of(texts: Sequence[str], most_others: float, sample: int = 1000) -> list[str]:
    """The languages that texts are surely in, most frequent first, until at most `most_others` are in another one.

    Looks at `sample` of the texts, evenly spread. Texts too short to tell say nothing; [] where all are.
    """
    long = [text for text in texts if len(_NO_LETTER.sub("", text)) >= LETTERS]
    looked_at = long[:: max(1, len(long) // sample)]
    counts: Counter[str] = Counter()
    for text in looked_at:
        language, probability = _identifier().rank(text)[0]
        if probability >= SURE:
            counts[str(language)] += 1
    found: list[str] = []
    left = counts.total()
    for language, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if left <= most_others * len(looked_at):
            break
        found.append(language)
        left -= count
    return found


@cache
def _check(languages: tuple[str, ...]) -> None:
    known = _identifier().nb_classes
    unknown = sorted(set(languages) - set(known))
    if unknown:
        raise StageError(
            f"params.yaml: quality.languages: {unknown[0]!r} is unknown; "
            f"known are {', '.join(sorted(known))}, and [] checks no language"
        )


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
