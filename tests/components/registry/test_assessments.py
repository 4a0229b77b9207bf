"""What is said here is seen in MLflow, and what is said there comes back, each once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.feedback.store import Store
from components.registry.assessments import EVENT, pull
from components.registry.store import client, experiment
from components.schema import Feedback, Interaction, Message
from components.task import Task
from serving.mirror import MlflowTraces
from tests.components.feedback.conftest import NOW

MAIL = Task(name="mail", title="Mail", answer="label", labels=("ham", "spam"))


def answer(id: str) -> Interaction:
    return Interaction(
        id=id,
        created_at=NOW,
        task="mail",
        model_version="1",
        messages=(Message(role="user", content="Buy now"),),
        answer="ham",
        finish_reason="stop",
        prompt_tokens=1,
        completion_tokens=1,
        latency_ms=5,
    )


def test_feedback_goes_to_mlflow_and_comes_from_there_exactly_once(tmp_path: Path) -> None:
    import mlflow
    from mlflow.entities import AssessmentSource

    write = MlflowTraces("mail")
    with Store(f"sqlite:///{tmp_path / 'saqia.db'}") as store:
        for id in ("c1", "c2"):
            store.add_interaction(answer(id))
            write(answer(id))
        own = Feedback(id="fb-1", interaction_id="c1", created_at=NOW, rater="ann", kind="thumb_down", comment="no")
        store.add_feedback(own)
        write(own)
        write(own)
        write(own.model_copy(update={"id": "fb-2", "kind": "correction", "correction": "spam", "comment": "it sells"}))
        traces: dict[str, Any] = {
            t.info.client_request_id: t for t in client().search_traces(locations=[experiment("mail-answers")])
        }
        assert len(traces["c1"].info.assessments) == 2
        seen: dict[str, Any] = {a.name: a for a in traces["c1"].info.assessments}
        assert (seen["right"].feedback.value, seen["right"].rationale) == (False, "no")
        assert seen["expected_response"].expectation.value == "spam"
        assert seen["expected_response"].metadata["saqia.comment"] == "it sells"
        assert {a.source.source_id for a in seen.values()} == {"ann"}
        assert {a.metadata[EVENT] for a in seen.values()} == {"fb-1", "fb-2"}

        write(own.model_copy(update={"id": "fb-3", "kind": "critical", "comment": "an emergency"}))
        found = client().search_traces(locations=[experiment("mail-answers")])
        (marked,) = [a for trace in found for a in trace.info.assessments if a.name == "critical"]
        assert (marked.feedback.value, marked.rationale) == (True, "an emergency")

        about: dict[str, Any] = {"trace_id": traces["c2"].info.trace_id, "source": AssessmentSource("HUMAN", "bob")}
        mlflow.log_feedback(name="critical", value=True, **about)
        mlflow.log_feedback(name="is it right?", value="No", rationale="it sells", **about)
        mlflow.log_expectation(name="expected", value="spam", **about)
        mlflow.log_expectation(name="expected", value="eggs", **about)
        mlflow.log_feedback(
            name="score", value=1, trace_id=about["trace_id"], source=AssessmentSource("LLM_JUDGE", "m")
        )
        first, again = pull(store, MAIL), pull(store, MAIL)
        assert (first.stored, first.known, again.stored, again.known) == (2, 0, 0, 2)
        assert sorted(why for _, why in first.refused) == [
            "a case is marked critical on the review page or with saqia feedback critical, not in MLflow",
            "no valid answer of task 'mail': 'eggs'",
        ]
        assert sorted((e.rater, e.kind, e.correction, e.comment) for e in store.feedback_for("c2")) == [
            ("bob", "correction", "spam", None), ("bob", "thumb_down", None, "it sells")
        ]  # fmt: skip
        assert [e.id for e in store.feedback_for("c1")] == ["fb-1"]


def test_what_mlflows_review_queue_asks_is_understood_by_its_questions_and_an_edit_is_another_event(
    tmp_path: Path,
) -> None:
    import mlflow
    from mlflow.entities import AssessmentSource
    from mlflow.entities import Feedback as Judged
    from mlflow.genai.label_schemas import InputCategorical, InputNumeric, InputPassFail, InputText, create_label_schema
    from mlflow.genai.review_queues import (
        add_items_to_review_queue,
        create_review_queue,
        list_review_queue_items,
        set_review_queue_item_status,
    )

    MlflowTraces("mail")(answer("c1"))
    place = experiment("mail-answers")
    (trace,) = client().search_traces(locations=[place])
    questions: dict[str, Any] = {
        "Is it right?": ("feedback", InputPassFail("Wrong", "Right")),
        "Is it polite?": ("feedback", InputPassFail("Polite", "Rude")),
        "Tone": ("feedback", InputCategorical(["formal", "loose"])),
        "Stars": ("feedback", InputNumeric()),
        "expected_response": ("expectation", InputText()),
        "guidelines": ("expectation", InputText()),
    }
    schemas = [
        create_label_schema(name, type=type, input=input, experiment_id=place).schema_id
        for name, (type, input) in questions.items()
    ]
    queue = create_review_queue("Doubtful", queue_type="custom", schema_ids=schemas, experiment_id=place)
    add_items_to_review_queue(queue.queue_id, item_ids=[trace.info.trace_id])
    about: dict[str, Any] = {"trace_id": trace.info.trace_id, "source": AssessmentSource("HUMAN", "eve")}
    wrong = mlflow.log_feedback(name="Is it right?", value=True, rationale="it sells", **about)
    mlflow.log_feedback(name="Is it polite?", value=False, **about)
    mlflow.log_feedback(name="Tone", value="loose", **about)
    mlflow.log_feedback(name="Stars", value=3, **about)
    mlflow.log_feedback(name="Feedback", value="could be kinder", **about)
    mlflow.log_expectation(name="expected_response", value="spam", **about)
    mlflow.log_expectation(name="guidelines", value="ham", **about)
    set_review_queue_item_status(queue.queue_id, item_id=trace.info.trace_id, status="complete", completed_by="eve")
    assert [item.status for item in list_review_queue_items(queue.queue_id)] == ["complete"]

    def said(store: Store) -> list[tuple[Any, ...]]:
        return sorted((e.rater, e.kind, e.correction or "", e.comment or "") for e in store.feedback_for("c1"))

    with Store(f"sqlite:///{tmp_path / 'saqia.db'}") as store:
        store.add_interaction(answer("c1"))
        first = pull(store, MAIL)
        once = said(store)
        assert once == [
            ("eve", "comment", "", "Rude"), ("eve", "comment", "", "could be kinder"), ("eve", "comment", "", "loose"),
            ("eve", "correction", "spam", ""), ("eve", "thumb_down", "", "it sells"),
        ]  # fmt: skip
        assert (first.stored, sorted(what for what, _ in first.refused)) == (
            5, ["'Stars' on c1", "'guidelines' on c1"]
        )  # fmt: skip
        assert (pull(store, MAIL).stored, said(store)) == (0, once)
        mlflow.update_assessment(
            trace.info.trace_id,
            wrong.assessment_id,
            Judged("Is it right?", value=False, rationale="it is a newsletter"),
        )
        assert (pull(store, MAIL).stored, pull(store, MAIL).stored) == (1, 0)
        assert store.feedback_for("c1")[-1].kind == "thumb_up"
        assert len(said(store)) == 6
