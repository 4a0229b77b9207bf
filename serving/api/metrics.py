"""What Prometheus sees at /metrics, per version where that says something."""

from __future__ import annotations

import time

from prometheus_client import Counter, Gauge, Histogram

from serving.engine.interface import Engine, Request

REQUESTS = Counter("saqia_requests", "Requests answered, by outcome.", ["endpoint", "version", "status"])
PROMPT_TOKENS = Counter("saqia_prompt_tokens", "Prompt tokens read.", ["version"])
COMPLETION_TOKENS = Counter("saqia_completion_tokens", "Tokens generated.", ["version"])
FEEDBACK = Counter("saqia_feedback", "Feedback events stored.", ["version", "kind"])
TO_FIRST_TOKEN = Histogram(
    "saqia_time_to_first_token_seconds",
    "From acceptance to the first token.",
    ["version"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
DURATION = Histogram(
    "saqia_request_seconds",
    "From acceptance to the whole answer.",
    ["version"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
INTER_TOKEN = Histogram(
    "saqia_inter_token_seconds",
    "Mean time between the tokens of an answer, after the first.",
    ["version"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
)
ANSWERS = Counter(
    "saqia_structured_answers",
    "Answers of requests with store: true; invalid ones are in no table of structured answers.",
    ["version", "outcome"],
)
MIRROR = Counter("saqia_mirror", "Answers copied to MLflow, refused by it, or dropped before it.", ["outcome"])
LIMITED = Counter("saqia_limited", "Requests refused by a key's limit or for want of a key or scope.", ["status"])
QUEUE = Gauge("saqia_queue_depth", "Requests waiting for a place in the batch.", multiprocess_mode="livesum")
BATCH = Gauge("saqia_batch_rows", "Rows in the running batch.", ["version"], multiprocess_mode="livesum")
SERVING = Gauge("saqia_version_serving", "1 for the version that serves now.", ["version"], multiprocess_mode="max")


def record(request: Request, generated: int) -> None:
    """Count one finished request."""
    version = request.model
    PROMPT_TOKENS.labels(version).inc(request.prompt_tokens)
    COMPLETION_TOKENS.labels(version).inc(generated)
    if request.first_token is not None:
        TO_FIRST_TOKEN.labels(version).observe(request.first_token - request.submitted)
        if generated > 1:
            between = (time.monotonic() - request.first_token) / (generated - 1)
            INTER_TOKEN.labels(version).observe(between)
    DURATION.labels(version).observe(time.monotonic() - request.submitted)


_seen: set[str] = set()
"""Versions that gauges were set for: those that left must fall to 0, not stay as they were."""


def sample(engines: list[Engine], serving: str | None) -> None:
    """Set the gauges to what the engines do now."""
    states = [engine.state() for engine in engines]
    QUEUE.set(sum(state.waiting for state in states))
    rows: dict[str, int] = dict.fromkeys(_seen, 0)
    for state in states:
        for version, count in state.rows_by_model.items():
            rows[version] = rows.get(version, 0) + count
    _seen.update(rows)
    for version, count in rows.items():
        BATCH.labels(version).set(count)
        SERVING.labels(version).set(version == serving)
