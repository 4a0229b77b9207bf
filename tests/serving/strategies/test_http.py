"""A task's prompt, schema and strategies over real HTTP, on a tiny random model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import sqlalchemy as sa

from components.task import ChainOfThought, FewShot, Prompting, SelfConsistency, Shot
from tests.serving import models
from tests.serving.live import Live, source

ASK: dict[str, Any] = {"model": "intake", "messages": [{"role": "user", "content": "My head hurts."}]}
SHOTS = (Shot(message="my knee", answer='{"symptom":"k","severity":1}'), Shot(message="ear", answer="{}"))
SCHEMA = {
    "type": "object",
    "properties": {"symptom": {"enum": ["head", "knee", "ear"]}, "severity": {"enum": [1, 2, 3]}},
    "required": ["symptom", "severity"],
    "additionalProperties": False,
}
FIELDS = {"head", "knee", "ear"}
Asking = Callable[..., Live]


@pytest.fixture(scope="module")
def version(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.make_version(tmp_path_factory.mktemp("with-schema"), base, seed=3, schema=SCHEMA)


@pytest.fixture
def serve(base: Path, version: Path, tmp_path: Path) -> Iterator[Asking]:
    """An API whose task is asked in a chosen way; its answers are plain JSON, without the intake's own schema."""
    running: list[Live] = []

    def start(prompting: Prompting | None = None, **changes: object) -> Live:
        task = {"prompting": prompting or Prompting(), "schema_": None, **changes}
        running.append(Live(f"sqlite:///{tmp_path / 'saqia.db'}", source("1", version, base), task))
        return running[-1]

    yield start
    for live in running:
        live.close()


def post(live: Live, **changes: Any) -> dict[str, Any]:
    response = httpx.post(f"{live.url}/v1/chat/completions", json={**ASK, **changes}, timeout=60)
    assert response.status_code == 200, response.text
    return dict(response.json())


def text(answer: dict[str, Any], choice: int = 0) -> str:
    return str(answer["choices"][choice]["message"]["content"])


def streamed(live: Live, **changes: Any) -> list[dict[str, Any]]:
    with httpx.stream("POST", f"{live.url}/v1/chat/completions", json={**ASK, "stream": True, **changes}) as response:
        frames = response.read().decode().split("\n\n")
    return [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]


def test_the_schema_applies_by_the_tasks_name_and_not_where_the_client_says_otherwise(serve: Asking) -> None:
    live = serve()
    for model in ("intake", "intake@champion"):
        note = json.loads(text(post(live, model=model, seed=1)))
        assert note["symptom"] in FIELDS
    free = [
        post(live, model="intake@1", seed=1, max_tokens=20),
        post(live, response_format={"type": "text"}, seed=1, max_tokens=20),
        post(live, messages=[{"role": "system", "content": "Chat."}, *ASK["messages"]], seed=1, max_tokens=20),
    ]
    for answer in free:
        with pytest.raises(ValueError, match=r"Expecting|Extra"):
            json.loads(text(answer))


def test_constrain_false_lets_the_model_answer_freely(serve: Asking) -> None:
    live = serve(Prompting(constrain=False))
    with pytest.raises(ValueError, match=r"Expecting|Extra"):
        json.loads(text(post(live, seed=1, max_tokens=20)))


def test_fixed_examples_are_asked_with_and_not_stored_as_the_conversation(serve: Asking) -> None:
    bare = post(serve(), seed=1)["usage"]["prompt_tokens"]
    live = serve(Prompting(few_shot=FewShot(choose="fixed", examples=SHOTS, shots=2)))
    answer = post(live, seed=1)
    assert answer["usage"]["prompt_tokens"] > bare + 20
    stored = live.runtime.store.interaction(answer["id"])
    assert stored is not None
    assert [message.role for message in stored.messages] == ["system", "user"]
    assert stored.parameters["prompting"] == {"few_shot": ["my knee", "ear"]}


def test_examples_that_do_not_fit_are_left_out_and_the_question_is_answered(serve: Asking) -> None:
    long = Shot(message="headache " * 100, answer="{}")
    live = serve(Prompting(few_shot=FewShot(choose="fixed", examples=(*SHOTS, long), shots=3)))
    stored = live.runtime.store.interaction(post(live, seed=1)["id"])
    assert stored is not None
    assert stored.parameters["prompting"] == {"few_shot": ["my knee", "ear"]}


def test_nearest_examples_without_a_build_are_a_503_that_says_what_to_do(
    serve: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = serve(Prompting(few_shot=FewShot()))
    monkeypatch.chdir(tmp_path)
    refused = httpx.post(f"{live.url}/v1/chat/completions", json=ASK, timeout=60)
    assert refused.status_code == 503
    assert "saqia build" in refused.json()["error"]["message"]
    assert post(live, model="intake@1", seed=1, max_tokens=4)["usage"]["completion_tokens"] == 4


def test_thoughts_are_kept_apart_from_the_answer_whole_and_streamed(serve: Asking) -> None:
    live = serve(Prompting(chain_of_thought=ChainOfThought(max_characters=30)))
    whole = post(live, seed=4)
    message = whole["choices"][0]["message"]
    assert json.loads(message["content"])["symptom"] in FIELDS
    assert 1 <= len(message["reasoning_content"]) <= 30 + len("</think>")
    assert "think>" not in message["content"] + message["reasoning_content"]
    chunks = [chunk["choices"][0]["delta"] for chunk in streamed(live, seed=4)]
    assert "".join(delta.get("content", "") for delta in chunks) == message["content"]
    assert "".join(delta.get("reasoning_content", "") for delta in chunks) == message["reasoning_content"]
    stored = live.runtime.store.interaction(whole["id"])
    assert stored is not None
    assert stored.answer == message["content"]
    assert stored.parameters["prompting"] == {"chain_of_thought": True, "reasoning": message["reasoning_content"]}


def test_a_clients_own_form_leaves_no_room_for_thoughts(serve: Asking) -> None:
    live = serve(Prompting(chain_of_thought=ChainOfThought()))
    answer = post(live, seed=4, response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}})
    assert "reasoning_content" not in answer["choices"][0]["message"]
    assert json.loads(text(answer))["symptom"] in FIELDS


def test_the_majority_of_the_samples_is_answered_with_its_share(serve: Asking) -> None:
    live = serve(Prompting(self_consistency=SelfConsistency(samples=7, temperature=1.0)))
    answer = post(live, seed=5)
    samples = post(live, seed=5, n=7, temperature=1.0)
    texts = [text(samples, k) for k in range(7)]
    most = max(texts, key=lambda one: (texts.count(one), -texts.index(one)))
    assert text(answer) == most
    assert answer["choices"][0]["vote_share"] == pytest.approx(texts.count(most) / 7)
    assert "vote_share" not in samples["choices"][0]
    assert answer["usage"] == samples["usage"]
    stored = live.runtime.store.interaction(answer["id"])
    assert stored is not None
    notes = {"self_consistency": 7, "vote_share": answer["choices"][0]["vote_share"]}
    assert stored.parameters["prompting"] == notes
    assert live.runtime.store.interaction(f"{answer['id']}:1") is None
    chunks = [chunk["choices"][0] for chunk in streamed(live, seed=5)]
    assert "".join(chunk["delta"].get("content", "") for chunk in chunks) == most
    assert chunks[-1]["vote_share"] == answer["choices"][0]["vote_share"]


def test_all_three_go_together_and_openais_client_reads_them(serve: Asking) -> None:
    few, thinking = FewShot(choose="fixed", examples=SHOTS), ChainOfThought(max_characters=10)
    live = serve(
        Prompting(few_shot=few, chain_of_thought=thinking, self_consistency=SelfConsistency(samples=3)), answer="json"
    )
    client = openai.OpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0)
    answer = client.chat.completions.create(model="intake", messages=ASK["messages"], seed=2)
    choice = answer.choices[0].model_dump()
    assert json.loads(choice["message"]["content"])["severity"] in (1, 2, 3)
    assert choice["message"]["reasoning_content"]
    assert choice["vote_share"] in (pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0)


def test_a_labelling_task_answers_one_of_its_labels(serve: Asking, base: Path, tmp_path: Path) -> None:
    labels = ("spam", "not spam", 'say "ham"')
    folder = models.make_version(tmp_path / "labels", base, seed=3)
    live = Live(
        f"sqlite:///{tmp_path / 'labels.db'}",
        source("1", folder, base),
        {"answer": "label", "labels": labels, "schema_": None},
    )
    try:
        assert {text(post(live, seed=seed)) for seed in range(6)} <= set(labels)
    finally:
        live.close()


def test_store_true_fills_the_tasks_table_with_valid_answers_only(serve: Asking) -> None:
    live = serve()
    table = live.runtime.answers
    kept = post(live, seed=6, store=True)
    cut = post(live, seed=6, store=True, max_tokens=5)
    post(live, seed=6)
    with live.runtime.store.engine.connect() as connection:
        rows = connection.execute(sa.select(table.table)).mappings().all()
    assert [(row["interaction_id"], row["model_version"], row["answer"]) for row in rows] == [
        (kept["id"], "1", json.loads(text(kept)))
    ]
    assert live.runtime.store.interaction(cut["id"]) is not None


def test_the_intakes_own_schema_gives_typed_columns(base: Path, tmp_path: Path) -> None:
    from tasks.intake.schema import IntakeNote

    folder = models.make_version(tmp_path / "intake", base, seed=3, schema=IntakeNote.model_json_schema())
    live = Live(f"sqlite:///{tmp_path / 'intake.db'}", source("1", folder, base))
    try:
        answers = post(live, seed=7, n=8, store=True)["choices"]
        valid = [c["message"]["content"] for c in answers if c["finish_reason"] == "stop"]
        assert valid
        query = sa.text(f"SELECT severity, count(*) FROM {live.runtime.answers.name} GROUP BY severity")
        with live.runtime.store.engine.connect() as connection:
            counted = dict(connection.execute(query).tuples().all())
        expected = [json.loads(one)["severity"] for one in valid]
        assert counted == {severity: expected.count(severity) for severity in set(expected)}
    finally:
        live.close()
