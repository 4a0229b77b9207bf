"""Golden prompts asked of an engine: the golden answer scored, or the tokens that it chooses itself."""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from components import golden
from serving.engine.interface import Event, Finished, Parity, Request, Sampling

if TYPE_CHECKING:
    from components.golden import GoldenPrompt
    from components.schema import Message
    from serving.engine.interface import Engine

TOLERANCE = golden.TOLERANCE
"""Nats. Merged and unmerged, batched and single float32 computations differ by about 1e-5."""


def by_logprobs(engine: Engine, name: str, prompts: Sequence[GoldenPrompt], timeout: float) -> Parity:
    """Every golden answer scored by the engine, token by token, against what the training side computed."""
    worst = 0.0
    for number, prompt in enumerate(prompts, 1):
        scoring = Sampling(max_tokens=0, temperature=0, prompt_logprobs=True)
        end = ask(engine, name, (*prompt.prompt_ids, *prompt.answer_ids), scoring, timeout)
        scored = [token.logprob or 0.0 for token in end.prompt_tokens[len(prompt.prompt_ids) :]]
        for offset, (now, then) in enumerate(zip(scored, prompt.logprobs, strict=True)):
            worst = max(worst, abs(now - then))
            if not abs(now - then) <= TOLERANCE:
                problem = (
                    f"golden prompt {number}: answer token {offset} (id {prompt.answer_ids[offset]}) has "
                    f"log-probability {now:.4f} here and {then:.4f} in training; they may differ by {TOLERANCE}"
                )
                return Parity(False, number, worst, problem)
    return Parity(True, len(prompts), worst)


def by_tokens(engine: Engine, name: str, prompts: Sequence[GoldenPrompt], timeout: float) -> Parity:
    """Every golden prompt answered greedily by the engine: the token ids must be the golden ones."""
    for number, prompt in enumerate(prompts, 1):
        greedy = Sampling(max_tokens=len(prompt.answer_ids), temperature=0)
        answer = ask(engine, name, prompt.prompt_ids, greedy, timeout).ids
        if (at := first_difference(answer, prompt.answer_ids)) is not None:
            here, there = (ids[at] if at < len(ids) else "missing" for ids in (answer, prompt.answer_ids))
            problem = f"golden prompt {number}: answer token {at} is {here} here and {there} in training"
            return Parity(False, number, 0.0, problem)
    return Parity(True, len(prompts), 0.0)


def first_difference(left: Sequence[int], right: Sequence[int]) -> int | None:
    """Index of the first token that differs, or None where both are alike."""
    if list(left) == list(right):
        return None
    pairs = enumerate(zip(left, right, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(left), len(right)))


def ask(
    engine: Engine,
    name: str,
    prompt: Sequence[int],
    how: Sampling,
    timeout: float,
    messages: Sequence[Message] = (),
) -> Finished:
    """One request, waited for.

    Raises:
        EngineError: it could not be answered.
    """
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    deadline = time.monotonic() + timeout
    request = Request("parity", name, tuple(prompt), how, events.put, messages=tuple(messages), deadline=deadline)
    engine.submit(request)
    end = events.get(timeout=timeout + 5)
    assert isinstance(end, Finished), "a request that does not stream ends in one event"
    if end.error is not None:
        raise end.error
    return end
