"""The contracts every part speaks: what one row, one event and one verdict are.

Records travel between stages as JSON lines (one `model_dump_json()` a line) and
between the service and the store as these same models. All are frozen; a changed
record is a new record.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Role = Literal["system", "user", "assistant"]


class Record(BaseModel):
    """Base of every contract: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Message(Record):
    """One turn of a conversation, as in OpenAI's chat format."""

    role: Role
    content: str


class Example(Record):
    """One thing to learn or to be tested on: a conversation whose last turn is the right answer.

    `group` names what the example is about where that is known (a symptom family, a
    label), so that results can be broken down; `source` says who vouches for the answer. What a teacher (a model)
    answered is only ever taught: it is no truth to test with.
    """

    id: str
    messages: tuple[Message, ...] = Field(min_length=2)
    source: Literal["task", "correction", "confirmed", "teacher"] = "task"
    group: str | None = None
    rater: str | None = None
    """Who answered, where it is known: a person, or `ai:` and a teacher's name."""
    created_at: datetime | None = Field(None, exclude_if=lambda value: value is None)
    """When a teacher answered. Left out of a file where there is none, as in all rows of people."""
    critical: bool = Field(False, exclude_if=lambda value: value is False)
    """A reviewer marked the case: no version may break it. Left out of a file where it is false."""

    rehearsed: bool = Field(False, exclude_if=lambda value: not value)
    """Feedback of an earlier turn, taught again. Left out of a file where it is not so."""

    @model_validator(mode="after")
    def _ends_with_the_answer(self) -> Example:
        if self.messages[-1].role != "assistant":
            raise ValueError("the last message must be the assistant's: it is the answer to learn")
        if not any(m.role == "user" for m in self.messages):
            raise ValueError("there is no user message to answer")
        return self

    @property
    def prompt(self) -> tuple[Message, ...]:
        """Everything before the answer."""
        return self.messages[:-1]

    @property
    def answer(self) -> str:
        """The assistant's last turn: what is to be learned."""
        return self.messages[-1].content

    @property
    def of_feedback(self) -> bool:
        """Does the answer come from feedback on a served one, rather than from the task's own rows?"""
        return self.source in ("correction", "confirmed")

    @property
    def is_new(self) -> bool:
        """Is it feedback that this turn brings?"""
        return self.of_feedback and not self.rehearsed

    @property
    def question(self) -> str:
        """The last user turn: the text that near-duplicate search and reports look at."""
        return next(m.content for m in reversed(self.messages) if m.role == "user")


def content_id(*parts: str) -> str:
    """A stable 16-hex-digit id made from content (SHA-256, truncated)."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]


class Interaction(Record):
    """One served answer: what was asked, what was answered, and by which version."""

    id: str
    """The completion's id as the client saw it, e.g. `chatcmpl-…`."""
    created_at: datetime
    task: str
    model_version: str
    """Registered version that answered, e.g. `3`; `base` when no adapter served."""
    messages: tuple[Message, ...]
    """The prompt, task system message included."""
    answer: str
    finish_reason: str
    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)
    latency_ms: float = Field(ge=0)
    parameters: dict[str, object] = {}
    """Sampling parameters as requested."""
    logprob: float | None = None
    """Mean log-probability of the answer's tokens in nats, where the engine had it: how sure the model was."""
    valid: bool | None = None
    """Is it a valid answer of the task? None where nobody has asked."""


FeedbackKind = Literal["thumb_up", "thumb_down", "correction", "comment", "critical", "not_critical"]
MARKS: tuple[FeedbackKind, ...] = ("critical", "not_critical")
"""Kinds that mark a case, or take the mark back; the latest counts. They do not say which answer is right."""


class Feedback(Record):
    """What one person said about one served answer. Append-only: an edit is a new event."""

    id: str
    interaction_id: str
    created_at: datetime
    rater: str
    kind: FeedbackKind
    correction: str | None = None
    comment: str | None = None
    idempotency_key: str | None = None
    """A retried request with the same key is stored once."""
    key: str | None = None
    """Id of the API key that the request came with, where it came with one."""

    @model_validator(mode="after")
    def _says_something(self) -> Feedback:
        if (self.kind == "correction") != (self.correction is not None):
            raise ValueError("`correction` holds the right answer, with kind 'correction' and no other")
        if self.kind == "comment" and not self.comment:
            raise ValueError("a comment needs its text in `comment`")
        return self


class FeedbackRow(Record):
    """One line of a snapshot: a feedback event beside the answer it speaks of."""

    seq: int
    """Position in the store's append-only log; a turn is a range of these."""
    event_id: str
    created_at: datetime
    rater: str
    kind: FeedbackKind
    interaction_id: str
    model_version: str
    messages: tuple[Message, ...]
    answer: str
    correction: str | None = None
    comment: str | None = None


class Preference(Record):
    """One comparison of two answers to the same prompt."""

    id: str
    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    source: Literal["human", "ai"]
    rater: str
    chosen_version: str | None = None
    rejected_version: str | None = None


class Judged(Record):
    """One answer that was found good or bad by itself, without another one to compare it with."""

    id: str
    prompt: tuple[Message, ...]
    answer: str
    desirable: bool
    source: Literal["human", "ai"]
    rater: str
    version: str | None = None
    """Which version gave the answer."""


class Dropped(Record):
    """A row that a data step kept out or changed, and why."""

    id: str
    step: str
    action: Literal["dropped", "changed", "quarantined"]
    reason: str
    text: str


class Score(Record):
    """One model's answer to one test example. `exact` is equality of normalised answers."""

    example_id: str
    set: str
    group: str | None
    answer: str
    exact: bool
    valid: bool
    """The answer parses and satisfies the task's schema (always true for free text)."""
    fields: dict[str, bool] = {}
    """Per-field equality for structured answers."""
    similarity: float = Field(default=0.0, ge=0, le=1)
    """ROUGE-L F1 for free text; 1.0/0.0 of `exact` otherwise."""


class Comparison(Record):
    """Candidate against champion on one set, paired example by example."""

    set: str
    role: Literal["target", "guard", "regression", "critical", "shown"]
    """target: must gain; guard: must not lose more than its bound; regression: fixed cases that must stay fixed as a
    whole; critical: cases of which none may break; shown: reported, decides nothing."""
    examples: int
    """Rows that were looked at."""
    available: int | None = None
    """Rows at hand. A guard is looked at until the gate can decide."""
    bound: float | None = None
    """The most that a guard may lose."""
    metric: str
    champion: float
    candidate: float
    gain: float
    lower: float
    upper: float
    """Bounds of the paired interval of the gain (components/noninferiority.py)."""


class Need(Record):
    """What would change a refusal: any one of a verdict's needs is worth another look."""

    kind: Literal["corrections", "guard_rows", "look", "none"]
    """corrections: more corrections of this kind of question; guard_rows: more held-out rows of the task's own;
    look: a person's look at some cases; none: nothing that anybody could bring."""
    count: int = 0
    """So many more."""
    ids: tuple[str, ...] = ()
    """The cases of `look`: ids of events or examples."""


class Verdict(Record):
    """May the candidate replace the champion? With every number the answer rests on."""

    decision: Literal["promote", "refuse", "first"]
    """first: there is no champion yet, so the candidate is not compared but introduced."""
    reasons: tuple[str, ...]
    """First what speaks against the candidate, then what speaks for it, then how good it is."""
    against: int = 0
    """So many of the reasons speak against it ..."""
    supporting: int = 0
    """... and so many after them for it."""
    comparisons: tuple[Comparison, ...]
    guards: Comparison | None = None
    """All guards together."""
    since_best: Comparison | None = None
    """The same against the best version that ever served, where that is not the champion."""
    rebroken: tuple[str, ...] = ()
    """Ids of fixed cases that the champion answers right and the candidate wrong."""
    needs: tuple[Need, ...] = ()
    """What would change a refusal, a need a reason."""
    confidence: float
    delta: float
    simulated_feedback: bool = False
    """True where a simulated person wrote the corrections (the demo)."""

    @property
    def guard_score(self) -> float | None:
        """The candidate's mean over all rows of guards that were looked at; None where there are none."""
        guards = [comparison for comparison in self.comparisons if comparison.role == "guard"]
        rows = sum(comparison.examples for comparison in guards)
        return sum(c.candidate * c.examples for c in guards) / rows if rows else None

    @property
    def table(self) -> tuple[Comparison, ...]:
        """What a reader sees in a table: every set, then all guards together."""
        overall = tuple(comparison for comparison in (self.guards, self.since_best) if comparison is not None)
        return (*self.comparisons, *overall)
