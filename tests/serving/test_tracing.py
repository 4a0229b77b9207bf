"""OpenTelemetry: spans reach a real OTLP receiver where one is named, and nothing is sent anywhere else."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.serving.live import Live, source

ASK: dict[str, Any] = {"model": "intake", "messages": [{"role": "user", "content": "My elbow."}], "max_tokens": 4}


class Receiver(BaseHTTPRequestHandler):
    """OTLP over HTTP, as much as it takes."""

    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.bodies.append((self.path, body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Collector(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.bodies: list[tuple[str, bytes]] = []

    def spans(self) -> list[Any]:
        """Every span that arrived."""
        requests = [ExportTraceServiceRequest.FromString(body) for path, body in self.bodies if path == "/v1/traces"]
        return [
            s for r in requests for resource in r.resource_spans for scope in resource.scope_spans for s in scope.spans
        ]


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join(5)
    server.server_close()


def attributes(span: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


def test_a_request_is_a_span_that_continues_the_callers_trace(
    base: Path, version_1: Path, tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
    live = Live(f"sqlite:///{tmp_path / 'saqia.db'}", source("1", version_1, base))
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    try:
        headers = {"traceparent": f"00-{trace}-{parent}-01", "x-request-id": "req-7"}
        httpx.post(f"{live.url}/v1/chat/completions", json=ASK, headers=headers, timeout=60)
        httpx.get(f"{live.url}/readyz")
        httpx.get(f"{live.url}/v1/models/nothing")
    finally:
        live.close()
        live.app.state.tracing.close()
    answered, missing = sorted(collector.spans(), key=lambda span: span.name, reverse=True)
    assert (answered.trace_id.hex(), answered.parent_span_id.hex()) == (trace, parent)
    assert answered.name == "POST /v1/chat/completions"
    found = attributes(answered)
    assert found["http.response.status_code"] == 200
    assert (found["saqia.version"], found["saqia.request_id"]) == ("1", "req-7")
    (event,) = answered.events
    assert attributes(event)["gen_ai.usage.output_tokens"] == 4
    assert attributes(missing)["http.response.status_code"] == 404
    assert b"elbow" not in b"".join(body for _, body in collector.bodies)


def test_without_an_endpoint_there_is_no_tracer_and_with_a_dead_one_answers_come(
    base: Path, version_1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = Live(f"sqlite:///{tmp_path / 'one.db'}", source("1", version_1, base))
    live.close()
    assert live.app.state.tracing.tracer is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    live = Live(f"sqlite:///{tmp_path / 'two.db'}", source("1", version_1, base))
    try:
        assert httpx.post(f"{live.url}/v1/chat/completions", json=ASK, timeout=60).status_code == 200
    finally:
        live.close()
        live.app.state.tracing.close()
