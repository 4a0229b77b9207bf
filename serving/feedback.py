"""What a person says about an answer, checked and written down; the API and the pages both call this."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pydantic import ValidationError

from components.schema import Feedback, FeedbackKind
from components.sentences import say
from components.task import Task


class WrongCorrection(ValueError):
    """The correction is no valid answer of the task; `field` says where."""

    def __init__(self, field: str | None, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Said:
    """Everything that one person said about one answer in one go."""

    interaction_id: str
    thumb: Literal["up", "down"] | None = None
    correction: str | None = None
    comment: str | None = None
    critical: bool | None = None
    """Mark the case (no version may break it), or take the mark back."""
    rater: str = "anonymous"
    idempotency_key: str | None = None
    key: str | None = None
    """Id of the API key it came with."""


def checked_correction(task: Task, correction: str) -> str:
    """The correction in the task's canonical form.

    Raises:
        WrongCorrection: it is empty, no valid answer of a structured task, or no label of a labelling one.
    """
    if not correction.strip():
        raise WrongCorrection(None, say("empty"))
    if task.labels and correction.strip() not in task.labels:
        raise WrongCorrection(None, say("no_label", text=repr(correction.strip()), labels=", ".join(task.labels)))
    if task.schema_model() is None:
        return correction.strip() if task.labels else correction
    try:
        json.loads(correction)
    except json.JSONDecodeError as error:
        raise WrongCorrection(None, say("no_json", what=error)) from None
    try:
        return task.normalise(correction)
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(str(part) for part in problem["loc"])
        message = f"{field}: {problem['msg']}" if field else problem["msg"]
        raise WrongCorrection(field or None, message) from None


def events_of(task: Task, said: Said) -> list[Feedback]:
    """What was said as events, one for each thing.

    Raises:
        WrongCorrection: the correction is no valid answer of the task.
    """
    correction = None if said.correction is None else checked_correction(task, said.correction)
    events: list[tuple[FeedbackKind, str | None, str | None]] = []
    if said.thumb is not None:
        comment = said.comment if correction is None else None
        events.append(("thumb_up" if said.thumb == "up" else "thumb_down", None, comment))
    if correction is not None:
        events.append(("correction", correction, said.comment))
    if not events and said.critical is None:
        events.append(("comment", None, said.comment))
    if said.critical is not None:
        comment = None if events else said.comment
        events.append(("critical" if said.critical else "not_critical", None, comment))
    key, now = said.idempotency_key, datetime.now(UTC)
    return [
        Feedback(
            id=f"fb-{uuid.uuid4().hex}",
            interaction_id=said.interaction_id,
            created_at=now,
            rater=said.rater,
            kind=kind,
            correction=right,
            comment=comment or None,
            idempotency_key=f"{key}:{kind}" if key and len(events) > 1 else key,
            key=said.key,
        )
        for kind, right, comment in events
    ]
