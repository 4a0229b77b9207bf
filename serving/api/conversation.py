"""A chat completion on its way to the client, whole or in chunks: thoughts apart, votes counted, answers stored."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from components.schema import Message
from components.task import Shot
from serving.api import logprobs
from serving.api.answering import Asked, choice_id, keep
from serving.api.merged import merged
from serving.api.requests import ChatRequest
from serving.engine.interface import Finished
from serving.runtime import Runtime
from serving.strategies import thought
from serving.strategies.plan import Plan
from serving.strategies.vote import Vote, vote
from serving.versions import Served

UNRECORDED = {"messages", "model", "stream", "stream_options"}


@dataclass(frozen=True)
class Answer:
    """One answer as the client gets it."""

    asked: Asked
    end: Finished
    """As generated; its text is without the thoughts."""
    reasoning: str | None = None
    vote: Vote | None = None


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
        plan: Plan,
        opened: bool = False,
    ) -> None:
        self._runtime = runtime
        self.served = served
        self.id = id
        self._messages = messages
        self._body = body
        self.asked = asked
        self._plan = plan
        self._opened = opened
        self._created = int(time.time())

    @property
    def grounds(self) -> tuple[Shot, ...]:
        """The examples that the answer was given after."""
        return self._plan.shots

    async def whole(self) -> dict[str, Any]:
        """The completion object; its answers are on disk by then."""
        ends = await asyncio.gather(*(one.finished() for one in self.asked))
        answers = self._answers(ends)
        await self._keep(answers)
        return {
            **self._head("chat.completion"),
            "choices": [self._choice(index, answer) for index, answer in enumerate(answers)],
            "usage": self._usage(ends),
        }

    async def chunks(self) -> AsyncIterator[Mapping[str, Any]]:
        """The completion's chunks; the last ones are held until the answers are on disk.

        Where answers vote, there is nothing to show before all are whole: the winner comes in one piece.
        """
        voting = self._plan.samples > 1
        shown = 1 if voting else len(self.asked)
        for index in range(shown):
            yield self._chunk(index, {"role": "assistant", "content": "", "refusal": None})
        ends: dict[int, Finished] = {}
        sent = dict.fromkeys(range(len(self.asked)), 0)
        partings = [thought.Parting(self._opened) if self._plan.thinks else None for _ in self.asked]
        async for index, event in merged(self.asked):
            if isinstance(event, Finished):
                ends[index] = event
            else:
                sent[index] += len(event.tokens)
                parting = partings[index]
                parted = parting.push(event.text) if parting else thought.Parted("", event.text)
                for number, delta in enumerate(deltas(parted) or [{}] * bool(event.tokens)):
                    yield self._chunk(index, delta, self._logprobs(event.tokens) if number == 0 else None)
        in_order = [ends[index] for index in range(len(self.asked))]
        answers = self._answers(in_order)
        await self._keep(answers)
        for index, answer in enumerate(answers):
            if voting:
                for delta in deltas(thought.Parted(answer.reasoning or "", answer.end.text)):
                    yield self._chunk(index, delta, self._logprobs(answer.end.tokens))
            elif (parting := partings[index]) is not None:
                for delta in deltas(parting.flush()):
                    yield self._chunk(index, delta)
            # Tokens without text of their own (a half character at the very end) still have log-probabilities.
            left = () if voting else answer.end.tokens[sent[index] :]
            yield self._chunk(index, {}, self._logprobs(left) if left else None, answer.end.reason, answer.vote)
        if self._body.include_usage:
            yield {**self._head("chat.completion.chunk"), "choices": [], "usage": self._usage(in_order)}

    def _answers(self, ends: list[Finished]) -> list[Answer]:
        """What was generated as what is answered: thoughts apart, and of voting samples the winner."""
        answers = []
        for one, end in zip(self.asked, ends, strict=True):
            parted = thought.part(end.text, self._opened) if self._plan.thinks else None
            text, reasoning = (parted.content, parted.reasoning or None) if parted else (end.text, None)
            answers.append(Answer(one, replace(end, text=text), reasoning))
        if self._plan.samples == 1:
            return answers
        task = self._runtime.task
        counted = vote(
            [answer.end.text for answer in answers],
            lambda text: task.normalise(text) if task.parse(text) is not None else None,
        )
        return [replace(answers[counted.winner], vote=counted)]

    def _choice(self, index: int, answer: Answer) -> dict[str, Any]:
        message: dict[str, Any] = {
            "role": "assistant", "content": answer.end.text, "refusal": None, "annotations": []
        }  # fmt: skip
        choice = {
            "index": index,
            "message": message if answer.reasoning is None else {**message, "reasoning_content": answer.reasoning},
            "logprobs": self._logprobs(answer.end.tokens),
            "finish_reason": answer.end.reason,
        }
        return choice if answer.vote is None else {**choice, "vote_share": answer.vote.share}

    def _chunk(
        self,
        index: int,
        delta: dict[str, Any],
        scores: dict[str, Any] | None = None,
        reason: str | None = None,
        counted: Vote | None = None,
    ) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": scores, "finish_reason": reason}
        if counted is not None:
            choice["vote_share"] = counted.share
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

    def _usage(self, ends: list[Finished]) -> dict[str, int]:
        prompt = self.asked[0].request.prompt_tokens
        completion = sum(len(end.ids) for end in ends)
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

    async def _keep(self, answers: list[Answer]) -> None:
        parameters = self._body.model_dump(exclude_none=True, exclude=UNRECORDED, exclude_unset=True, by_alias=True)
        for index, answer in enumerate(answers):
            notes = dict(self._plan.notes)
            if answer.reasoning:
                notes["reasoning"] = answer.reasoning
            if answer.vote is not None:
                notes["vote_share"] = answer.vote.share
            await keep(
                self._runtime,
                self.served,
                answer.asked,
                answer.end,
                id=choice_id(self.id, index),
                messages=self._messages,
                parameters={**parameters, "prompting": notes} if notes else parameters,
                structured=bool(self._body.store),
            )


def deltas(parted: thought.Parted) -> list[dict[str, Any]]:
    """A piece of an answer as the deltas of a stream; thoughts under a name of their own."""
    found = [("reasoning_content", parted.reasoning), ("content", parted.content)]
    return [{name: text} for name, text in found if text]
