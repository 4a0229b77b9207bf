"""Log-probabilities in the two shapes that OpenAI's API has for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from serving.engine.interface import TokenLogprob

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BYTE = re.compile(r"^<0x([0-9A-Fa-f]{2})>$")
LOWEST = -9999.0
"""OpenAI's own stand-in for minus infinity, which JSON cannot hold."""


@lru_cache(maxsize=1)
def _byte_of() -> dict[str, int]:
    """GPT-2's printable stand-ins for the 256 bytes, backwards (Radford et al. 2019, bytes_to_unicode)."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + i): byte for i, byte in enumerate(others)}


def token_bytes(tokenizer: PreTrainedTokenizerBase, token: int | bytes) -> bytes:
    """The bytes that a token stands for; of a part of a character, just these."""
    if isinstance(token, bytes):
        return token
    text = str(tokenizer.decode([token], skip_special_tokens=False, clean_up_tokenization_spaces=False))
    if "\ufffd" not in text:
        return text.encode()
    piece = str(tokenizer.convert_ids_to_tokens(token))
    if match := BYTE.match(piece):
        return bytes([int(match[1], 16)])
    if all(letter in _byte_of() for letter in piece):
        return bytes(_byte_of()[letter] for letter in piece)
    return text.encode()


def finite(logprob: float) -> float:
    """A log-probability that JSON can hold."""
    return max(logprob, LOWEST)


def chat(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    """`choices[].logprobs` of a chat completion."""

    def entry(token: int | bytes, logprob: float) -> dict[str, Any]:
        raw = token_bytes(tokenizer, token)
        return {"token": raw.decode(errors="replace"), "bytes": list(raw), "logprob": finite(logprob)}

    return {
        "content": [
            {
                **entry(token.id, token.logprob if token.logprob is not None else LOWEST),
                "top_logprobs": [entry(id, logprob) for id, logprob in token.top],
            }
            for token in tokens
        ],
        "refusal": None,
    }


def text(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[TokenLogprob], offset: int = 0) -> dict[str, Any]:
    """`choices[].logprobs` of a text completion; `offset` is the position of the first token in the text."""
    names, offsets = [], []
    for token in tokens:
        name = token_name(tokenizer, token.id)
        names.append(name)
        offsets.append(offset)
        offset += len(name)
    return {
        "tokens": names,
        "token_logprobs": [None if token.logprob is None else finite(token.logprob) for token in tokens],
        "top_logprobs": [
            None if token.logprob is None else {token_name(tokenizer, id): finite(value) for id, value in token.top}
            for token in tokens
        ],
        "text_offset": offsets,
    }


def token_name(tokenizer: PreTrainedTokenizerBase, token: int | bytes) -> str:
    """A token as a key: its text, or `bytes:\\x..` for a part of a character, as OpenAI writes it."""
    raw = token_bytes(tokenizer, token)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in raw)
