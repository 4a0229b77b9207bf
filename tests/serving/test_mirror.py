"""The mirror to MLflow copies what it can and can never slow or fail a request."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from components.feedback import keys
from components.schema import Interaction, Message
from serving.api.metrics import MIRROR
from serving.mirror import BackgroundMirror, Mirrored, MlflowTraces
from tests.serving.live import Live, source

ASK: dict[str, Any] = {"model": "intake", "messages": [{"role": "user", "content": "My elbow."}], "max_tokens": 4}


def interaction(id: str) -> Interaction:
    return Interaction(
        id=id,
        created_at=datetime.now(UTC),
        task="intake",
        model_version="1",
        messages=(Message(role="user", content="hm"),),
        answer="so",
        finish_reason="stop",
        prompt_tokens=1,
        completion_tokens=1,
        latency_ms=5,
    )


def counted(outcome: str) -> float:
    return MIRROR.labels(outcome)._value.get()


def test_more_than_may_wait_is_dropped_at_once_and_counted() -> None:
    go_on, written = threading.Event(), []

    def slow(one: Mirrored) -> None:
        go_on.wait(30)
        written.append(one.id)

    before = counted("dropped")
    mirror = BackgroundMirror(slow, waiting=3)
    for number in range(10):
        mirror.add(interaction(str(number)))
    assert counted("dropped") - before >= 6
    go_on.set()
    mirror.close(30)
    assert len(written) + counted("dropped") - before == 10


def test_what_does_not_get_through_before_the_end_is_counted_as_dropped() -> None:
    stuck = threading.Event()
    before = counted("dropped")
    mirror = BackgroundMirror(lambda one: stuck.wait(30) and None, waiting=10)
    for number in range(4):
        mirror.add(interaction(str(number)))
    Live.until(lambda: mirror.waiting == 3)
    mirror.close(0.1)
    assert counted("dropped") - before == 3
    stuck.set()


def test_an_answer_is_a_trace_with_the_completions_id_and_no_key_and_a_loss_is_told(
    base: Path, version_1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.tracing.client import TracingClient

    from components.registry.store import client, experiment

    live = Live(f"sqlite:///{tmp_path / 'saqia.db'}", source("1", version_1, base), mirror="mlflow", api_keys="always")
    try:
        _, secret = keys.create(live.runtime.store.engine, "ana", ["use"])
        headers = {"Authorization": f"Bearer {secret}"}
        answer = httpx.post(f"{live.url}/v1/chat/completions", json=ASK, headers=headers, timeout=60).json()
    finally:
        live.runtime.mirror.close(120)
        live.close()
    (trace,) = client().search_traces(locations=[experiment("intake-answers")])
    assert trace.info.client_request_id == answer["id"]
    assert trace.info.tags["saqia.version"] == "1"
    (span,) = trace.data.spans
    assert span.inputs["messages"][-1]["content"] == "My elbow."
    assert span.outputs["content"] == answer["choices"][0]["message"]["content"]
    assert secret[10:].encode() not in (tmp_path / "mlflow.db").read_bytes()
    write = MlflowTraces("intake")
    write(interaction("whole"))
    refuse = MlflowException("the store is full")
    monkeypatch.setattr(TracingClient, "start_trace", lambda *_: (_ for _ in ()).throw(refuse))
    with pytest.raises((RuntimeError, MlflowException)):
        write(interaction("lost"))


def test_a_trace_arrives_where_opentelemetry_has_an_address_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.registry.store import client, experiment

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    MlflowTraces("intake")(interaction("both"))
    (trace,) = client().search_traces(locations=[experiment("intake-answers")])
    assert trace.info.client_request_id == "both"
    assert os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:9"


def test_an_mlflow_that_is_not_there_fails_no_request_and_is_counted(
    base: Path, version_1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/no/such/mlflow.db")
    (tmp_path / "no").write_text("a file where a folder should be")
    before = counted("failed")
    live = Live(f"sqlite:///{tmp_path / 'saqia.db'}", source("1", version_1, base), mirror="mlflow")
    try:
        assert httpx.post(f"{live.url}/v1/chat/completions", json=ASK, timeout=60).status_code == 200
        Live.until(lambda: counted("failed") > before)
        assert httpx.post(f"{live.url}/v1/chat/completions", json=ASK, timeout=60).status_code == 200
    finally:
        live.close()
