"""What people said, as MLflow assessments on the mirrored traces, and what they said in MLflow, back as feedback.

A trace carries the completion's id as `client_request_id`. What is said here becomes an assessment with the
event's id in its metadata, and so is known when it comes back. What somebody says in MLflow (its review queue, *Add
feedback* or *Add expectation* on a trace) becomes an event whose id is the assessment's: pulled once, however often.

| in MLflow | here |
|---|---|
| feedback `right`, or any feedback that is true or false, yes or no | thumb up or down, its rationale as comment |
| expectation (text, or a value that is JSON) | correction |
| feedback `comment` | comment |
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from components.feedback.store import Store, StoreError
from components.registry.store import client, experiment
from components.schema import Feedback
from components.task import Task

if TYPE_CHECKING:
    from mlflow.entities import Assessment

EVENT = "saqia.event_id"
UP, DOWN = ("yes", "true", "right", "correct", "pass"), ("no", "false", "wrong", "incorrect", "fail")


class NoTrace(RuntimeError):
    """The answer that an event speaks of is not among the traces: the mirror did not have it, or lost it."""


@dataclass
class Pulled:
    """What became of the assessments."""

    stored: int = 0
    known: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    """Assessment and why it is no feedback."""


def traces_of(task: str) -> str:
    """Name of the experiment that holds a task's answers."""
    return f"{task}-answers"


def push(task: str, event: Feedback) -> None:
    """Write an event as an assessment of its answer's trace.

    Raises:
        NoTrace: there is no such trace.
    """
    import mlflow
    from mlflow.entities import AssessmentSource

    place = experiment(traces_of(task))
    wanted = event.interaction_id.replace("'", "")
    found = client().search_traces(
        locations=[place],
        filter_string=f"trace.client_request_id = '{wanted}'",
        max_results=1,
        include_spans=False,
    )
    if not found:
        raise NoTrace(f"no trace has client_request_id {event.interaction_id!r}")
    about: dict[str, Any] = {
        "trace_id": found[0].info.trace_id,
        "source": AssessmentSource(source_type="HUMAN", source_id=event.rater),
        "metadata": {EVENT: event.id},
    }
    match event.kind:
        case "correction":
            mlflow.log_expectation(name="expected_response", value=event.correction, **about)
        case "comment":
            mlflow.log_feedback(name="comment", value=event.comment, **about)
        case _:
            right = event.kind == "thumb_up"
            mlflow.log_feedback(name="right", value=right, rationale=event.comment, **about)


def pull(store: Store, task: Task) -> Pulled:
    """Take what people said in MLflow into the store; what was taken before changes nothing.

    Raises:
        RegistryError: MLflow cannot be read.
    """
    result = Pulled()
    said: list[Feedback] = []
    for id, assessment in _assessments(task.name):
        event = _event(task, id, assessment)
        if isinstance(event, str):
            result.refused.append((f"{assessment.name!r} on {id}", event))
        elif event is not None:
            said.append(event)
    for event, outcome in zip(said, store.add_said([[event] for event in said]), strict=True):
        if isinstance(outcome, StoreError):
            result.refused.append((f"{event.kind} on {event.interaction_id}", str(outcome)))
        elif isinstance(outcome, Exception):
            raise outcome
        else:
            result.stored += outcome.new[0]
            result.known += not outcome.new[0]
    return result


def _assessments(task: str) -> Iterator[tuple[str, Assessment]]:
    """Completion id and assessment, of every trace; oldest trace last."""
    place = experiment(traces_of(task))
    token: str | None = None
    while True:
        page = client().search_traces(locations=[place], max_results=200, page_token=token, include_spans=False)
        for trace in page:
            for assessment in trace.info.assessments:
                if trace.info.client_request_id:
                    yield trace.info.client_request_id, assessment
        token = page.token
        if not token:
            return


def _event(task: Task, interaction_id: str, said: Assessment) -> Feedback | str | None:
    """An assessment as an event; None where it is none of a person's, or came from here; else what is wrong."""
    if said.source.source_type != "HUMAN" or (said.metadata or {}).get(EVENT) or said.valid is False:
        return None
    about: dict[str, Any] = {
        "id": f"mlflow-{said.assessment_id}",
        "interaction_id": interaction_id,
        "created_at": datetime.fromtimestamp((said.create_time_ms or 0) / 1000, UTC),
        "rater": said.source.source_id or "mlflow",
    }
    if said.expectation is not None:
        value = said.expectation.value
        right = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if task.parse(right) is None:
            return f"no valid answer of task {task.name!r}: {right[:120]!r}"
        return Feedback(kind="correction", correction=right, comment=said.rationale or None, **about)
    value = None if said.feedback is None else said.feedback.value
    word = str(value).strip().lower()
    if word in UP or word in DOWN:
        return Feedback(kind="thumb_up" if word in UP else "thumb_down", comment=said.rationale or None, **about)
    text = said.rationale if said.name != "comment" else str(value or "") or said.rationale
    return Feedback(kind="comment", comment=text, **about) if text else f"{value!r} is neither right nor wrong"
