"""How sure a paired difference is, and how many rows it takes to exclude a loss.

Two models answer the same rows. The gain of a row is the candidate's value minus the champion's: −1, 0 or 1 for exact
match. Everything here is a function of such gains or of counts. The rule that uses it is
`components/evaluation/gate.py`; docs/gate.md shows its operating curve.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DISCORDANT = 0.03
"""Share of rows that two good versions answer differently, for planning. Measured: 0.02 to 0.04 on the default task."""
LEAST_LOSS, MOST_LOSS = 0.02, 0.1
"""What old tests may lose where params.yaml says nothing: no less than the first, no more than the second."""
EXACT_ROWS = 300
MARGIN = 1e-6
"""So that a bound which the interval just reaches is excluded, whatever the last digit says."""
RESAMPLES = 20_000
EARLY_SHARE = 0.1
"""Share of the error that all looks but the last may spend."""

Gains = NDArray[np.float64]


class Interval(NamedTuple):
    """A mean gain and its two bounds; each misses the truth with at most the error it was made for."""

    gain: float
    lower: float
    upper: float


def paired_interval(gains: Sequence[float] | Gains, error: float, seed: int = 0) -> Interval:
    """Bounds of the mean paired gain, each with error `error`.

    Exact match (gains of −1, 0 and 1): the score interval of Tango 1998, "Equivalence test and confidence interval for
    the difference in proportions for the paired-sample design", Statistics in Medicine 17:891. It keeps its level with
    few rows and with no discordant row at all. Other metrics: percentiles of the paired bootstrap (Efron & Tibshirani
    1993, chapter 13).

    Raises:
        ValueError: no rows.
    """
    values = np.asarray(gains, dtype=np.float64)
    return stratified_interval([values], [1.0], error, seed)


def stratified_interval(strata: Sequence[Gains], weights: Sequence[float], error: float, seed: int = 0) -> Interval:
    """`paired_interval` of the weighted mean over several sets, of which unequal shares of rows were looked at.

    The counts of wins and losses are weighted, and stand for 1 / Σ(weight² / rows) rows (Kish 1965, Survey Sampling:
    effective sample size). Where each set was looked at in proportion to its weight, that is the plain interval.

    Args:
        weights: of the sets; together 1.

    Raises:
        ValueError: a set has no rows.
    """
    if not strata or any(values.size == 0 for values in strata):
        raise ValueError("a paired comparison needs at least one row")
    gain = sum(weight * float(values.mean()) for weight, values in zip(weights, strata, strict=True))
    if all(np.isin(values, (-1.0, 0.0, 1.0)).all() for values in strata):
        rows = 1 / sum(weight**2 / values.size for weight, values in zip(weights, strata, strict=True))
        wins = rows * sum(w * float((values == 1).mean()) for w, values in zip(weights, strata, strict=True))
        losses = rows * sum(w * float((values == -1).mean()) for w, values in zip(weights, strata, strict=True))
        lower, upper = _score_bounds(round(wins, 6), round(losses, 6), round(rows, 6), error)
        return Interval(gain, min(lower, gain), max(upper, gain))
    rng = np.random.default_rng(seed)
    means = sum(weight * _resampled(values, rng) for weight, values in zip(weights, strata, strict=True))
    low, high = np.quantile(means, [error, 1 - error])
    return Interval(gain, min(float(low), gain), max(float(high), gain))


def sign_test(gains: Sequence[float] | Gains) -> float:
    """Probability of at least so many wins among wins and losses, were both equally likely (exact McNemar test)."""
    from scipy.stats import binomtest

    values = np.asarray(gains, dtype=np.float64)
    wins, losses = int((values > 0).sum()), int((values < 0).sum())
    if wins + losses == 0:
        return 1.0
    return float(binomtest(wins, wins + losses, 0.5, alternative="greater").pvalue)


def share_upper(count: int, rows: int, error: float) -> float:
    """Upper bound of a share (Clopper & Pearson 1934)."""
    from scipy.stats import beta

    return 1.0 if count >= rows else float(beta.ppf(1 - error, count + 1, rows - count))


def look_sizes(rows: int, first: int) -> tuple[int, ...]:
    """How many rows have been answered at each look: `first`, doubled until all `rows` are in; fixed in advance.

    A last step of less than half the rows before it is joined to that look.
    """
    sizes = []
    size = first
    while size * 1.5 <= rows:
        sizes.append(size)
        size *= 2
    return (*sizes, rows)


def look_errors(looks: int, error: float) -> tuple[float, ...]:
    """How much error each of `looks` planned looks may spend; together `error` (Bonferroni over unequal parts).

    The last look has nine tenths, so that looking early costs next to nothing when all rows are needed in the end.
    """
    if looks == 1:
        return (error,)
    early = error * EARLY_SHARE / (looks - 1)
    return (*[early] * (looks - 1), error * (1 - EARLY_SHARE))


@lru_cache(maxsize=1024)
def provable_loss(rows: int, error: float, power: float = 0.9) -> float:
    """The loss that `rows` rows exclude with probability `power`, if nothing is lost and `DISCORDANT` rows differ.

    Few rows: exact, over every number of wins and losses. Many: the bound at the count of losses that is exceeded with
    probability 1 − `power` (normal approximation).
    """
    if rows < 1:
        return 1.0
    if rows > EXACT_ROWS:
        differing = rows * DISCORDANT
        surplus = NormalDist().inv_cdf(power) * math.sqrt(differing)
        return -_score_bounds((differing - surplus) / 2, (differing + surplus) / 2, rows, error)[0]
    from scipy.stats import binom

    chances = []
    most = int(binom.ppf(1 - 1e-6, rows, DISCORDANT))
    for differing in range(most + 1):
        for losses in range(differing + 1):
            chance = binom.pmf(differing, rows, DISCORDANT) * binom.pmf(losses, differing, 0.5)
            chances.append((-_score_bounds(differing - losses, losses, rows, error)[0], float(chance)))
    covered = 0.0
    for loss, chance in sorted(chances):
        covered += chance
        if covered >= power:
            return min(1.0, loss + MARGIN)
    return 1.0


def provable_gain(rows: int, error: float, power: float = 0.9) -> float:
    """The gain that `rows` rows show with probability `power`, if nothing but the gain differs (sign test)."""
    if rows < 1:
        return 1.0
    normal = NormalDist()
    z = normal.inv_cdf(1 - error) + normal.inv_cdf(power)
    return min(1.0, z * z / rows)


def allowed_loss(delta: float | None, rows: int, error: float) -> float:
    """The most that all guards together may lose: `promotion.delta`, or by default what `rows` rows can exclude.

    It is fixed before training, by the number of rows alone.
    """
    if delta is not None:
        return delta
    return min(MOST_LOSS, max(LEAST_LOSS, round(provable_loss(rows, error) + 0.0005, 3)))


def rows_to_prove(loss: float, error: float, power: float = 0.9) -> int:
    """The fewest rows with which `provable_loss` is at most `loss`."""
    low, high = 1, 2
    while provable_loss(high, error, power) > loss:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if provable_loss(middle, error, power) <= loss else (middle, high)
    return high


@lru_cache(maxsize=65_536)
def _score_bounds(wins: float, losses: float, rows: float, error: float) -> tuple[float, float]:
    z = NormalDist().inv_cdf(1 - error)
    gain = (wins - losses) / rows
    return _edge(wins, losses, rows, z, -1.0, gain), _edge(wins, losses, rows, -z, 1.0, gain)


def _edge(wins: float, losses: float, rows: float, z: float, outside: float, inside: float) -> float:
    """Where the score statistic crosses `z` between a difference that is refused and the observed one."""
    for _ in range(50):
        middle = (outside + inside) / 2
        refused = _score(wins, losses, rows, middle) > z if z > 0 else _score(wins, losses, rows, middle) < z
        outside, inside = (middle, inside) if refused else (outside, middle)
    return outside


def _score(wins: float, losses: float, rows: float, difference: float) -> float:
    """Tango's statistic for the hypothesis that the true difference is `difference` (his formula 3)."""
    a = 2 * rows
    b = -wins - losses + (2 * rows - wins + losses) * difference
    c = -losses * difference * (1 - difference)
    losing = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = rows * (2 * losing + difference * (1 - difference))
    distance = wins - losses - rows * difference
    return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance) if distance else 0.0


def _resampled(values: Gains, rng: np.random.Generator) -> Gains:
    """Means of bootstrap samples. The counts of each distinct gain are drawn: the same distribution, fewer numbers."""
    distinct, counts = np.unique(values, return_counts=True)
    draws = rng.multinomial(values.size, counts / values.size, size=RESAMPLES)
    return np.asarray(draws @ distinct / values.size, dtype=np.float64)
