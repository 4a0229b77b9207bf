"""What a candidate is truly worth, by an independent draw, and whether its verdict was right.

Truly better: it surely gains on messages of the kinds that this turn had, and surely loses no more than the verdict's
own delta on what was known before. Not better: it surely does not gain, or surely loses more than that somewhere.
Surely means by the 95 % interval of the draw (normal, of paired rows, strata by kind). Where the draw is too small for
either, the verdict is called undecidable: neither right nor wrong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Truth = Literal["better", "not better", "undecidable"]
Judgement = Literal["right promotion", "right refusal", "wrong promotion", "wrong refusal", "undecidable"]
Z = 1.959963984540054
Pairs = tuple[Sequence[bool], Sequence[bool]]
"""Whether the champion, and the candidate, answered each row of a kind rightly."""


@dataclass(frozen=True)
class Gain:
    """A mean paired gain and its interval."""

    gain: float
    lower: float
    upper: float
    rows: int


def stratified(pairs: Mapping[str, Pairs], weights: Mapping[str, float]) -> Gain:
    """The gain on messages of which a share `weights[kind]` is of each kind (Cochran 1977, section 5.4).

    Raises:
        ValueError: a kind has no rows, or not the same ones on both sides.
    """
    total = sum(weights.values())
    gain = variance = 0.0
    rows = 0
    for kind, weight in weights.items():
        before, after = pairs[kind]
        if len(before) != len(after) or not before:
            raise ValueError(f"{kind}: {len(before)} and {len(after)} answers")
        count, share = len(before), weight / total
        won = sum(a and not b for b, a in zip(before, after, strict=True)) / count
        lost = sum(b and not a for b, a in zip(before, after, strict=True)) / count
        gain += share * (won - lost)
        variance += share**2 * (won + lost - (won - lost) ** 2) / count
        rows += count
    half = Z * math.sqrt(variance)
    return Gain(gain, gain - half, gain + half, rows)


def truth(target: Gain, guards: Sequence[Gain], delta: float) -> Truth:
    """Is the candidate better than the champion?"""
    if target.upper <= 0 or any(guard.upper < -delta for guard in guards):
        return "not better"
    if target.lower > 0 and all(guard.lower > -delta for guard in guards):
        return "better"
    return "undecidable"


def judge(promoted: bool, is_better: Truth) -> Judgement:
    """Was it right to promote (or to refuse) the candidate?"""
    if is_better == "undecidable":
        return "undecidable"
    if promoted:
        return "right promotion" if is_better == "better" else "wrong promotion"
    return "right refusal" if is_better == "not better" else "wrong refusal"


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share (Clopper & Pearson 1934)."""
    from scipy.stats import binomtest

    interval = binomtest(successes, trials).proportion_ci(confidence, method="exact")
    return float(interval.low), float(interval.high)
