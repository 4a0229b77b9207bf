"""Answers by a label head: one pass over the prompt, and every label with its probability."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from components import golden, label_head
from serving.engine.interface import EngineError, Parity, Refused, Request, TokenLogprob

if TYPE_CHECKING:
    from components.golden import GoldenPrompt
    from components.label_head import LabelHead
    from serving.engine.row import Row


def refusal(request: Request) -> EngineError | None:
    """What of a request a head cannot do; it does nothing else instead."""
    how = request.sampling
    for asked, param, what in (
        (not request.messages, "prompt", "continue a text: it answers conversations, POST /v1/chat/completions"),
        (how.grammar is not None, "response_format", "write in a form: it answers with one of its labels"),
        (how.stop, "stop", "stop within an answer: a label comes whole"),
        (how.frequency_penalty, "frequency_penalty", "weigh repetitions: it says one label"),
        (how.presence_penalty, "presence_penalty", "weigh repetitions: it says one label"),
        (how.logit_bias, "logit_bias", "bias tokens: it chooses among labels"),
        (0 < how.top_p < 1 and how.temperature > 0, "top_p", "draw from a nucleus; temperature it can"),
    ):
        if asked:
            return Refused(
                f"This model is a classifier (a label head) and cannot {what}.", param, "unsupported_by_model"
            )
    return None


def answer(model: Any, head: LabelHead, rows: Sequence[Row]) -> None:
    """Answer rows with their likeliest label, or with one drawn at the request's temperature."""
    scores = label_head.logprobs(model, head, [row.tokens for row in rows]).tolist()
    for row, scored in zip(rows, scores, strict=True):
        best_first = sorted(range(len(scored)), key=lambda at: -scored[at])
        chosen = best_first[0] if row.random is None else _drawn(row, scored)
        most = row.sampling.top_logprobs or 0
        top = tuple((head.labels[at].encode(), scored[at]) for at in best_first[:most])
        row.answer(head.labels[chosen], TokenLogprob(head.labels[chosen].encode(), scored[chosen], top))


def _drawn(row: Row, scored: Sequence[float]) -> int:
    assert row.random is not None
    highest = max(scored)
    weights = [math.exp((value - highest) / row.sampling.temperature) for value in scored]
    return row.random.choices(range(len(scored)), weights)[0]


def prove(model: Any, head: LabelHead, prompts: Sequence[GoldenPrompt]) -> Parity:
    """Every label's log-probability on the golden prompts against what the training side computed."""
    worst = 0.0
    for number, prompt in enumerate(prompts, 1):
        if len(prompt.labels) != len(head.labels):
            problem = f"golden prompt {number} scores {len(prompt.labels)} labels, the head has {len(head.labels)}"
            return Parity(False, number, worst, problem)
        now = label_head.logprobs(model, head, [prompt.prompt_ids])[0].tolist()
        for label, a, b in zip(head.labels, now, prompt.labels, strict=True):
            worst = max(worst, abs(a - b))
            if not abs(a - b) <= golden.TOLERANCE:
                problem = (
                    f"golden prompt {number}: label {label!r} has log-probability {a:.4f} here and {b:.4f} in "
                    f"training; they may differ by {golden.TOLERANCE}"
                )
                return Parity(False, number, worst, problem)
    return Parity(True, len(prompts), worst)
