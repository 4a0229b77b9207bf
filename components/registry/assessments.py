"""What people said, as MLflow assessments on the mirrored traces, and what they said in MLflow, back as feedback.

A trace carries the completion's id as `client_request_id`. What is said here becomes an assessment with the
event's id in its metadata, and so is known when it comes back. What somebody says in MLflow (its review queue, *Add
feedback* or *Add expectation* on a trace) becomes an event whose id is the assessment's: pulled once, however often;
an assessment that was edited since becomes another event, as every edit does.

| in MLflow | here |
|---|---|
| feedback `right`, or any feedback that is true or false, yes or no | thumb up or down, its rationale as comment |
| an answer to a pass/fail question of the review queue, by the words on its buttons | the same |
| expectation (text, or a value that is JSON) | correction |
| any other feedback that is text, or has a rationale | comment |
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from components.feedback.store import Store, StoreError
from components.registry.store import client, experiment
from components.schema import Feedback
from components.task import Task

if TYPE_CHECKING:
    from mlflow.entities import Assessment

EVENT, COMMENT = "saqia.event_id", "saqia.comment"
CRITICAL = "critical"
"""Our assessment of this name says that no version may break the case."""
UP, DOWN = ("yes", "true", "right", "correct", "pass"), ("no", "false", "wrong", "incorrect", "fail")
NO_ANSWERS = ("guidelines", "expected_facts")
"""Expectations that MLflow gives a meaning of their own: what an answer should heed or hold, not the answer."""


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
    """Write an event as an assessment of its answer's trace, once.

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
    trace = found[0].info
    if any((said.metadata or {}).get(EVENT) == event.id for said in trace.assessments):
        return
    about: dict[str, Any] = {
        "source": AssessmentSource(source_type="HUMAN", source_id=event.rater),
        "metadata": {EVENT: event.id},
    }
    match event.kind:
        case "correction":
            if event.comment:  # MLflow keeps no rationale of an expectation
                about["metadata"][COMMENT] = event.comment
            mlflow.log_expectation(trace_id=trace.trace_id, name="expected_response", value=event.correction, **about)
        case "comment":
            mlflow.log_feedback(trace_id=trace.trace_id, name="comment", value=event.comment, **about)
        case "critical" | "not_critical":
            marked = event.kind == "critical"
            mlflow.log_feedback(trace_id=trace.trace_id, name=CRITICAL, value=marked, rationale=event.comment, **about)
        case "thumb_up" | "thumb_down":
            up = event.kind == "thumb_up"
            mlflow.log_feedback(trace_id=trace.trace_id, name="right", value=up, rationale=event.comment, **about)


def pull(store: Store, task: Task) -> Pulled:
    """Take what people said in MLflow into the store; what was taken before changes nothing.

    Raises:
        RegistryError: MLflow cannot be read.
    """
    result = Pulled()
    said: list[Feedback] = []
    buttons = _buttons(task.name)
    for id, assessment in _assessments(task.name):
        event = _event(task, id, assessment, buttons)
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


def _buttons(task: str) -> dict[str, tuple[str, str]]:
    """Pass/fail question of MLflow's review queue → what stands on its buttons, for true and for false.

    An answer is kept as true or false, and true is the first button whatever it says ("Hallucinated", say).
    """
    from mlflow.genai.label_schemas import InputPassFail, list_label_schemas

    place, token = experiment(traces_of(task)), None
    found: dict[str, tuple[str, str]] = {}
    while True:
        page = list_label_schemas(place, page_token=token)
        for schema in page:
            if isinstance(schema.input, InputPassFail):
                found[schema.name] = (schema.input.positive_label, schema.input.negative_label)
        token = page.token
        if not token:
            return found


def _event(
    task: Task, interaction_id: str, said: Assessment, buttons: Mapping[str, tuple[str, str]]
) -> Feedback | str | None:
    """An assessment as an event; None where it is none of a person's, or came from here; else what is wrong."""
    if said.source.source_type != "HUMAN" or said.issue or (said.metadata or {}).get(EVENT) or said.valid is False:
        return None
    made, last = said.create_time_ms or 0, said.last_update_time_ms or said.create_time_ms or 0
    about: dict[str, Any] = {
        "id": f"mlflow-{said.assessment_id}" if last == made else f"mlflow-{said.assessment_id}-{last}",
        "interaction_id": interaction_id,
        "created_at": datetime.fromtimestamp(last / 1000, UTC),
        "rater": said.source.source_id or "mlflow",
    }
    why = said.rationale or None
    if said.name == CRITICAL:
        return "a case is marked critical on the review page or with saqia feedback critical, not in MLflow"
    if said.expectation is not None:
        if said.name in NO_ANSWERS:
            return f"{said.name} are no answer: name what should have been answered expected_response"
        value = said.expectation.value
        right = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if task.parse(right) is None:
            return f"no valid answer of task {task.name!r}: {right[:120]!r}"
        return Feedback(kind="correction", correction=right, comment=why, **about)
    value = None if said.feedback is None else said.feedback.value
    if isinstance(value, bool) and said.name in buttons:
        value = buttons[said.name][not value]
    word = str(value).strip().lower()
    if word in UP or word in DOWN:
        return Feedback(kind="thumb_up" if word in UP else "thumb_down", comment=why, **about)
    if isinstance(value, str) and value.strip():
        return Feedback(kind="comment", comment=f"{value}: {why}" if why else value, **about)
    return Feedback(kind="comment", comment=why, **about) if why else f"{value!r} is neither right nor wrong, nor text"
