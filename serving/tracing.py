"""OpenTelemetry traces of requests, sent only where OTEL_EXPORTER_OTLP_ENDPOINT says to whom (OTLP over HTTP).

One span a request, continuing the caller's trace (W3C `traceparent`), named and attributed by
OpenTelemetry's conventions for HTTP servers and generative AI; no message text. Spans leave in
batches from a thread of their own and are dropped when nobody takes them.
"""

from __future__ import annotations

import os
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.access.context import CURRENT

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class Tracing:
    """The tracer of one application; does nothing at all where no endpoint is set."""

    def __init__(self) -> None:
        self.tracer: Any = None
        self._provider: Any = None
        if not any(os.environ.get(name) for name in ENDPOINTS):
            return
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        resource = Resource.create({SERVICE_NAME: os.environ.get("OTEL_SERVICE_NAME", "saqia")})
        # Not the process's global provider: MLflow and BentoML would send their own spans there.
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self.tracer = self._provider.get_tracer("saqia")

    def close(self) -> None:
        """Send what waits."""
        if self._provider is not None:
            self._provider.shutdown()


class Traced:
    """ASGI middleware: a span around every request to the API."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._tracing.tracer is None or scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        caller = TraceContextTextMapPropagator().extract(headers)
        about = {"http.request.method": scope["method"], "url.path": scope["path"]}
        name = f"{scope['method']} {scope['path']}"
        with self._tracing.tracer.start_as_current_span(
            name, context=caller, kind=SpanKind.SERVER, attributes=about
        ) as span:
            if (context := CURRENT.get()) is not None:
                span.set_attribute("saqia.request_id", context.request)

            async def watched(message: Message) -> None:
                if message["type"] == "http.response.start":
                    status = message["status"]
                    span.set_attribute("http.response.status_code", status)
                    sent = dict(message["headers"])
                    if version := sent.get(b"x-saqia-version"):
                        span.set_attribute("saqia.version", version.decode())
                    if model := sent.get(b"x-saqia-model"):
                        span.set_attribute("gen_ai.response.model", model.decode())
                    if status >= 500:
                        span.set_status(Status(StatusCode.ERROR))
                await send(message)

            await self._app(scope, receive, watched)


def count_tokens(prompt: int, completion: int, to_first_token: float | None) -> None:
    """Put one answer's figures on the span at hand, if there is one."""
    from opentelemetry import trace

    span = trace.get_current_span()
    if span.is_recording():
        figures: dict[str, float] = {"gen_ai.usage.input_tokens": prompt, "gen_ai.usage.output_tokens": completion}
        if to_first_token is not None:
            figures["saqia.seconds_to_first_token"] = to_first_token
        span.add_event("answer", figures)
