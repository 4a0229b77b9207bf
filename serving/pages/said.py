"""What components say, in the language of the page."""

from __future__ import annotations

from components import sentences
from serving.pages.words import Words


def said(words: Words, text: str) -> str:
    """A component's sentence in the page's language; any other text as it is.

    What was filled in is set apart (U+2068, U+2069), so that names and figures keep their own direction.
    """
    found = sentences.read(text)
    if found is None:
        return text
    code, values = found
    if words.told is sentences.SENTENCES:
        return text
    return words.told[code].format(**{name: f"\u2068{value}\u2069" for name, value in values.items()})
