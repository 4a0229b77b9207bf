"""Text from tokens as they come, never half a character.

One character may need several tokens (an emoji in a byte-level vocabulary), and a token's
text may depend on the one before it (leading spaces in a SentencePiece vocabulary). So the
last few tokens are decoded together with each new one, and what they add is the new text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

REPLACEMENT = "\ufffd"


class Detokenizer:
    """Feeds on token ids, gives text; the pieces together are the decoding of the whole."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._start = 0
        """First token that is decoded again."""
        self._read = 0
        """Tokens whose text was given already."""
        self._known = ""
        """Text of the tokens from `_start` to `_read`."""

    def push(self, token: int) -> str:
        """The text that this token completes; empty in the middle of a character."""
        self._ids.append(token)
        return self._advance(final=False)

    def flush(self) -> str:
        """What is left at the end: an unfinished character becomes U+FFFD."""
        return self._advance(final=True)

    def _advance(self, *, final: bool) -> str:
        text = self._decode(self._ids[self._start :])
        if len(text) <= len(self._known) or (text.endswith(REPLACEMENT) and not final):
            return ""
        new = text[len(self._known) :]
        self._start, self._read = self._read, len(self._ids)
        self._known = self._decode(self._ids[self._start :])
        return new

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
