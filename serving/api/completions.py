"""POST /v1/completions: text in, its continuation out; with `echo` and `logprobs` also the text's own likelihood."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from components.schema import Message
from serving.api import logprobs
from serving.api.answering import (
    Asked,
    cancelled_with,
    choice_id,
    choices,
    headers,
    keep,
    new_id,
    resolve,
    room,
    runtime_of,
    sampling,
    submit_all,
)
from serving.api.errors import RESPONSES, invalid
from serving.api.merged import merged
from serving.api.requests import CompletionRequest
from serving.api.responses import TextCompletion
from serving.api.sse import EventStream
from serving.engine.interface import Finished, TokenLogprob
from serving.runtime import Runtime
from serving.versions import Served

router = APIRouter()

UNRECORDED = {"prompt", "model", "stream", "stream_options"}
MAX_PROMPTS = 256


@router.post("/v1/completions", responses=RESPONSES, response_model=TextCompletion, tags=["answers"])
async def completions(body: CompletionRequest, http: Request) -> Response:
    """Continue a text; OpenAI's Create completion. No system message is added."""
    runtime = runtime_of(http)
    served = await resolve(runtime, body.model)
    prompts = await asyncio.to_thread(token_prompts, body, served)
    if len(prompts) * (body.n or 1) > MAX_PROMPTS:
        raise invalid("prompt", f"Invalid 'prompt': at most {MAX_PROMPTS} prompts times n in one request.")
    wanted = 16 if body.max_tokens is None else body.max_tokens
    how = [
        replace(
            sampling(body, served, max_tokens=room(served, prompt, wanted, "prompt"), top_logprobs=body.logprobs),
            prompt_logprobs=bool(body.echo) and body.logprobs is not None,
        )
        for prompt in prompts
    ]
    completion = new_id("cmpl")
    asked = choices(runtime, served, completion, prompts, how, body.n or 1, bool(body.stream), texts=texts_of(body))
    work = Continuation(runtime, served, completion, body, asked)
    if wanted > 0 or body.logprobs is not None:
        submit_all(asked)
    else:
        return JSONResponse(work.echo_only(), headers=headers(served))
    if body.stream:
        return EventStream(work.chunks(), headers(served))
    async with cancelled_with(http, asked):
        return JSONResponse(await work.whole(), headers=headers(served))


def token_prompts(body: CompletionRequest, served: Served) -> list[list[int]]:
    """Every prompt as token ids, however it was sent."""
    prompt = body.prompt
    texts: list[str] | None = [prompt] if isinstance(prompt, str) else None
    ids: list[list[int]] = []
    if isinstance(prompt, list):
        if isinstance(prompt[0], str):
            texts = [part for part in prompt if isinstance(part, str)]
        elif isinstance(prompt[0], int):
            ids = [[token for token in prompt if isinstance(token, int)]]
        else:
            ids = [part for part in prompt if isinstance(part, list)]
    if texts is not None:
        ids = [list(served.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
    size = served.engine.vocabulary(served.version)
    for number, one in enumerate(ids):
        if not one:
            raise invalid("prompt", f"Invalid 'prompt': prompt {number} is empty.")
        if (wrong := next((token for token in one if token >= size), None)) is not None:
            raise invalid("prompt", f"Invalid 'prompt': token {wrong} is not in the vocabulary (0 to {size - 1}).")
    return ids


def texts_of(body: CompletionRequest) -> list[str | None]:
    """Every prompt as text where it was sent as text."""
    prompt = body.prompt
    several = prompt if isinstance(prompt, list) and not isinstance(prompt[0], int) else [prompt]
    return [one if isinstance(one, str) else None for one in several]


class Continuation:
    """One request on its way to its texts, whole or in chunks."""

    def __init__(self, runtime: Runtime, served: Served, id: str, body: CompletionRequest, asked: list[Asked]) -> None:
        self._runtime = runtime
        self._served = served
        self._id = id
        self._body = body
        self._asked = asked
        self._created = int(time.time())

    async def whole(self) -> dict[str, Any]:
        """The completion object; its answers are on disk by then."""
        answers = await asyncio.gather(*(one.finished() for one in self._asked))
        await self._keep(answers)
        return {
            **self._head(),
            "choices": [
                self._choice(index, self._echo(index) + answer.text, self._scores(index, answer), answer.reason)
                for index, answer in enumerate(answers)
            ],
            "usage": self._usage(answers),
        }

    async def chunks(self) -> AsyncIterator[Mapping[str, Any]]:
        """The completion's chunks; the last ones are held until the answers are on disk."""
        if self._body.echo:
            for index in range(len(self._asked)):
                yield self._chunk(self._choice(index, self._echo(index), None, None))
        ends: dict[int, Finished] = {}
        offsets = {index: len(self._echo(index)) for index in range(len(self._asked))}
        async for index, event in merged(self._asked):
            if isinstance(event, Finished):
                ends[index] = event
            else:
                scores = self._text_logprobs(event.tokens, offsets[index])
                yield self._chunk(self._choice(index, event.text, scores, None))
                offsets[index] += len(event.text)
        answers = [ends[index] for index in range(len(self._asked))]
        await self._keep(answers)
        for index, answer in enumerate(answers):
            yield self._chunk(self._choice(index, "", None, answer.reason))
        if self._body.include_usage:
            yield {**self._head(), "choices": [], "usage": self._usage(answers)}

    def echo_only(self) -> dict[str, Any]:
        """`max_tokens: 0` without `logprobs`: nothing to generate and nothing to score."""
        nothing = [Finished("", "length") for _ in self._asked]
        return {
            **self._head(),
            "choices": [self._choice(index, self._echo(index), None, "length") for index in range(len(nothing))],
            "usage": self._usage(nothing),
        }

    def _choice(self, index: int, text: str, scores: dict[str, Any] | None, reason: str | None) -> dict[str, Any]:
        return {"index": index, "text": text, "logprobs": scores, "finish_reason": reason}

    def _chunk(self, choice: dict[str, Any]) -> dict[str, Any]:
        usage = {"usage": None} if self._body.include_usage else {}
        return {**self._head(), "choices": [choice], **usage}

    def _head(self) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "text_completion",
            "created": self._created,
            "model": self._served.name,
            "system_fingerprint": self._served.fingerprint,
        }

    def _prompt_text(self, index: int) -> str:
        ids = list(self._asked[index].request.prompt)
        return str(self._served.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _echo(self, index: int) -> str:
        return self._prompt_text(index) if self._body.echo else ""

    def _scores(self, index: int, answer: Finished) -> dict[str, Any] | None:
        tokens = (*answer.prompt_tokens, *answer.tokens) if self._body.echo else answer.tokens
        return self._text_logprobs(tokens, 0)

    def _text_logprobs(self, tokens: tuple[TokenLogprob, ...], offset: int) -> dict[str, Any] | None:
        return None if self._body.logprobs is None else logprobs.text(self._served.tokenizer, tokens, offset)

    def _usage(self, answers: list[Finished]) -> dict[str, int]:
        prompt = sum(one.request.prompt_tokens for one in self._asked[:: self._body.n or 1])
        completion = sum(len(answer.ids) for answer in answers)
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

    async def _keep(self, answers: list[Finished]) -> None:
        """Store what was generated; scoring a text (echo of a benchmark) is no interaction."""
        if self._body.echo and self._body.logprobs is not None:
            return
        parameters = self._body.model_dump(exclude_none=True, exclude=UNRECORDED, exclude_unset=True)
        for index, (one, answer) in enumerate(zip(self._asked, answers, strict=True)):
            await keep(
                self._runtime,
                self._served,
                one,
                answer,
                id=choice_id(self._id, index),
                messages=(Message(role="user", content=self._prompt_text(index)),),
                parameters={**parameters, "endpoint": "completions"},
            )
