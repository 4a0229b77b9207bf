"""POST /v1/chat/completions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
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
    grammar_of,
    headers,
    keep,
    new_id,
    resolve,
    room,
    runtime_of,
    sampling,
    submit_all,
)
from serving.api.errors import RESPONSES
from serving.api.merged import merged
from serving.api.requests import ChatMessage, ChatRequest
from serving.api.responses import ChatCompletion
from serving.api.sse import EventStream
from serving.engine.interface import Finished
from serving.runtime import Runtime
from serving.versions import Served

router = APIRouter()

UNRECORDED = {"messages", "model", "stream", "stream_options"}


@router.post("/v1/chat/completions", responses=RESPONSES, response_model=ChatCompletion, tags=["answers"])
async def chat_completions(body: ChatRequest, http: Request) -> Response:
    """Answer a conversation; OpenAI's Create chat completion."""
    talk = await begin(runtime_of(http), body)
    if body.stream:
        return EventStream(talk.chunks(), headers(talk.served))
    async with cancelled_with(http, talk.asked):
        return JSONResponse(await talk.whole(), headers=headers(talk.served))


async def begin(runtime: Runtime, body: ChatRequest) -> Conversation:
    """Check a request against the version that will answer it, and queue it; the page asks this way too."""
    served = await resolve(runtime, body.model)
    messages = served.with_system([plain(message) for message in body.messages])
    prompt = await asyncio.to_thread(served.prompt_ids, messages)
    wanted = body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens
    how = sampling(
        body,
        served,
        max_tokens=room(served, prompt, wanted, "messages"),
        top_logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        grammar=grammar_of(body.response_format),
    )
    completion = new_id("chatcmpl")
    asked = choices(runtime, served, completion, [prompt], [how], body.n or 1, bool(body.stream))
    submit_all(asked)
    return Conversation(runtime, served, completion, messages, body, asked)


def plain(message: ChatMessage) -> Message:
    """OpenAI's message as every part of Saqia knows it; `developer` is the newer word for `system`."""
    match message.role:
        case "system" | "developer":
            return Message(role="system", content=message.text)
        case "user":
            return Message(role="user", content=message.text)
        case "assistant":
            return Message(role="assistant", content=message.text)


class Conversation:
    """One request on its way to an answer, whole or in chunks."""

    def __init__(
        self,
        runtime: Runtime,
        served: Served,
        id: str,
        messages: tuple[Message, ...],
        body: ChatRequest,
        asked: list[Asked],
    ) -> None:
        self._runtime = runtime
        self.served = served
        self.id = id
        self._messages = messages
        self._body = body
        self.asked = asked
        self._created = int(time.time())

    async def whole(self) -> dict[str, Any]:
        """The completion object; its answers are on disk by then."""
        answers = await asyncio.gather(*(one.finished() for one in self.asked))
        await self._keep(answers)
        return {
            **self._head("chat.completion"),
            "choices": [
                {
                    "index": index,
                    "message": {"role": "assistant", "content": answer.text, "refusal": None, "annotations": []},
                    "logprobs": self._logprobs(answer.tokens),
                    "finish_reason": answer.reason,
                }
                for index, answer in enumerate(answers)
            ],
            "usage": self._usage(answers),
        }

    async def chunks(self) -> AsyncIterator[Mapping[str, Any]]:
        """The completion's chunks; the last ones are held until the answers are on disk."""
        for index in range(len(self.asked)):
            yield self._chunk(index, {"role": "assistant", "content": "", "refusal": None})
        ends: dict[int, Finished] = {}
        sent = dict.fromkeys(range(len(self.asked)), 0)
        async for index, event in merged(self.asked):
            if isinstance(event, Finished):
                ends[index] = event
            else:
                sent[index] += len(event.tokens)
                yield self._chunk(index, {"content": event.text}, self._logprobs(event.tokens))
        answers = [ends[index] for index in range(len(self.asked))]
        await self._keep(answers)
        for index, answer in enumerate(answers):
            # Tokens without text of their own (a half character at the very end) still have log-probabilities.
            rest = self._logprobs(answer.tokens[sent[index] :]) if sent[index] < len(answer.tokens) else None
            yield self._chunk(index, {}, rest, answer.reason)
        if self._body.include_usage:
            yield {**self._head("chat.completion.chunk"), "choices": [], "usage": self._usage(answers)}

    def _chunk(
        self, index: int, delta: dict[str, Any], scores: dict[str, Any] | None = None, reason: str | None = None
    ) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": scores, "finish_reason": reason}
        usage = {"usage": None} if self._body.include_usage else {}
        return {**self._head("chat.completion.chunk"), "choices": [choice], **usage}

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self._created,
            "model": self.served.name,
            "system_fingerprint": self.served.fingerprint,
        }

    def _logprobs(self, tokens: Any) -> dict[str, Any] | None:
        return logprobs.chat(self.served.tokenizer, tokens) if self._body.logprobs else None

    def _usage(self, answers: list[Finished]) -> dict[str, int]:
        prompt = len(self.asked[0].request.prompt)
        completion = sum(len(answer.ids) for answer in answers)
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

    async def _keep(self, answers: list[Finished]) -> None:
        parameters = self._body.model_dump(exclude_none=True, exclude=UNRECORDED, exclude_unset=True, by_alias=True)
        for index, (one, answer) in enumerate(zip(self.asked, answers, strict=True)):
            await keep(
                self._runtime,
                self.served,
                one,
                answer,
                id=choice_id(self.id, index),
                messages=self._messages,
                parameters=parameters,
            )
