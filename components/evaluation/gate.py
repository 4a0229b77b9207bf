"""The gate's rule over numbers alone: what a candidate must show on its target, on old tests and on fixed cases.

Every part is a test of "the candidate is bad", and a candidate passes only if every part rejects that. So whatever is
bad about it, it passes with at most the error of the one part that looks at it: no correction for the number of guards
is needed (an intersection-union test; Berger 1982, Technometrics 24:295). docs/gate.md has the operating curve.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from components.noninferiority import (
    Gains,
    Interval,
    paired_interval,
    provable_loss,
    share_upper,
    sign_test,
    stratified_interval,
)

Status = Literal["kept", "lost", "open"]
"""kept: a loss above the bound is excluded. lost: there surely is one. open: the rows cannot say."""
FLIPS = 0.03
"""Share of fixed cases that a good candidate breaks by chance, and as many others it mends: see `broken_limit`.
Measured: 9 of 284 broken and 7 mended by a candidate that an independent draw called better."""
MOVED = 0.1
"""An answer is better or worse where its value moves by so much: a whole 1 for exact match."""


@dataclass(frozen=True)
class Guard:
    """One old test: the gains of the rows that were looked at, of all that are at hand."""

    name: str
    gains: Gains
    rows: int
    since_best: Gains | None = None
    """The same rows against the best version that ever served, where that is not the champion."""


@dataclass(frozen=True)
class Bounded:
    """A gain, the loss that has to be excluded, and whether it was."""

    name: str
    rows: int
    interval: Interval
    bound: float
    status: Status


@dataclass(frozen=True)
class GuardResult:
    """All guards at one look."""

    together: Bounded
    each: tuple[Bounded, ...]
    since_best: Bounded | None

    @property
    def parts(self) -> tuple[Bounded, ...]:
        return (self.together, *self.each, *((self.since_best,) if self.since_best else ()))

    @property
    def status(self) -> Status:
        """lost if any part is, kept if all are."""
        statuses = {part.status for part in self.parts}
        return "lost" if "lost" in statuses else "open" if "open" in statuses else "kept"


@dataclass(frozen=True)
class FixedResult:
    """What became of cases that earlier turns fixed."""

    cases: int
    """Those that the champion answers right."""
    broken: int
    mended: int
    upper: float
    """Upper bound of the share that breaks."""
    limit: float
    """Most that it may be."""
    more_broken: float
    """Probability of at least so many broken among broken and mended, were both equally likely."""
    error: float

    @property
    def status(self) -> Status:
        if self.more_broken <= self.error:
            return "lost"
        return "kept" if self.cases == 0 or self.upper <= self.limit else "open"


@dataclass(frozen=True)
class TargetResult:
    """This turn's locked feedback."""

    rows: int
    interval: Interval
    by_chance: float
    """Probability of at least so many wins, were wins and losses equally likely."""
    least: int
    error: float

    @property
    def status(self) -> Literal["better", "too_few", "open"]:
        if self.rows < self.least:
            return "too_few"
        return "better" if self.interval.lower > 0 and self.by_chance <= self.error else "open"


def judge_guards(guards: Sequence[Guard], delta: float, error: float, total_error: float) -> GuardResult:
    """Non-inferiority on all guards together, on each, and since the best version that ever served.

    Together each guard weighs by the rows at hand, however many were looked at.

    Args:
        delta: the most that all guards together may lose, and each guard with the rows to show it.
        error: of this look (`components.noninferiority.look_errors`).
        total_error: of all looks: what the bounds of small guards are planned with.

    Raises:
        ValueError: there is no guard, or one has no row yet.
    """
    every = sum(guard.rows for guard in guards)
    weights = [guard.rows / every for guard in guards]
    gains = [guard.gains for guard in guards]
    together = _bounded("together", stratified_interval(gains, weights, error), sum(map(len, gains)), delta)
    each = tuple(
        _bounded(g.name, paired_interval(g.gains, error), g.gains.size, own_bound(g.rows, delta, total_error))
        for g in guards
    )
    earlier = [guard.since_best for guard in guards if guard.since_best is not None]
    since_best = None
    if len(earlier) == len(guards):
        interval = stratified_interval(earlier, weights, error)
        since_best = _bounded("best", interval, sum(map(len, earlier)), delta)
    return GuardResult(together, each, since_best)


def own_bound(rows: int, delta: float, error: float) -> float:
    """What one guard may lose by itself: `delta`, or more where it is too small to show that.

    A guard's own bound is the loss that a candidate which loses nothing excludes in 998 of 1,000 cases. So ten small
    guards refuse hardly more often than one, and a large one (1,900 rows for 0.02) is held to `delta` itself.
    """
    return max(delta, provable_loss(rows, error, power=0.998))


def judge_fixed(
    before: Sequence[float] | Gains, after: Sequence[float] | Gains, limit: float, error: float
) -> FixedResult:
    """Fixed cases as a whole: not surely more broken than mended, and surely no larger share broken than the limit."""
    old, new = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    moved = new - old
    cases = int((old >= MOVED).sum())
    broken, mended = int((moved <= -MOVED).sum()), int((moved >= MOVED).sum())
    return FixedResult(
        cases=cases,
        broken=broken,
        mended=mended,
        upper=share_upper(broken, cases, error) if cases else 0.0,
        limit=broken_limit(cases, limit, error),
        more_broken=sign_test([-1.0] * mended + [1.0] * broken),
        error=error,
    )


def broken_limit(cases: int, limit: float, error: float) -> float:
    """The share of `cases` that may break: `limit`, or more where so few cases cannot show that.

    A candidate that breaks `FLIPS` of the cases by chance passes in 99 of 100 turns.
    """
    if cases == 0:
        return limit
    from scipy.stats import binom

    return max(limit, share_upper(int(binom.ppf(0.99, cases, FLIPS)), cases, error))


def judge_target(gains: Sequence[float] | Gains, least: int, error: float, seed: int) -> TargetResult:
    """The target must gain: by the interval, and by the exact sign test, which few rows do not deceive."""
    values = np.asarray(gains, dtype=np.float64)
    interval = paired_interval(values, error, seed) if values.size else Interval(0.0, -1.0, 1.0)
    return TargetResult(values.size, interval, sign_test(values), least, error)


def rows_missing(part: Bounded, gains: Gains, error: float) -> int:
    """About how many more rows like these would exclude the loss, if the gain stays as it is; 0: no number would."""
    return _missing(part.interval.gain + part.bound, gains, error)


def target_rows_missing(target: TargetResult, gains: Gains) -> int:
    """About how many more target rows would prove the gain, if it stays as it is; 0: no number would."""
    return max(target.least - target.rows, _missing(target.interval.gain, gains, target.error))


def _missing(distance: float, gains: Gains, error: float) -> int:
    if distance <= 0 or not gains.size:
        return 0
    normal = NormalDist()
    z = normal.inv_cdf(1 - error) + normal.inv_cdf(0.9)
    spread = max(float(gains.std()), 1 / math.sqrt(gains.size))
    return max(0, math.ceil((z * spread / distance) ** 2) - gains.size)


def _bounded(name: str, interval: Interval, rows: int, bound: float) -> Bounded:
    status: Status = "kept" if interval.lower > -bound else "lost" if interval.upper < -bound else "open"
    return Bounded(name, rows, interval, bound, status)
