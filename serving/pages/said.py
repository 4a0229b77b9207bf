"""What components say, in the language of the page."""

from __future__ import annotations

from components import sentences
from serving.pages.words import Words


def said(words: Words, text: str) -> str:
    """A component's sentence in the page's language; any other text as it is.

    What was filled in is set apart (U+2066 or U+2068, to U+2069): names keep their own direction, and figures, which
    have none, their sign before them.
    """
    found = sentences.read(text)
    if found is None:
        return text
    code, values = found
    if words.told is sentences.SENTENCES:
        return text
    told = {name: said(words, value) if name in sentences.NESTED else value for name, value in values.items()}
    return words.told[code].format(**{name: apart(value) for name, value in told.items()})


def apart(value: str) -> str:
    """A value that the text around it does not turn around."""
    begins = "\u2068" if any(map(str.isalpha, value)) else "\u2066"
    return f"{begins}{value}\u2069"
