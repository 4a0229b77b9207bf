"""How far a classifier's probabilities can be believed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from components.schema import Record

BINS = 10
SURE = 1e-12
"""The least probability that a likelihood is computed with."""


class Bin(Record):
    """The answers of one range of confidence."""

    rows: int
    confidence: float
    """Mean probability of the label that was answered."""
    accuracy: float


class Calibration(Record):
    """One model's probabilities on one set."""

    rows: int
    ece: float
    """Expected calibration error: how far confidence and accuracy lie apart, weighted by rows."""
    nll: float
    """Mean negative log-likelihood of the right label, in nats."""
    bins: tuple[Bin, ...]
    """Of equal width from 0 to 1; empty ones are left out."""


def calibration(
    labels: Sequence[str], probabilities: Sequence[Sequence[float]], truths: Sequence[str]
) -> Calibration | None:
    """Expected calibration error over ten bins of equal width (Guo et al. 2017, section 2); None without rows.

    A truth that is none of the labels counts as wrong, with the least likelihood.
    """
    if not truths:
        return None
    sorted_in: dict[int, list[tuple[float, bool]]] = {}
    nats = 0.0
    for row, truth in zip(probabilities, truths, strict=True):
        best = max(range(len(row)), key=row.__getitem__)
        confidence, right = row[best], labels[best] == truth
        nats -= math.log(max(row[labels.index(truth)] if truth in labels else 0.0, SURE))
        sorted_in.setdefault(min(int(confidence * BINS), BINS - 1), []).append((confidence, right))
    bins = tuple(
        Bin(
            rows=len(found),
            confidence=round(sum(confidence for confidence, _ in found) / len(found), 6),
            accuracy=round(sum(right for _, right in found) / len(found), 6),
        )
        for _, found in sorted(sorted_in.items())
    )
    ece = sum(part.rows * abs(part.confidence - part.accuracy) for part in bins) / len(truths)
    return Calibration(rows=len(truths), ece=round(ece, 6), nll=round(nats / len(truths), 6), bins=bins)
