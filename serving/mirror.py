"""Answers as MLflow traces, and what is said of them as assessments, for whoever looks there: made in the background.

The database is the record; this may lag, and may lose. A request hands its answer over in
microseconds and never waits or fails: when more than `serving.mirror_queue` answers wait, the
newest is dropped and counted, and an MLflow that refuses is counted too. A trace carries the
completion's id as `client_request_id`, which joins it to the database.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from components.models import first_line
from components.schema import Feedback, Interaction
from serving.api import metrics

log = logging.getLogger("saqia.mirror")

Mirrored = Interaction | Feedback

METRICS_ENDPOINTS = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Where it finds one of these as it makes its exporter, MLflow sends durations of spans there, by gRPC, whose package
is not installed; the trace is lost over it. They are the service's own (`tracing.py`), which has read them by then."""


class Mirror(Protocol):
    """Takes answers that are on disk already."""

    def add(self, one: Mirrored) -> None:
        """Never waits and never raises."""
        ...

    def close(self, seconds: float) -> None:
        """Give what waits so long to get through."""
        ...


class NoMirror:
    """`serving.mirror: none`."""

    def add(self, one: Mirrored) -> None:
        pass

    def close(self, seconds: float) -> None:
        pass


class BackgroundMirror:
    """One thread that writes; a bounded queue before it."""

    def __init__(self, write: Callable[[Mirrored], None], waiting: int) -> None:
        self._write = write
        self._queue: queue.Queue[Mirrored] = queue.Queue(waiting)
        self._closing = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)
        self._thread.start()

    def add(self, one: Mirrored) -> None:
        try:
            self._queue.put_nowait(one)
        except queue.Full:
            metrics.MIRROR.labels("dropped").inc()

    @property
    def waiting(self) -> int:
        """Answers that are not written yet."""
        return self._queue.qsize()

    def close(self, seconds: float) -> None:
        self._closing.set()
        self._thread.join(seconds)
        left = self.waiting
        if left:
            metrics.MIRROR.labels("dropped").inc(left)
            log.warning("%d answers did not reach the mirror before the service ended", left)

    def _run(self) -> None:
        while True:
            try:
                one = self._queue.get(timeout=0.2)
            except queue.Empty:
                if self._closing.is_set():
                    return
                continue
            try:
                self._write(one)
            except Exception as error:
                metrics.MIRROR.labels("failed").inc()
                if not self._failing:
                    log.warning("answers do not reach MLflow (%s); they are in the database", first_line(error))
                self._failing = True
            else:
                metrics.MIRROR.labels("written").inc()
                self._failing = False


class MlflowTraces:
    """Writes an answer as a trace of the experiment `<task>-answers`, and an event as an assessment of its trace."""

    def __init__(self, task: str) -> None:
        self._task = task
        self._experiment: str | None = None

    def __call__(self, one: Mirrored) -> None:
        if isinstance(one, Feedback):
            from components.registry.assessments import push

            push(self._task, one)
        else:
            self._trace(one)

    def _trace(self, interaction: Interaction) -> None:
        # Read when MLflow's exporter is built: ours is the background already, and must see what fails.
        os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
        os.environ.setdefault("MLFLOW_ENABLE_OTLP_EXPORTER", "false")
        import mlflow
        from mlflow.entities import SpanType
        from mlflow.tracing.client import TracingClient
        from mlflow.tracing.provider import safe_set_span_in_context

        from components.registry.store import client, experiment

        client()
        if self._experiment is None:
            mlflow.tracing.reset()  # an exporter that was built before would keep its address and its own background
            with _unset(METRICS_ENDPOINTS):
                mlflow.tracing.enable()
            self._experiment = experiment(f"{self._task}-answers")
        end = int(interaction.created_at.timestamp() * 1e9)
        span = mlflow.start_span_no_context(
            name="answer",
            span_type=SpanType.CHAT_MODEL,
            inputs={"messages": [message.model_dump() for message in interaction.messages]},
            tags={"saqia.task": interaction.task, "saqia.version": interaction.model_version},
            experiment_id=self._experiment,
            start_time_ns=end - int(interaction.latency_ms * 1e6),
        )
        span.set_attributes(
            {
                "finish_reason": interaction.finish_reason,
                "prompt_tokens": interaction.prompt_tokens,
                "completion_tokens": interaction.completion_tokens,
                "parameters": dict(interaction.parameters),
            }
        )
        with safe_set_span_in_context(span):
            mlflow.update_current_trace(client_request_id=interaction.id)
        span.end(outputs={"role": "assistant", "content": interaction.answer}, end_time_ns=end)
        # MLflow only warns where a trace, or what belongs to it, is lost; its client would ask its memory first.
        if TracingClient().store.get_trace_info(span.trace_id).client_request_id != interaction.id:
            raise RuntimeError("MLflow kept the trace only in part")


@contextmanager
def _unset(names: Sequence[str]) -> Iterator[None]:
    """Environment variables taken away for a moment."""
    taken = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(taken)
