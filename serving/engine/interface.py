"""What an engine is: the one surface that the API knows, whichever engine answers.

A request goes in as token ids; what happens to it comes back as events, on the engine's
own thread: any number of `Delta`s (only where the request streams), then one `Finished`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

BASE = "base"
"""The name under which the base model without any adapter answers."""

FinishReason = Literal["stop", "length", "cancelled", "error"]


class EngineError(RuntimeError):
    """A request could not be answered; the message says why in one line."""


class QueueFull(EngineError):
    """More requests wait than `serving.max_queue` allows: come back in `retry_after` seconds."""

    def __init__(self, waiting: int, retry_after: int) -> None:
        super().__init__(f"{waiting} requests are waiting already; try again in {retry_after} s")
        self.retry_after = retry_after


class DeadlineExceeded(EngineError):
    """The request's time was up before its answer was whole."""


class Unloaded(EngineError):
    """The version that was asked for is not loaded."""


class Stopping(EngineError):
    """The engine is shutting down and takes no more requests."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen, with OpenAI's meanings; the API has checked the ranges."""

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    stop: tuple[str, ...] = ()
    top_logprobs: int | None = None
    """How many alternatives to report beside each token's log-probability; None: no log-probabilities at all."""
    grammar: str | None = None
    """An llguidance grammar that the answer must follow."""
    prompt_logprobs: bool = False
    """Also score the prompt's own tokens (OpenAI's `echo` with `logprobs`)."""


@dataclass(frozen=True)
class TokenLogprob:
    """One token with its natural log-probability under the model, before penalties and temperature."""

    id: int
    logprob: float | None
    """None for the very first token of a prompt: nothing stands before it."""
    top: tuple[tuple[int, float], ...] = ()
    """The most probable tokens here, best first."""


@dataclass(frozen=True)
class Delta:
    """Text that may be shown: it is no part of a stop string, and its characters are whole."""

    text: str
    tokens: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Finished:
    """The end of a request: the whole text, or the error that ended it."""

    text: str
    reason: FinishReason
    ids: tuple[int, ...] = ()
    """Every generated token, the end of turn included."""
    tokens: tuple[TokenLogprob, ...] = ()
    prompt_tokens: tuple[TokenLogprob, ...] = ()
    error: EngineError | None = None


Event = Delta | Finished


@dataclass
class Request:
    """One prompt to be continued once. The engine calls `on_event` from its own thread."""

    id: str
    model: str
    """Name given to `load`, or `base`."""
    prompt: tuple[int, ...]
    sampling: Sampling
    on_event: Callable[[Event], None]
    stream: bool = False
    deadline: float | None = None
    """`time.monotonic()` at which the client has waited long enough."""
    cancelled: bool = False
    """Set by the API when the client has gone; the engine drops the row at its next step."""
    submitted: float = 0.0
    first_token: float | None = None
    """`time.monotonic()` of acceptance and of the first token."""


@dataclass(frozen=True)
class EngineState:
    """What the engine is doing, for /metrics and /readyz."""

    waiting: int
    running: int
    rows_by_model: Mapping[str, int]
    steps: int
    tokens: int


class Engine(Protocol):
    """Answers requests for a base and for versions on it; several versions at once."""

    def load(self, name: str, folder: Path, *, merged: bool | None = None) -> None:
        """Make a version answerable while others are being served; returns when it is.

        merged: as a model of its own, which answers faster and costs the base's memory once more;
        None lets the engine decide by the base's size.

        Raises:
            ModelError: the version is damaged or was made for another base. Nothing changes then.
        """
        ...

    def unload(self, name: str) -> None:
        """Take no new request for a version; its memory goes when its last answer is whole."""
        ...

    def submit(self, request: Request) -> None:
        """Queue a request.

        Raises:
            QueueFull, Unloaded, Stopping: see there.
        """
        ...

    def context(self, name: str) -> int:
        """Tokens of prompt and answer together that a version can hold."""
        ...

    def vocabulary(self, name: str) -> int:
        """Token ids of a version are below this."""
        ...

    def state(self) -> EngineState:
        """A snapshot of queue and batch."""
        ...

    def close(self, drain_seconds: float) -> None:
        """Take nothing new, finish what runs (at most so long), end the thread."""
        ...
