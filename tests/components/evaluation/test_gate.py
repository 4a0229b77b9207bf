"""The rule's operating curve, by simulation over the rule's own code: what it lets through, and what it refuses.

The bounds are those of docs/gate.md with the simulation's own error (three standard deviations) as slack.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.gate import MIDDLE, SMALL, TEN, Candidate, lost, measured
from components.evaluation.gate import Guard, broken_limit, judge_fixed, judge_guards, judge_target, own_bound

TURNS = 400
SLACK = 3 * (0.05 * 0.95 / TURNS) ** 0.5


@pytest.mark.parametrize(
    ("candidate", "least"),
    [
        (lost(0.0), 0.97),
        (lost(0.003), 0.9),
        (replace(Candidate(), gain=0.15), 0.95),
        (replace(Candidate(), fixed=200), 0.95),
        (replace(Candidate(), fixed=1000), 0.95),
        (replace(Candidate(), fixed=30), 0.95),
        (TEN, 0.88),
        (MIDDLE, 0.8),
        (SMALL, 0.8),
    ],
    ids=[
        "nothing lost",
        "0.003 lost",
        "gain 0.15",
        "200 fixed",
        "1000 fixed",
        "30 fixed",
        "ten",
        "600 rows",
        "60 rows",
    ],
)
def test_good_candidates_pass(candidate: Candidate, least: float) -> None:
    candidate = candidate if candidate.target > 60 else replace(candidate, gain=0.7)
    assert measured(candidate, TURNS, seed=11).promoted >= least - SLACK


@pytest.mark.parametrize(
    "candidate",
    [
        lost(0.021),
        lost(0.03),
        replace(Candidate(), losses={"test": 0.021}),
        replace(Candidate(), losses={"replay": 0.04}),
        replace(Candidate(), gain=0.0),
        replace(Candidate(), gain=0.0, target=25),
        replace(Candidate(), gain=-0.1),
        replace(Candidate(), fixed=200, broken=0.15, mended=0.15),
        replace(Candidate(), fixed=1000, broken=0.12, mended=0.12),
        replace(Candidate(), fixed=1000, broken=0.06, mended=0.02),
        replace(TEN, losses={"guard 3": 0.06}),
        lost(0.04, MIDDLE),
        lost(0.11, SMALL),
    ],
    ids=str,
)
def test_bad_candidates_are_refused(candidate: Candidate) -> None:
    assert measured(candidate, TURNS, seed=12).promoted <= 0.05 + SLACK


def test_all_looks_together_spend_the_error_once() -> None:
    """A loss of exactly the bound, looked at many times."""
    many = replace(Candidate(), losses={"test": 0.02}, guards={"test": 16_000})
    assert measured(many, TURNS, seed=13).promoted <= 0.025 + SLACK


def test_a_loss_on_one_guard_is_not_paid_for_by_another() -> None:
    good, bad = np.zeros(5000), np.array([-1.0] * 55 + [0.0] * 945)
    result = judge_guards([Guard("a", good, 5000), Guard("b", bad, 1000)], 0.02, 0.025, 0.025)
    assert result.together.status == "kept"
    assert {part.name: part.status for part in result.each} == {"a": "kept", "b": "lost"}
    assert result.status == "lost"


def test_small_losses_since_the_best_version_add_up_to_a_refusal() -> None:
    against_champion, against_best = np.zeros(4000), np.array([-1.0] * 120 + [0.0] * 3880)
    guard = Guard("test", against_champion, 4000, since_best=against_best)
    result = judge_guards([guard], 0.02, 0.025, 0.025)
    assert result.together.status == "kept"
    assert result.since_best is not None
    assert result.since_best.status == "lost"
    assert result.status == "lost"


def test_too_few_rows_are_no_proof_and_no_accusation() -> None:
    result = judge_guards([Guard("test", np.zeros(40), 40)], 0.02, 0.025, 0.025)
    assert result.status == "open"


def test_a_small_guards_own_bound_is_what_its_rows_can_show() -> None:
    assert own_bound(60, 0.02, 0.025) > own_bound(400, 0.02, 0.025) > own_bound(5000, 0.02, 0.025) == 0.02


def test_fixed_cases_are_judged_as_a_whole() -> None:
    right = [1.0] * 231
    kept = judge_fixed([*right, *[0.0] * 40], [0.0, *right[1:], *[1.0] * 35, *[0.0] * 5], 0.05, 0.025)
    assert (kept.status, kept.broken, kept.mended, kept.cases) == ("kept", 1, 35, 231)
    more = judge_fixed(right, [*[0.0] * 8, *right[8:]], 0.05, 0.025)
    assert more.status == "lost"
    many = judge_fixed([*right, *[0.0] * 40], [*[0.0] * 25, *right[25:], *[1.0] * 30, *[0.0] * 10], 0.1, 0.025)
    assert (many.status, many.more_broken > 0.025) == ("open", True)
    assert judge_fixed([], [], 0.1, 0.025).status == "kept"
    assert broken_limit(1000, 0.1, 0.025) == 0.1


def test_a_lucky_win_on_few_rows_is_no_gain() -> None:
    assert judge_target([1.0] * 4 + [0.0] * 20, 20, 0.025, 0).status == "open"
    assert judge_target([1.0] * 8 + [0.0] * 20, 20, 0.025, 0).status == "better"
    assert judge_target([1.0] * 8, 20, 0.025, 0).status == "too_few"
