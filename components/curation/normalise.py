"""One spelling of the same text: Unicode NFC, plain spaces, no control or invisible characters."""

from __future__ import annotations

import re
import unicodedata

# Joiners (U+200C, U+200D) and direction marks (U+200E, U+200F) stay: Persian, Arabic and emoji need them.
# Direction overrides and isolates go, since they can show a reader another text than the model sees.
_INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SPACES = re.compile(r"[^\S\n]+")
_AROUND_NEWLINE = re.compile(r" ?\n ?")
_BLANK_LINES = re.compile(r"\n{3,}")


def normalise(text: str) -> str:
    """NFC; line ends as newline; runs of spaces as one; no control characters; at most one blank line; trimmed."""
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    text = _CONTROL.sub("", _INVISIBLE.sub("", text))
    text = _AROUND_NEWLINE.sub("\n", _SPACES.sub(" ", text))
    return _BLANK_LINES.sub("\n\n", text).strip()
