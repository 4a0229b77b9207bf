"""Penalties, logit_bias, temperature, nucleus and seeds against slow, obvious references."""

from __future__ import annotations

import math
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from serving.engine import penalties, sampling

LOGITS = st.lists(st.floats(-20, 20, width=32), min_size=5, max_size=5)
PENALTY = st.floats(-2, 2, width=32)


@given(LOGITS, st.lists(st.integers(0, 4), max_size=12), PENALTY, PENALTY)
def test_penalties_follow_openais_formula(
    logits: list[float], generated: list[int], frequency: float, presence: float
) -> None:
    counts = torch.zeros(1, 5)
    for token in generated:
        counts[0, token] += 1
    ours = penalties.penalise(torch.tensor([logits]), counts, torch.tensor([frequency]), torch.tensor([presence]))
    for token, mu in enumerate(logits):
        c = generated.count(token)
        expected = mu - c * frequency - (1.0 if c > 0 else 0.0) * presence
        assert float(ours[0, token]) == pytest.approx(expected, abs=1e-4)


@given(LOGITS, st.dictionaries(st.integers(0, 4), st.floats(-100, 100, width=32), max_size=5))
def test_logit_bias_is_added(logits: list[float], biases: dict[int, float]) -> None:
    ours = penalties.bias(torch.tensor(logits), biases)
    for token, mu in enumerate(logits):
        assert float(ours[token]) == pytest.approx(mu + biases.get(token, 0.0), abs=1e-4)


def nucleus(logits: list[float], temperature: float, top_p: float) -> list[float]:
    """Softmax in plain Python, then the smallest set of most probable tokens that reaches top_p."""
    best = max(logits)
    weights = [math.exp((value - best) / temperature) for value in logits]
    chances = [weight / sum(weights) for weight in weights]
    if top_p >= 1:
        return chances
    mass, kept = 0.0, 0.0
    for chance in sorted(chances, reverse=True):
        kept = chance
        mass += chance
        if mass >= top_p:
            break
    return [chance if chance >= kept else 0.0 for chance in chances]


@given(LOGITS, st.floats(0.05, 2), st.floats(0, 1))
def test_the_nucleus_is_the_smallest_set_that_reaches_top_p(
    logits: list[float], temperature: float, top_p: float
) -> None:
    ours = sampling.distribution(torch.tensor([logits]), torch.tensor([temperature]), torch.tensor([top_p]))[0]
    chances = nucleus(torch.tensor(logits).tolist(), temperature, top_p)
    sums = torch.tensor(sorted(nucleus(logits, temperature, 1.0), reverse=True), dtype=torch.float64).cumsum(0)
    if bool(((sums - top_p).abs() < 1e-9).any()):
        return  # on the very edge, rounding decides
    assert ours.tolist() == pytest.approx(chances, abs=1e-6)


@given(LOGITS, st.integers(0, 2**31), st.floats(0.1, 2), st.floats(0.1, 1))
def test_a_draw_does_not_depend_on_the_other_rows(
    logits: list[float], seed: int, temperature: float, top_p: float
) -> None:
    uniform = random.Random(seed).random()

    def drawn(rows: list[list[float]], line: int) -> int:
        count = len(rows)
        chances = sampling.distribution(
            torch.tensor(rows), torch.full((count,), temperature), torch.full((count,), top_p)
        )
        numbers = torch.full((count,), 0.5, dtype=torch.float64)
        numbers[line] = uniform
        return int(sampling.draw(chances, numbers)[line])

    others = [[0.0, 1.0, 2.0, 3.0, 4.0], [9.0, -9.0, 0.0, 0.0, 0.0]]
    assert drawn([logits], 0) == drawn([*others, logits], 2)


def test_draws_come_as_often_as_their_probability() -> None:
    chances = torch.tensor([[0.5, 0.0, 0.3, 0.2]], dtype=torch.float64).repeat(4000, 1)
    generator = torch.Generator().manual_seed(1)
    drawn = sampling.draw(chances, torch.rand(4000, dtype=torch.float64, generator=generator))
    shares = torch.bincount(drawn, minlength=4) / 4000
    assert shares.tolist() == pytest.approx([0.5, 0.0, 0.3, 0.2], abs=0.03)


def test_a_draw_at_either_end_has_a_probability_above_zero() -> None:
    chances = torch.tensor([[0.0, 0.7, 0.3, 0.0]], dtype=torch.float64)
    assert int(sampling.draw(chances, torch.tensor([0.0]))) == 1
    assert int(sampling.draw(chances, torch.tensor([1.0 - 1e-16], dtype=torch.float64))) == 2


def test_the_smallest_temperatures_do_not_overflow() -> None:
    chances = sampling.distribution(
        torch.tensor([[1.0, 2.0, -torch.inf]]), torch.tensor([1e-300], dtype=torch.float64), torch.ones(1)
    )
    assert chances.tolist() == [[0.0, 1.0, 0.0]]
