"""How sure a gain is: the paired bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """A mean gain and the bounds of its percentile interval."""

    gain: float
    lower: float
    upper: float


def paired_bootstrap(
    before: Sequence[float], after: Sequence[float], *, confidence: float, resamples: int, seed: int
) -> Interval:
    """Percentile interval of the mean per-example gain (Efron & Tibshirani 1993, chapter 13).

    Examples are resampled as pairs, so that what both models find hard cancels. Which examples a
    resample draws matters only through the gains' values; the counts of each distinct value are
    multinomial, so they are drawn directly: the same distribution in far fewer random numbers.

    Args:
        before, after: each model's value for the same examples, in the same order.

    Raises:
        ValueError: no examples, or not the same number on both sides.
    """
    if len(before) != len(after) or len(before) == 0:
        raise ValueError(f"a paired comparison needs the same examples on both sides: {len(before)} and {len(after)}")
    gains = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    values, counts = np.unique(gains, return_counts=True)
    draws = np.random.default_rng(seed).multinomial(len(gains), counts / len(gains), size=resamples)
    means = draws @ values / len(gains)
    tail = (1 - confidence) / 2
    lower, upper = np.quantile(means, [tail, 1 - tail])
    gain = float(gains.mean())
    return Interval(gain, min(float(lower), gain), max(float(upper), gain))
