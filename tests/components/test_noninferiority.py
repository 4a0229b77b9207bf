"""Properties of paired intervals that hold for any data, and what rows can prove."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.noninferiority import (
    allowed_loss,
    look_errors,
    look_sizes,
    paired_interval,
    provable_loss,
    rows_to_prove,
    share_upper,
    sign_test,
    stratified_interval,
)

MATCHES = st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=80)
ANY = st.lists(st.floats(-1, 1).map(lambda v: round(v, 3)), min_size=1, max_size=60)
FEW = settings(deadline=None, max_examples=60)


@given(MATCHES | ANY)
@FEW
def test_the_interval_contains_the_gain(gains: list[float]) -> None:
    interval = paired_interval(gains, 0.025)
    assert -1 <= interval.lower <= interval.gain + 1e-9
    assert interval.gain - 1e-9 <= interval.upper <= 1


@given(MATCHES)
@FEW
def test_swapping_champion_and_candidate_mirrors_the_interval(gains: list[float]) -> None:
    ours, theirs = paired_interval(gains, 0.025), paired_interval([-gain for gain in gains], 0.025)
    assert ours.lower == pytest.approx(-theirs.upper, abs=1e-9)
    assert ours.upper == pytest.approx(-theirs.lower, abs=1e-9)


@given(MATCHES | ANY)
@FEW
def test_less_error_never_narrows_the_interval(gains: list[float]) -> None:
    narrow, wide = paired_interval(gains, 0.1), paired_interval(gains, 0.005)
    assert wide.lower <= narrow.lower
    assert narrow.upper <= wide.upper


def test_rows_that_all_agree_prove_no_more_than_their_number_allows() -> None:
    """A bootstrap of no differences at all has no width: sixty rows would prove anything."""
    assert paired_interval([0.0] * 60, 0.025).lower == pytest.approx(-0.0602, abs=1e-4)
    assert paired_interval([0.0] * 3000, 0.025).lower > -0.0015


@pytest.mark.parametrize(("wins", "losses", "rows"), [(1, 0, 44), (12, 2, 60), (5, 9, 400), (40, 70, 3000)])
def test_at_each_bound_the_score_statistic_is_that_of_the_restricted_likelihood(
    wins: int, losses: int, rows: int
) -> None:
    """Tango's definition, with the likelihood maximised numerically rather than by his closed form."""
    from scipy.optimize import minimize_scalar

    interval = paired_interval([1.0] * wins + [-1.0] * losses + [0.0] * (rows - wins - losses), 0.025)
    for difference, expected in ((interval.lower, 1.96), (interval.upper, -1.96)):

        def loss_of(losing: float, difference: float = difference) -> float:
            shares = (losing + difference, losing, 1 - 2 * losing - difference)
            counts = (wins, losses, rows - wins - losses)
            return -sum(n * np.log(max(p, 1e-300)) for n, p in zip(counts, shares, strict=True) if n)

        low, high = max(0.0, -difference), (1 - difference) / 2
        losing = minimize_scalar(loss_of, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
        variance = (2 * losing + difference - difference**2) / rows
        assert ((wins - losses) / rows - difference) / variance**0.5 == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(("rows", "loss"), [(60, 0.1), (400, 0.05), (1000, 0.02), (3000, 0.02)])
@pytest.mark.parametrize("discordant", [0.01, 0.05])
def test_a_loss_of_the_bound_is_excluded_no_more_often_than_the_error_says(
    rows: int, loss: float, discordant: float
) -> None:
    rng, trials = np.random.default_rng(rows), 4000
    chances = [discordant / 2, discordant / 2 + loss, 1 - discordant - loss]
    counts, times = np.unique(rng.multinomial(rows, chances, size=trials), axis=0, return_counts=True)
    excluded = 0
    for (wins, losses, same), count in zip(counts, times, strict=True):
        interval = paired_interval([1.0] * wins + [-1.0] * losses + [0.0] * same, 0.025)
        excluded += int(count) * (interval.lower > -loss)
    assert excluded / trials < 0.025 + 3 * (0.025 * 0.975 / trials) ** 0.5


def test_other_metrics_agree_with_scipys_own_bootstrap() -> None:
    from scipy.stats import bootstrap

    rng = np.random.default_rng(3)
    gains = rng.integers(0, 2, 200) * 0.5 + 0.3 - rng.integers(0, 2, 200)
    ours = paired_interval(gains, 0.025, seed=1)
    theirs = bootstrap(
        (gains,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert (ours.lower, ours.upper) == pytest.approx((theirs.low, theirs.high), abs=0.005)


def test_sets_looked_at_in_proportion_are_one_set() -> None:
    rng = np.random.default_rng(4)
    one, other = (rng.choice([-1.0, 0.0, 1.0], size=n, p=[0.03, 0.95, 0.02]) for n in (300, 900))
    apart = stratified_interval([one, other], [0.25, 0.75], 0.025)
    assert apart == pytest.approx(paired_interval(np.concatenate([one, other]), 0.025), abs=1e-6)


def test_a_set_weighs_by_its_rows_at_hand_and_not_by_those_looked_at() -> None:
    bad, good = np.array([-1.0] * 50 + [0.0] * 450), np.zeros(500)
    assert stratified_interval([bad, good], [0.1, 0.9], 0.025).gain == pytest.approx(-0.01)
    few = stratified_interval([bad, good], [0.9, 0.1], 0.025)
    assert few.gain == pytest.approx(-0.09)
    assert few.upper - few.lower > 2 * (paired_interval([*bad, *good], 0.025).upper + 0.05)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_weighted_interval_misses_no_more_often_than_its_error_says(share: float) -> None:
    rng, trials, missed = np.random.default_rng(8), 1500, 0
    for _ in range(trials):
        strata = [rng.choice([-1.0, 0.0, 1.0], size=600, p=[loss + 0.015, 0.97 - loss, 0.015]) for loss in (0.04, 0.01)]
        missed += stratified_interval(strata, [share, 1 - share], 0.025).lower > -(0.04 * share + 0.01 * (1 - share))
    assert missed / trials < 0.025 + 3 * (0.025 * 0.975 / trials) ** 0.5


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        paired_interval([], 0.025)


def test_four_wins_and_no_loss_could_be_chance() -> None:
    assert sign_test([1, 1, 1, 1, 0, 0]) == pytest.approx(1 / 16)
    assert sign_test([0.0, 0.0]) == 1.0


def test_the_upper_bound_of_a_share_is_clopper_and_pearsons() -> None:
    assert share_upper(0, 60, 0.05) == pytest.approx(1 - 0.05 ** (1 / 60))
    assert share_upper(5, 5, 0.05) == 1.0


@given(st.integers(1, 40_000), st.integers(50, 2000))
@FEW
def test_looks_grow_end_with_every_row_and_share_the_error(rows: int, first: int) -> None:
    sizes = look_sizes(rows, first)
    assert sizes[-1] == rows
    assert list(sizes) == sorted(set(sizes))
    assert sum(look_errors(len(sizes), 0.025)) == pytest.approx(0.025)
    assert look_errors(len(sizes), 0.025)[-1] >= 0.9 * 0.025


def test_more_rows_prove_smaller_losses_and_back() -> None:
    losses = [provable_loss(rows, 0.025) for rows in (20, 60, 100, 300, 301, 1000, 5000)]
    assert losses == sorted(losses, reverse=True)
    assert rows_to_prove(0.02, 0.025) == 886
    assert provable_loss(886, 0.025) <= 0.02 < provable_loss(885, 0.025)
    assert provable_loss(0, 0.025) == 1.0


def test_what_old_tests_may_lose_is_sized_to_the_rows_within_limits() -> None:
    assert allowed_loss(0.3, 10, 0.025) == 0.3
    assert allowed_loss(None, 5000, 0.025) == 0.02
    assert allowed_loss(None, 10, 0.025) == 0.1
    assert provable_loss(400, 0.025) < allowed_loss(None, 400, 0.025) < 0.035
