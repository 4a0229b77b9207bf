"""POST /v1/feedback: stored exactly once, checked, and tied to the answer."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.serving.live import Live


@pytest.fixture
def answered(http: httpx.Client) -> str:
    body = {"model": "intake", "messages": [{"role": "user", "content": "My head hurts."}], "max_tokens": 4}
    return str(http.post("/v1/chat/completions", json=body).json()["id"])


def give(http: httpx.Client, answered: str, headers: dict[str, str] | None = None, **said: Any) -> httpx.Response:
    return http.post("/v1/feedback", json={"completion_id": answered, **said}, headers=headers)


def right_note(live: Live) -> dict[str, Any]:
    """A valid note, made from the schema itself so that the task may change it."""
    model = live.runtime.task.schema_model()
    assert model is not None
    generator = __import__("tasks.intake.generator", fromlist=["example_sets"])
    sets = generator.example_sets(1, {"train": 1, "test": 1, "unseen": 1, "new": 1, "new_unseen": 1, "traffic": 1})
    return dict(json.loads(sets["train"][0].answer))


def test_a_correction_is_on_disk_in_canonical_form_when_it_is_acknowledged(
    http: httpx.Client, live: Live, answered: str
) -> None:
    note = right_note(live)
    response = give(
        http, answered, correction=json.dumps(note, indent=2), comment="was wrong", rater="ana", thumb="down"
    )
    assert response.status_code == 200, response.text
    assert [event["kind"] for event in response.json()["events"]] == ["thumb_down", "correction"]
    assert response.json()["version"] == "1"
    stored = live.runtime.store.feedback_for(answered)
    assert [(event.kind, event.rater) for event in stored] == [("thumb_down", "ana"), ("correction", "ana")]
    assert stored[1].correction == live.runtime.task.normalise(json.dumps(note))


def test_a_retry_with_the_same_key_is_stored_once(http: httpx.Client, live: Live, answered: str) -> None:
    first = give(http, answered, thumb="up", idempotency_key="k1").json()
    again = give(http, answered, thumb="up", idempotency_key="k1").json()
    header = give(http, answered, thumb="up", headers={"Idempotency-Key": "k1"}).json()
    assert (first["repeated"], again["repeated"], header["repeated"]) == (False, True, True)
    assert first["events"] == again["events"] == header["events"]
    assert len(live.runtime.store.feedback_for(answered)) == 1
    other = give(http, answered, thumb="down", idempotency_key="k1")
    assert other.status_code == 409
    assert other.json()["error"]["param"] == "idempotency_key"


def test_feedback_for_an_unknown_answer_is_404_in_openais_shape(http: httpx.Client) -> None:
    response = give(http, "chatcmpl-nothing", thumb="up")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "completion_not_found"
    assert response.json()["error"]["param"] == "completion_id"


def test_a_wrong_correction_is_refused_by_its_field_and_nothing_is_stored(
    http: httpx.Client, live: Live, answered: str
) -> None:
    note = right_note(live)
    missing = {key: value for key, value in note.items() if key != "urgency"}
    response = give(http, answered, correction=json.dumps(missing), thumb="down")
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "correction.urgency"
    assert "urgency" in response.json()["error"]["message"]
    assert give(http, answered, correction="not json").json()["error"]["param"] == "correction"
    assert give(http, answered, correction="  ").status_code == 400
    assert live.runtime.store.feedback_for(answered) == []


@pytest.mark.parametrize(
    ("said", "param"),
    [
        ({}, "thumb"),
        ({"kind": "correction"}, "correction"),
        ({"kind": "comment"}, "comment"),
        ({"kind": "thumb_up", "thumb": "down"}, "thumb"),
        ({"thumb": "sideways"}, "thumb"),
        ({"thumb": "up", "choice": -1}, "choice"),
        ({"thumb": "up", "rater": ""}, "rater"),
        ({"thumb": "up", "mood": "good"}, "mood"),
        ({"comment": "\ud83d"}, "comment"),
    ],
)
def test_feedback_that_says_nothing_or_contradicts_itself_is_refused(
    http: httpx.Client, answered: str, said: dict[str, Any], param: str
) -> None:
    body = json.dumps({"completion_id": answered, **said})
    response = http.post("/v1/feedback", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param


def test_each_of_n_answers_can_be_spoken_of(http: httpx.Client, live: Live) -> None:
    body = {"model": "intake", "messages": [{"role": "user", "content": "x"}], "max_tokens": 3, "n": 2}
    id = http.post("/v1/chat/completions", json=body).json()["id"]
    assert give(http, id, choice=1, thumb="down").status_code == 200
    assert [event.kind for event in live.runtime.store.feedback_for(f"{id}:1")] == ["thumb_down"]
    assert live.runtime.store.feedback_for(id) == []
    assert give(http, id, choice=5, thumb="down").status_code == 404


# Critical cases -----------------------------------------------------------------------------


def critical(live: Live) -> list[str]:
    return [case.interaction_id for case in live.runtime.store.critical("intake")]


def test_a_case_is_marked_critical_alone_or_beside_a_correction_and_the_mark_is_taken_back(
    http: httpx.Client, live: Live, answered: str
) -> None:
    marked = give(http, answered, critical=True, comment="an emergency", idempotency_key="m")
    assert marked.status_code == 200, marked.text
    assert [event["kind"] for event in marked.json()["events"]] == ["critical"]
    assert give(http, answered, critical=True, comment="an emergency", idempotency_key="m").json()["repeated"] is True
    assert answered in critical(live)
    assert next(c.comment for c in live.runtime.store.critical("intake") if c.interaction_id == answered) == (
        "an emergency"
    )
    assert give(http, answered, critical=False).status_code == 200
    assert answered not in critical(live)
    both = give(http, answered, correction=json.dumps(right_note(live)), kind="critical", comment="was wrong")
    assert [event["kind"] for event in both.json()["events"]] == ["correction", "critical"]
    assert [event.comment for event in live.runtime.store.feedback_for(answered)][-2:] == ["was wrong", None]
    assert answered in critical(live)
    give(http, answered, kind="not_critical")
    assert answered not in critical(live)


def test_a_mark_that_contradicts_itself_is_refused_and_one_on_nothing_is_404(http: httpx.Client, answered: str) -> None:
    refused = give(http, answered, kind="critical", critical=False)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "critical")
    assert give(http, "chatcmpl-nothing", critical=True).status_code == 404


def test_a_mark_beyond_the_bound_is_refused_with_what_came_with_it(
    http: httpx.Client, live: Live, answered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live.runtime.store, "_critical_most", 0)
    refused = give(http, answered, thumb="up", critical=True)
    assert refused.status_code == 409
    error = refused.json()["error"]
    assert (error["param"], error["code"]) == ("critical", "too_many_critical")
    assert "curate.critical_most" in error["message"]
    assert live.runtime.store.feedback_for(answered) == []
    assert give(http, answered, thumb="up", critical=False).status_code == 200
