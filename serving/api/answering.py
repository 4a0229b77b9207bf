"""From a checked request body to an engine's events, on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from fastapi import Request as HttpRequest

from components.feedback.answers import AnswerTable, Unstorable
from components.feedback.store import StoreError
from components.models import ModelError, first_line
from components.schema import Interaction, Message
from components.stage import StageError
from components.task import Task
from serving.access.context import current
from serving.api import metrics
from serving.api.errors import ApiError, invalid, of_engine
from serving.api.requests import JsonObjectFormat, JsonSchemaFormat, SamplingBody
from serving.engine.grammar import GrammarError, json_grammar
from serving.engine.interface import Delta, EngineError, Event, Finished, Request, Sampling, Stopping
from serving.runtime import Runtime
from serving.strategies.plan import Form
from serving.tracing import count_tokens
from serving.versions import NoVersionYet, Served, UnknownModel

log = logging.getLogger("saqia.answers")


def runtime_of(request: HttpRequest) -> Runtime:
    """The running parts; 503 while the service is still starting."""
    runtime = getattr(request.app.state, "runtime", None)
    if runtime is None:
        raise ApiError(503, "The service is starting.", code="starting", kind="server_error")
    assert isinstance(runtime, Runtime)
    return runtime


async def resolve(runtime: Runtime, model: str, user: str | None = None) -> Served:
    """The version that a request's `model` names, loaded if need be, or OpenAI's error for none.

    user: who asks, or what the conversation began with: while a canary is tried, the same one answers throughout.
    """
    try:
        served = runtime.versions.resolve(model, user)
        runtime.rollout.used(served.version)
        return served
    except NoVersionYet:
        why, retry = runtime.why_none(), {"Retry-After": "30"}
        raise ApiError(503, why, param="model", code="no_version_yet", kind="server_error", headers=retry) from None
    except UnknownModel as error:
        unknown = ApiError(404, str(error), param="model", code="model_not_found")
    which = runtime.versions.registered(model)
    if which is None:
        raise unknown
    try:
        brought = await asyncio.to_thread(runtime.rollout.bring, which)
    except (ModelError, StageError, EngineError, OSError) as error:
        message = f"The model '{model}' cannot be served: {first_line(error)}"
        raise ApiError(503, message, param="model", code="model_refused", kind="server_error") from None
    if brought is None:
        raise unknown
    runtime.rollout.used(brought.version)
    return brought


def sampling(
    body: SamplingBody,
    served: Served,
    *,
    max_tokens: int,
    top_logprobs: int | None,
    grammar: str | None = None,
    schema: str | None = None,
) -> Sampling:
    """The body's sampling parameters as the engine takes them."""
    biases = {int(token): value for token, value in (body.logit_bias or {}).items()}
    size = served.engine.vocabulary(served.version)
    for token in biases:
        if token >= size:
            raise invalid(
                "logit_bias", f"Invalid 'logit_bias': token {token} is not in the vocabulary (0 to {size - 1})."
            )
    return Sampling(
        max_tokens=max_tokens,
        temperature=1.0 if body.temperature is None else body.temperature,
        top_p=1.0 if body.top_p is None else body.top_p,
        seed=secrets.randbits(63) if body.seed is None else body.seed,
        frequency_penalty=body.frequency_penalty or 0.0,
        presence_penalty=body.presence_penalty or 0.0,
        logit_bias=biases,
        stop=body.stops,
        top_logprobs=top_logprobs,
        grammar=grammar,
        schema=schema,
    )


def room(served: Served, prompt: Sequence[int], wanted: int | None, param: str) -> int:
    """How many tokens may be generated; 400 with the counts where the prompt leaves no room."""
    context = served.context
    left = context - len(prompt)
    if wanted and left >= 1 and wanted > left:
        raise ApiError(
            400,
            f"This model's maximum context length is {context} tokens. However, you requested {len(prompt) + wanted} "
            f"tokens ({len(prompt)} in the {param}, {wanted} in the completion). Please reduce the length of the "
            f"{param} or of the completion.",
            param=param,
            code="context_length_exceeded",
        )
    if left < 1 and wanted != 0:
        raise ApiError(
            400,
            f"This model's maximum context length is {context} tokens, and at least 1 of them is the answer's. "
            f"However, your {param} resulted in {len(prompt)} tokens. Please reduce the length of the {param}.",
            param=param,
            code="context_length_exceeded",
        )
    if left < 0:
        raise ApiError(
            400,
            f"This model's maximum context length is {context} tokens. However, your {param} resulted in "
            f"{len(prompt)} tokens. Please reduce the length of the {param}.",
            param=param,
            code="context_length_exceeded",
        )
    return left if wanted is None else wanted


def form_of(response_format: object) -> Form:
    """What `response_format` holds an answer to."""
    match response_format:
        case JsonObjectFormat():
            schema: dict[str, Any] = {"type": "object"}
        case JsonSchemaFormat(json_schema=wanted):
            if wanted.schema_ is None:
                raise invalid("response_format", "Missing required parameter: 'response_format.json_schema.schema'.")
            schema = wanted.schema_
        case _:
            return Form()
    text = json.dumps(schema)
    try:
        return Form(json_grammar(text), text)
    except GrammarError as error:
        param = "response_format.json_schema.schema"
        raise invalid(param, f"Invalid schema for response_format: {error}", code="invalid_json_schema") from None


class Asked:
    """One prompt on its way through the engine; events come out on the event loop."""

    def __init__(
        self,
        runtime: Runtime,
        served: Served,
        id: str,
        prompt: Sequence[int],
        how: Sampling,
        *,
        stream: bool,
        messages: Sequence[Message] = (),
        text: str | None = None,
    ) -> None:
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._served = served
        self._judge = runtime.rollout.judge
        self._context = current()
        self.request = Request(
            id=id,
            model=served.version,
            prompt=tuple(prompt),
            sampling=how,
            on_event=self._from_engine,
            messages=tuple(messages),
            text=text,
            stream=stream,
            deadline=time.monotonic() + runtime.settings.serving.deadline_seconds,
        )

    def submit(self) -> None:
        """Queue it. Raises EngineError where the engine refuses."""
        try:
            self._served.engine.submit(self.request)
        except EngineError as error:
            self._failed(error)
            raise

    def cancel(self) -> None:
        """The client has gone."""
        self.request.cancelled = True

    async def events(self) -> AsyncGenerator[Event, None]:
        """Deltas, then the end. Leaving early cancels the request.

        Text that came while the one before was being sent comes in one piece: a token may take a millisecond,
        sending one takes longer, and nobody is served by a queue of chunks.
        """
        held: Event | None = None
        try:
            while True:
                event, held = held or await self._events.get(), None
                while isinstance(event, Delta) and held is None and not self._events.empty():
                    more = self._events.get_nowait()
                    if isinstance(more, Delta):
                        event = Delta(event.text + more.text, event.tokens + more.tokens)
                    else:
                        held = more
                if isinstance(event, Finished):
                    metrics.record(self.request, len(event.ids))
                    to_first = self.request.first_token and self.request.first_token - self.request.submitted
                    count_tokens(self.request.prompt_tokens, len(event.ids), to_first)
                    if event.error is not None:
                        self._failed(event.error)
                        raise of_engine(event.error)
                    yield event
                    return
                yield event
        finally:
            self.cancel()

    async def finished(self) -> Finished:
        """The whole answer."""
        async for event in self.events():
            if isinstance(event, Finished):
                return event
        raise AssertionError("an engine ends every request")

    def _failed(self, error: EngineError) -> None:
        """An error that is no answer to something impossible, and not the whole service's, is the version's own."""
        if self._judge is not None and of_engine(error).status >= 500 and not isinstance(error, Stopping):
            self._judge.failed(self._served)

    def _from_engine(self, event: Event) -> None:
        if isinstance(event, Finished):  # also of a client that has gone: it was generated
            self._context.spend(len(event.ids))
        # The loop is closed where the service went down before the engine did.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)


def submit_all(asked: Sequence[Asked]) -> None:
    """All of them or none: a request for n answers does not get some.

    Raises:
        EngineError: the engine refuses.
        ApiError: 429, the prompts are more tokens than the key has left this minute.
    """
    current().reserve(sum(len(prompt) for prompt in {one.request.prompt for one in asked}))
    for number, one in enumerate(asked):
        try:
            one.submit()
        except BaseException:
            for submitted in asked[:number]:
                submitted.cancel()
            raise


def choices(
    runtime: Runtime,
    served: Served,
    id: str,
    prompts: Sequence[Sequence[int]],
    how: Sequence[Sampling],
    n: int,
    stream: bool,
    *,
    messages: Sequence[Message] = (),
    texts: Sequence[str | None] | None = None,
) -> list[Asked]:
    """Every prompt n times, in OpenAI's order; the k-th answer draws from seed + k."""
    asked = []
    for prompt, sampling_of_prompt, text in zip(prompts, how, texts or [None] * len(prompts), strict=True):
        for k in range(n):
            seed = sampling_of_prompt.seed
            one = replace(sampling_of_prompt, seed=None if seed is None else seed + k)
            asked.append(Asked(runtime, served, id, prompt, one, stream=stream, messages=messages, text=text))
    return asked


@contextlib.asynccontextmanager
async def cancelled_with(http: HttpRequest, asked: Sequence[Asked]) -> AsyncIterator[None]:
    """While inside, a client that hangs up cancels its requests."""

    async def watch() -> None:
        while True:
            if (await http.receive())["type"] == "http.disconnect":
                for one in asked:
                    one.cancel()
                return

    task = asyncio.create_task(watch())
    try:
        yield
    finally:
        task.cancel()
        for one in asked:
            one.cancel()


def new_id(prefix: str) -> str:
    """A completion's id."""
    return f"{prefix}-{secrets.token_hex(14)}"


def choice_id(completion: str, index: int) -> str:
    """The id under which the index-th answer of a completion is stored; the first has the completion's own."""
    return completion if index == 0 else f"{completion}:{index}"


async def keep(
    runtime: Runtime,
    served: Served,
    asked: Asked,
    answer: Finished,
    *,
    id: str,
    messages: Sequence[Message],
    parameters: dict[str, object],
    structured: bool = False,
) -> None:
    """Write one answer to the store; returns when it is on disk.

    structured: also as a row of the task's table of answers, unless it is no valid answer.

    Raises:
        ApiError: 503, since an answer that nobody can speak of later must not look like any other.
    """
    interaction = Interaction(
        id=id,
        created_at=datetime.now(UTC),
        task=runtime.task.name,
        model_version=served.version,
        messages=tuple(messages),
        answer=answer.text,
        finish_reason=answer.reason,
        prompt_tokens=asked.request.prompt_tokens,
        completion_tokens=len(answer.ids),
        latency_ms=1000 * (time.monotonic() - asked.request.submitted),
        parameters=parameters if served.trial is None else {**parameters, "trial": served.trial},
        logprob=answer.sureness,
        valid=_is_valid(runtime.task, messages, parameters, answer.text),
    )
    row = _row(runtime, interaction) if structured else None
    try:
        await runtime.writes.answer(interaction, row)
    except StoreError as error:
        raise ApiError(
            503, f"The answer could not be stored: {error}", code="store_error", kind="server_error"
        ) from None

    if structured:
        metrics.ANSWERS.labels(served.version, "invalid" if row is None else "stored").inc()
    runtime.mirror.add(interaction)
    if runtime.settings.serving.log_messages:
        said = {"messages": [message.model_dump() for message in messages], "answer": answer.text}
        log.info("interaction", extra={"completion": id, "version": served.version, **said})


def _is_valid(task: Task, messages: Sequence[Message], parameters: Mapping[str, object], text: str) -> bool | None:
    """Is it a valid answer of the task? None where something else was asked for."""
    system = "".join(message.content for message in messages if message.role == "system")
    if not messages or system != task.system or "response_format" in parameters:
        return None
    return task.parse(text) is not None


def _row(runtime: Runtime, interaction: Interaction) -> tuple[AnswerTable, dict[str, Any]] | None:
    """The answer as a row of the task's table; None where it is no valid answer."""
    try:
        return runtime.answers, runtime.answers.row(interaction.answer)
    except Unstorable:
        return None


def headers(served: Served) -> dict[str, str]:
    """Which version answered."""
    return {"x-saqia-version": served.version, "x-saqia-model": served.name}
