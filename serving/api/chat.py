"""POST /v1/chat/completions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from components.schema import Message
from serving.api.answering import (
    cancelled_with,
    choices,
    form_of,
    headers,
    new_id,
    resolve,
    room,
    runtime_of,
    sampling,
    submit_all,
)
from serving.api.conversation import Conversation
from serving.api.errors import RESPONSES, ApiError, of_engine
from serving.api.requests import ChatMessage, ChatRequest
from serving.api.responses import ChatCompletion
from serving.api.sse import EventStream
from serving.engine.interface import EngineError, Unloaded
from serving.runtime import Runtime
from serving.strategies import thought
from serving.strategies.nearest import NoExamples
from serving.strategies.plan import Plan
from serving.versions import Served

router = APIRouter()


@router.post("/v1/chat/completions", responses=RESPONSES, response_model=ChatCompletion, tags=["answers"])
async def chat_completions(body: ChatRequest, http: Request) -> Response:
    """Answer a conversation; OpenAI's Create chat completion."""
    runtime = runtime_of(http)
    talk = await begin(runtime, body)
    if body.stream:
        return EventStream(talk.chunks(), headers(talk.served))
    try:
        return await whole(http, talk)
    except ApiError as error:
        if (champion := instead_of(runtime, talk.served, error)) is None:
            raise
        return await whole(http, await ask(runtime, body, champion))


async def whole(http: Request, talk: Conversation) -> Response:
    """The answer at once."""
    async with cancelled_with(http, talk.asked):
        return JSONResponse(await talk.whole(), headers=headers(talk.served))


async def begin(runtime: Runtime, body: ChatRequest) -> Conversation:
    """Find the version that answers, and ask it; the page asks this way too."""
    served = await resolve(runtime, body.model, user_of(body))
    try:
        return await ask(runtime, body, served)
    except (ApiError, EngineError) as error:
        if (champion := instead_of(runtime, served, error)) is None:
            raise
        return await ask(runtime, body, champion)


def user_of(body: ChatRequest) -> str:
    """Who asks, where the client says so; else what the conversation began with, which later turns send again."""
    return body.user or next((message.text for message in body.messages if message.role == "user"), "")


def instead_of(runtime: Runtime, served: Served, error: ApiError | EngineError) -> Served | None:
    """The champion, for a request that a canary failed at: nobody shall suffer from a trial."""
    refusal = of_engine(error) if isinstance(error, EngineError) else error
    gone = isinstance(error, Unloaded)
    return runtime.versions.instead_of(served) if refusal.status >= 500 or gone else None


async def ask(runtime: Runtime, body: ChatRequest, served: Served) -> Conversation:
    """Check a request against the version that will answer it, and queue it.

    Where the client asks for the task and sends no system message, the task's own prompt, schema and
    strategies apply; what the client says itself (temperature, response_format) always wins.
    """
    sent = [plain(message) for message in body.messages]
    messages = served.with_system(sent)
    wanted = body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens
    helped = runtime.versions.helps(body.model) and not any(message.role == "system" for message in sent)
    helped = helped and not served.has_labels  # asked as it was taught, and its labels are all it can say
    plan = await planned(runtime, served, messages, body, wanted) if helped else Plan(messages)
    prompt = await asyncio.to_thread(served.prompt_ids, plan.prompt)
    most = room(served, prompt, wanted, "messages")
    opened = plan.thinks and await asyncio.to_thread(ends_open, served, prompt)
    form = form_of(body.response_format)
    if helped and body.response_format is None:
        form = runtime.strategies.form(served, plan, most, opened=opened)
    how = sampling(
        body,
        served,
        max_tokens=most,
        top_logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        grammar=form.grammar,
        schema=form.schema,
    )
    if served.has_labels and "temperature" not in body.model_fields_set:
        how = replace(how, temperature=0.0)  # the likeliest label, unless the client wants one drawn
    if plan.temperature is not None and "temperature" not in body.model_fields_set:
        how = replace(how, temperature=plan.temperature)
    completion = new_id("chatcmpl")
    stream = bool(body.stream) and plan.samples == 1
    asked = choices(
        runtime, served, completion, [prompt], [how], plan.samples * (body.n or 1), stream, messages=plan.prompt
    )
    submit_all(asked)
    return Conversation(runtime, served, completion, messages, body, asked, plan, opened)


async def planned(
    runtime: Runtime, served: Served, messages: tuple[Message, ...], body: ChatRequest, wanted: int | None
) -> Plan:
    """The task's strategies for this conversation."""
    room_for_answer = wanted or max(1, served.context // 4)

    def fits(prompt: Sequence[Message]) -> bool:
        return len(served.prompt_ids(prompt)) + room_for_answer <= served.context

    alone, free = (body.n or 1) == 1, body.response_format is None
    try:
        return await asyncio.to_thread(runtime.strategies.plan, messages, fits, alone=alone, think=free)
    except NoExamples as error:
        raise ApiError(503, str(error), code="examples_missing", kind="server_error") from None


def ends_open(served: Served, prompt: list[int]) -> bool:
    """Does the prompt itself end with <think>, as some models' chat templates have it?"""
    return str(served.tokenizer.decode(prompt[-8:], skip_special_tokens=False)).rstrip().endswith(thought.OPEN)


def plain(message: ChatMessage) -> Message:
    """OpenAI's message as every part of Saqia knows it; `developer` is the newer word for `system`."""
    match message.role:
        case "system" | "developer":
            return Message(role="system", content=message.text)
        case "user":
            return Message(role="user", content=message.text)
        case "assistant":
            return Message(role="assistant", content=message.text)
