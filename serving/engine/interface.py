"""What an engine is: the one surface that the API knows, whichever engine answers.

A request goes in as token ids; what happens to it comes back as events, on the engine's
own thread: any number of `Delta`s (only where the request streams), then one `Finished`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from components.golden import GoldenPrompt
    from components.schema import Message

BASE = "base"
"""The name under which the base model without any adapter answers."""

UNKNOWN = -1
"""A token that an upstream server generated and did not name."""

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


class Unsupported(EngineError):
    """The engine cannot do what a parameter asks for, and does not do something else instead."""

    def __init__(self, engine: str, param: str, what: str) -> None:
        super().__init__(f"the engine {engine} cannot do {what}; leave {param} out, or set serving.engine: auto")
        self.param = param


class Refused(EngineError):
    """An upstream server refuses the request itself; its own words and parameter are passed on."""

    def __init__(self, message: str, param: str | None, code: str | None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class BadGateway(EngineError):
    """What answers here could not be reached, died, or gave no usable answer."""


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
    schema: str | None = None
    """The JSON schema behind `grammar`, for an engine with a grammar compiler of its own."""
    prompt_logprobs: bool = False
    """Also score the prompt's own tokens (OpenAI's `echo` with `logprobs`)."""


@dataclass(frozen=True)
class TokenLogprob:
    """One token with its natural log-probability under the model, before penalties and temperature."""

    id: int | bytes
    """Where an upstream server answers, only the token's bytes are known."""
    logprob: float | None
    """None for the very first token of a prompt: nothing stands before it."""
    top: tuple[tuple[int | bytes, float], ...] = ()
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
    """Every generated token, the end of turn included; `UNKNOWN` where an upstream server told only how many."""
    tokens: tuple[TokenLogprob, ...] = ()
    prompt_tokens: tuple[TokenLogprob, ...] = ()
    error: EngineError | None = None
    logprob: float | None = None
    """Mean log-probability of the generated tokens in nats, where this engine knows it without being asked."""

    @property
    def sureness(self) -> float | None:
        """`logprob`, or what the tokens that a client asked about say."""
        known = [token.logprob for token in self.tokens if token.logprob is not None]
        return self.logprob if self.logprob is not None or not known else sum(known) / len(known)


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
    messages: tuple[Message, ...] = ()
    """The conversation behind the prompt, for an engine that renders it itself; empty for a text completion."""
    text: str | None = None
    """A text completion's prompt as it was sent, where it was text."""
    stream: bool = False
    deadline: float | None = None
    """`time.monotonic()` at which the client has waited long enough."""
    cancelled: bool = False
    """Set by the API when the client has gone; the engine drops the row at its next step."""
    submitted: float = 0.0
    first_token: float | None = None
    """`time.monotonic()` of acceptance and of the first token."""
    counted: int | None = None
    """Tokens of the prompt where an upstream server counted them."""

    @property
    def prompt_tokens(self) -> int:
        """How many tokens the prompt has."""
        return len(self.prompt) if self.counted is None else self.counted


@dataclass(frozen=True)
class Parity:
    """What the proof on the golden prompts found."""

    holds: bool
    prompts: int
    worst: float
    """Largest difference of a log-probability, in nats."""
    problem: str = ""


class Pace:
    """How long requests take here of late: what a client that must come back is told."""

    def __init__(self) -> None:
        self._seconds = 0.5

    def record(self, seconds: float) -> None:
        """One more request took so long."""
        self._seconds += 0.1 * (seconds - self._seconds)

    def retry_after(self, queue: int, batch: int) -> int:
        """Whole seconds after which a place in a queue of that length should be free."""
        return max(1, math.ceil(self._seconds * queue / batch / 2))


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

    def prove(self, name: str, prompts: Sequence[GoldenPrompt], timeout: float) -> Parity:
        """Ask a version its golden prompts by the path on which it will answer."""
        ...

    def answers_by(self, name: str) -> str:
        """What answers for a version, and why not something faster, in words for /readyz."""
        ...

    def close(self, drain_seconds: float) -> None:
        """Take nothing new, finish what runs (at most so long), end the thread."""
        ...
