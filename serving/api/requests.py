"""What a client may send: OpenAI's request bodies with OpenAI's names, types and ranges.

A parameter that OpenAI knows but that cannot mean anything here (tools, images, audio) is
refused by name rather than ignored: an answer that silently lacks what was asked for is
worse than none. Parameters that only concern OpenAI's own billing and routing are taken
and have no effect.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

MAX_CHOICES = 128
MAX_STOPS = 4

Unused = Annotated[Any, Field(description="Taken for compatibility; has no effect here.")]


def contradiction(param: str, message: str) -> PydanticCustomError:
    """Parameters that do not go together; `param` is the one to change."""
    return PydanticCustomError("contradiction", "{message}", {"param": param, "message": message})


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class WholeBody(Body):
    """The outermost object. JSON can spell half a character (`\\ud800`), which no tokenizer and no database takes."""

    @model_validator(mode="before")
    @classmethod
    def _is_unicode(cls, values: Any) -> Any:
        try:
            json.dumps(values, ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError:
            name = next((n for n, v in values.items() if _broken(v)), None) if isinstance(values, dict) else None
            message = "the text holds half of a surrogate pair, which is no valid Unicode"
            raise contradiction(name or "body", message) from None
        return values


def _broken(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return True
    return False


class TextPart(Body):
    """One part of a message's content."""

    type: Literal["text"]
    text: str


class ChatMessage(Body):
    """A turn of the conversation. Several text parts are joined."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[TextPart], Field(min_length=1)] | None = None
    name: str | None = None
    refusal: str | None = None
    annotations: list[Any] | None = None
    audio: None = None
    function_call: None = None
    tool_calls: Annotated[list[Any], Field(max_length=0)] | None = None

    @model_validator(mode="after")
    def _has_content(self) -> ChatMessage:
        if self.content is None and not (self.role == "assistant" and self.refusal is not None):
            raise ValueError("content must be a string or a list of text parts")
        return self

    @property
    def text(self) -> str:
        """The content as one string."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content if self.content is not None else self.refusal or ""


class StreamOptions(Body):
    include_usage: bool = False
    include_obfuscation: bool | None = None


class JsonSchema(Body):
    """`response_format.json_schema`."""

    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    description: str | None = None
    strict: bool | None = None


class TextFormat(Body):
    type: Literal["text"]


class JsonObjectFormat(Body):
    type: Literal["json_object"]


class JsonSchemaFormat(Body):
    type: Literal["json_schema"]
    json_schema: JsonSchema


class SamplingBody(WholeBody):
    """What chat and text completions share."""

    model: str = Field(min_length=1, max_length=200, description="`TASK`, `TASK@champion`, `TASK@3` or `base`.")
    temperature: float | None = Field(1.0, ge=0, le=2, description="0 (always the most probable token) to 2.")
    top_p: float | None = Field(1.0, ge=0, le=1, description="0 to 1: share of the probability mass considered.")
    n: int | None = Field(1, ge=1, le=MAX_CHOICES, description="How many answers to give.")
    stop: str | Annotated[list[str], Field(max_length=MAX_STOPS)] | None = Field(
        None, description="One string or up to four; the answer ends before the first."
    )
    max_tokens: int | None = Field(None, description="Most tokens to generate.")
    seed: int | None = Field(None, ge=-(2**63), le=2**63 - 1, description="The same seed gives the same text.")
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = Field(
        None, description="Token id to a value from -100 to 100 that is added to its logit."
    )
    frequency_penalty: float | None = Field(0.0, ge=-2, le=2)
    presence_penalty: float | None = Field(0.0, ge=-2, le=2)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    user: str | None = Field(None, max_length=512, description="Who asks; kept with the interaction.")

    @field_validator("stop")
    @classmethod
    def _stops_are_not_empty(cls, value: str | list[str] | None) -> str | list[str] | None:
        if value is not None and any(stop == "" for stop in ([value] if isinstance(value, str) else value)):
            raise ValueError("a stop string must not be empty")
        return value

    @field_validator("logit_bias")
    @classmethod
    def _bias_keys_are_ids(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        for key in value or {}:
            if not (key.isascii() and key.isdigit()):
                raise ValueError(f"keys must be token ids, and {key!r} is none")
        return value

    @model_validator(mode="after")
    def _stream_options_need_a_stream(self) -> SamplingBody:
        if self.stream_options is not None and not self.stream:
            raise contradiction("stream_options", "stream_options is only allowed when stream is true")
        return self

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings, however they were sent."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def include_usage(self) -> bool:
        """Should a stream end with a usage chunk?"""
        return bool(self.stream_options and self.stream_options.include_usage)


class ChatRequest(SamplingBody):
    """POST /v1/chat/completions."""

    messages: list[ChatMessage] = Field(min_length=1, max_length=4096)
    max_tokens: int | None = Field(None, ge=1, description="Most tokens to generate; 1 or more.")
    max_completion_tokens: int | None = Field(None, ge=1, description="Newer name of max_tokens; it wins.")
    logprobs: bool | None = False
    top_logprobs: int | None = Field(None, ge=0, le=20)
    response_format: TextFormat | JsonObjectFormat | JsonSchemaFormat | None = Field(None, discriminator="type")
    metadata: dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]] | None = Field(
        None, max_length=16, description="Up to 16 pairs; kept with the interaction."
    )
    store: bool | None = Field(None, description="true: also keep the answer as a row of the task's table for SQL.")
    modalities: list[Literal["text"]] | None = None
    service_tier: Unused = None
    parallel_tool_calls: Unused = None
    prompt_cache_key: Unused = None
    prompt_cache_retention: Unused = None
    safety_identifier: Unused = None
    reasoning_effort: Unused = None
    verbosity: Unused = None
    tools: Annotated[list[Any], Field(max_length=0, description="Not offered here.")] | None = None
    tool_choice: Literal["none", "auto"] | None = None

    @model_validator(mode="after")
    def _top_needs_logprobs(self) -> ChatRequest:
        if self.top_logprobs is not None and not self.logprobs:
            raise contradiction("top_logprobs", "top_logprobs needs logprobs to be true")
        return self


class CompletionRequest(SamplingBody):
    """POST /v1/completions."""

    prompt: str | list[str] | list[Annotated[int, Field(ge=0)]] | list[list[Annotated[int, Field(ge=0)]]] = (
        "<|endoftext|>"
    )
    max_tokens: int | None = Field(16, ge=0, description="Most tokens to generate; 0 only with echo.")
    echo: bool | None = False
    logprobs: int | None = Field(None, ge=0, le=5)
    best_of: int | None = Field(None, ge=1, le=20)
    suffix: None = Field(None, description="Not offered here.")

    @model_validator(mode="after")
    def _fits_together(self) -> CompletionRequest:
        if self.max_tokens == 0 and not self.echo:
            raise contradiction("max_tokens", "max_tokens may be 0 only with echo")
        if self.best_of is not None and self.best_of != (self.n or 1):
            raise contradiction("best_of", "best_of is offered only where it equals n")
        if isinstance(self.prompt, list) and not self.prompt:
            raise contradiction("prompt", "prompt must not be empty")
        return self
