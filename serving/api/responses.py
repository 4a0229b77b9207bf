"""What the answers look like, for the OpenAPI document and for whoever reads it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from components.schema import FeedbackKind


class Usage(BaseModel):
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AnswerMessage(BaseModel):
    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    annotations: list[Any]
    reasoning_content: str | None = None
    """What the model thought first, where its task has it think (prompting.chain_of_thought)."""


class ChatChoice(BaseModel):
    index: int
    message: AnswerMessage
    logprobs: dict[str, Any] | None
    finish_reason: Literal["stop", "length"]
    vote_share: float | None = None
    """Share of the samples that gave this answer, where its task has several vote (prompting.self_consistency)."""


class ChatCompletion(BaseModel):
    """OpenAI's chat completion object."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage


class TextChoice(BaseModel):
    index: int
    text: str
    logprobs: dict[str, Any] | None
    finish_reason: Literal["stop", "length"]


class TextCompletion(BaseModel):
    """OpenAI's text completion object."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[TextChoice]
    usage: Usage


class Model(BaseModel):
    """One name that can be asked."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "saqia"
    version: str
    """Version that answers under this name now."""


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


class FeedbackEvent(BaseModel):
    """One stored event."""

    id: str
    kind: FeedbackKind
    created: int


class FeedbackStored(BaseModel):
    """Sent only when every event is on disk."""

    object: Literal["feedback"] = "feedback"
    completion_id: str
    version: str
    stored: Literal[True] = True
    repeated: bool
    """Everything was there already: this was a retry."""
    events: list[FeedbackEvent]
