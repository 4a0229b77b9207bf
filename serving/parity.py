"""The proof that the service answers as the training side did: a version's golden prompts, asked again here.

Rendered by the serving path's own template and tokenizer, scored by the engine that will
answer. Other token ids, or a log-probability outside the tolerance, and the version is not
served: a model asked in other tokens than it was taught with is quietly worse.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from components import golden
from components.golden import GoldenPrompt
from serving.engine.interface import Event, Finished, Request, Sampling
from serving.versions import Served

TOLERANCE = golden.TOLERANCE
"""Nats. Merged and unmerged, batched and single float32 computations differ by about 1e-5."""


@dataclass(frozen=True)
class Parity:
    """What the proof found."""

    holds: bool
    prompts: int
    worst: float
    """Largest difference of a log-probability, in nats."""
    problem: str = ""


def prove(served: Served, folder: Path, timeout: float = 60.0) -> Parity:
    """Ask a loaded version its golden prompts.

    Raises:
        ModelError: golden.json is missing or damaged.
    """
    worst = 0.0
    prompts = golden.read(folder)
    if not prompts:
        return Parity(False, 0, 0.0, f"{folder / golden.FILE} holds no prompt: nothing proves this version")
    for number, prompt in enumerate(prompts, 1):
        rendered = served.prompt_ids(prompt.messages)
        if (at := first_difference(rendered, prompt.prompt_ids)) is not None:
            here, there = (_token(served, ids, at) for ids in (rendered, prompt.prompt_ids))
            problem = f"golden prompt {number}: token {at} is {here} here and {there} in training"
            return Parity(False, number, worst, problem + "; chat template or tokenizer differ")
        scored = _score(served, prompt, timeout)
        for offset, (now, then) in enumerate(zip(scored, prompt.logprobs, strict=True)):
            worst = max(worst, abs(now - then))
            if not abs(now - then) <= TOLERANCE:
                token = _token(served, prompt.answer_ids, offset)
                problem = (
                    f"golden prompt {number}: answer token {offset} ({token}) has log-probability {now:.4f} here and "
                    f"{then:.4f} in training; they may differ by {TOLERANCE}"
                )
                return Parity(False, number, worst, problem)
    return Parity(True, len(prompts), worst)


def first_difference(left: Sequence[int], right: Sequence[int]) -> int | None:
    """Index of the first token that differs, or None where both are alike."""
    if list(left) == list(right):
        return None
    pairs = enumerate(zip(left, right, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(left), len(right)))


def _score(served: Served, prompt: GoldenPrompt, timeout: float) -> list[float]:
    """Log-probabilities of the golden answer, by the engine."""
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    request = Request(
        id="parity",
        model=served.version,
        prompt=(*prompt.prompt_ids, *prompt.answer_ids),
        sampling=Sampling(max_tokens=0, temperature=0, prompt_logprobs=True),
        on_event=events.put,
        deadline=time.monotonic() + timeout,
    )
    served.engine.submit(request)
    end = events.get(timeout=timeout + 5)
    assert isinstance(end, Finished), "a request that does not stream ends in one event"
    if end.error is not None:
        raise end.error
    return [token.logprob or 0.0 for token in end.prompt_tokens[len(prompt.prompt_ids) :]]


def _token(served: Served, ids: Sequence[int], at: int) -> str:
    if at >= len(ids):
        return "missing"
    return f"{ids[at]} {served.tokenizer.decode([ids[at]])!r}"
