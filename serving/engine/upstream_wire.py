"""OpenAI's HTTP bodies: what a request becomes, and what an answer or a stream means."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from serving.engine.interface import BadGateway, Request, TokenLogprob, Unsupported

MOST_TOKENS = 1 << 20
"""More than this is no wish of the client's but a context that is not known here."""
ESCAPED = re.compile(r"\\x([0-9a-fA-F]{2})")


@dataclass(frozen=True)
class Piece:
    """A part of an answer, or all of it."""

    text: str
    tokens: tuple[TokenLogprob, ...] = ()
    reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    of_prompt: tuple[TokenLogprob, ...] = ()
    """Log-probabilities of the prompt itself, where the request asked for them."""

    def then(self, more: Piece) -> Piece:
        """Both, one after the other."""
        return Piece(
            self.text + more.text,
            self.tokens + more.tokens,
            more.reason or self.reason,
            self.prompt_tokens if more.prompt_tokens is None else more.prompt_tokens,
            self.completion_tokens if more.completion_tokens is None else more.completion_tokens,
            self.of_prompt + more.of_prompt,
        )


def body_of(request: Request, model: str) -> dict[str, Any]:
    """The request as the server's API takes it.

    Raises:
        Unsupported: it is held to a grammar that is no JSON schema.
    """
    how = request.sampling
    body: dict[str, Any] = {"model": model, "temperature": how.temperature, "top_p": how.top_p}
    if how.seed is not None:
        body["seed"] = how.seed
    if how.frequency_penalty:
        body["frequency_penalty"] = how.frequency_penalty
    if how.presence_penalty:
        body["presence_penalty"] = how.presence_penalty
    if how.logit_bias:
        body["logit_bias"] = {str(token): value for token, value in how.logit_bias.items()}
    if how.stop:
        body["stop"] = list(how.stop)
    if how.grammar is not None and how.schema is None:
        raise Unsupported("upstream", "response_format", "grammars other than a JSON schema")
    if request.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    if not request.messages:
        return body | _of_text(request)
    if how.schema is not None:
        named = {"name": "answer", "schema": json.loads(how.schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    if how.top_logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": how.top_logprobs}
    if how.max_tokens <= MOST_TOKENS:
        body["max_completion_tokens"] = how.max_tokens
    return body | {"messages": [{"role": message.role, "content": message.content} for message in request.messages]}


def _of_text(request: Request) -> dict[str, Any]:
    how = request.sampling
    body: dict[str, Any] = {"prompt": request.text if request.text is not None else list(request.prompt)}
    if how.schema is not None:
        raise Unsupported("upstream", "response_format", "JSON schemas in text completions")
    if how.max_tokens <= MOST_TOKENS:
        body["max_tokens"] = how.max_tokens
    if how.top_logprobs is not None or how.prompt_logprobs:
        body["logprobs"] = how.top_logprobs or 0
    if how.prompt_logprobs:
        body["echo"] = True
    return body


def of_response(request: Request, value: Mapping[str, Any]) -> Piece:
    """A whole answer. Raises BadGateway where it is none."""
    piece = _piece(request, value)
    if piece is None:
        raise BadGateway("the upstream server's answer has no choices")
    return replace(piece, reason=piece.reason or "stop")


async def pieces(request: Request, lines: AsyncIterator[str]) -> AsyncIterator[Piece]:
    """The parts of a streamed answer.

    Raises:
        BadGateway: the server says in the middle that it failed.
    """
    async for line in lines:
        if not line.startswith("data:"):
            continue
        data = line[5:].strip()
        if data == "[DONE]":
            return
        value = json.loads(data)
        if "error" in value:
            told = value["error"]
            message = told.get("message") if isinstance(told, dict) else told
            raise BadGateway(f"the upstream server failed in the middle of the answer: {message}")
        piece = _piece(request, value)
        if piece is not None:
            yield piece


def keeps_to(request: Request, whole: Piece, reason: str) -> None:
    """See that a server gave what was asked of it: some take a parameter and do nothing about it.

    Raises:
        BadGateway: naming what it left out.
    """
    how = request.sampling
    if how.top_logprobs is not None and whole.text and not whole.tokens:
        raise BadGateway("the upstream server gives no log-probabilities")
    if how.schema is None or reason != "stop":
        return
    import jsonschema

    try:
        jsonschema.validate(json.loads(whole.text), json.loads(how.schema))
    except (ValueError, jsonschema.ValidationError):
        raise BadGateway("the upstream server does not keep to response_format") from None


def _piece(request: Request, value: Mapping[str, Any]) -> Piece | None:
    usage = value.get("usage") or {}
    piece = Piece("", (), None, usage.get("prompt_tokens"), usage.get("completion_tokens"))
    choices = value.get("choices") or []
    if not choices:
        return piece if usage else None
    choice = choices[0]
    piece = replace(piece, reason=choice.get("finish_reason"))
    scores = choice.get("logprobs") or {}
    if request.messages:
        said = choice.get("delta") or choice.get("message") or {}
        return replace(piece, text=said.get("content") or "", tokens=_chat_tokens(scores))
    text, tokens = choice.get("text") or "", _text_tokens(scores)
    if not request.sampling.prompt_logprobs:
        return replace(piece, text=text, tokens=tokens)
    generated = piece.completion_tokens or 0
    if len(tokens) < generated:
        raise BadGateway("the upstream server does not give the log-probabilities of a prompt")
    first = len(tokens) - generated
    own = b"".join(token.id for token in tokens[first:] if isinstance(token.id, bytes)).decode(errors="replace")
    return replace(piece, text=own, tokens=tokens[first:], of_prompt=tokens[:first])


def _chat_tokens(scores: Mapping[str, Any]) -> tuple[TokenLogprob, ...]:
    return tuple(
        TokenLogprob(_bytes(entry), entry["logprob"], tuple((_bytes(e), e["logprob"]) for e in entry["top_logprobs"]))
        for entry in scores.get("content") or []
    )


def _bytes(entry: Mapping[str, Any]) -> bytes:
    return bytes(entry["bytes"]) if entry.get("bytes") is not None else str(entry["token"]).encode()


def _text_tokens(scores: Mapping[str, Any]) -> tuple[TokenLogprob, ...]:
    names = scores.get("tokens") or []
    values = scores.get("token_logprobs") or []
    tops = scores.get("top_logprobs") or [None] * len(names)
    return tuple(
        TokenLogprob(_named(name), value, tuple((_named(other), score) for other, score in (top or {}).items()))
        for name, value, top in zip(names, values, tops, strict=True)
    )


def _named(name: str) -> bytes:
    """The bytes of a token that OpenAI's text completions name; parts of a character are `bytes:\\xe2\\x80`."""
    if name.startswith("bytes:\\x"):
        return bytes(int(value, 16) for value in ESCAPED.findall(name))
    return name.encode()
