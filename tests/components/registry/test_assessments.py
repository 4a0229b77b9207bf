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
        write(own.model_copy(update={"id": "fb-2", "kind": "correction", "correction": "spam", "comment": None}))
        traces: dict[str, Any] = {
            t.info.client_request_id: t for t in client().search_traces(locations=[experiment("mail-answers")])
        }
        seen: dict[str, Any] = {a.name: a for a in traces["c1"].info.assessments}
        assert seen["right"].feedback.value is False
        assert seen["expected_response"].expectation.value == "spam"
        assert {a.source.source_id for a in seen.values()} == {"ann"}
        assert {a.metadata[EVENT] for a in seen.values()} == {"fb-1", "fb-2"}

        about: dict[str, Any] = {"trace_id": traces["c2"].info.trace_id, "source": AssessmentSource("HUMAN", "bob")}
        mlflow.log_feedback(name="is it right?", value="No", rationale="it sells", **about)
        mlflow.log_expectation(name="expected", value="spam", **about)
        mlflow.log_expectation(name="expected", value="eggs", **about)
        mlflow.log_feedback(
            name="score", value=1, trace_id=about["trace_id"], source=AssessmentSource("LLM_JUDGE", "m")
        )
        first, again = pull(store, MAIL), pull(store, MAIL)
        assert (first.stored, first.known, again.stored, again.known) == (2, 0, 0, 2)
        assert [why for _, why in first.refused] == ["no valid answer of task 'mail': 'eggs'"]
        assert sorted((e.rater, e.kind, e.correction, e.comment) for e in store.feedback_for("c2")) == [
            ("bob", "correction", "spam", None), ("bob", "thumb_down", None, "it sells")
        ]  # fmt: skip
        assert [e.id for e in store.feedback_for("c1")] == ["fb-1"]
