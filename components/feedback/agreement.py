"""How far two people (or a judge and people) agree beyond chance: Cohen's kappa."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

from components.schema import Record


class Agreement(Record):
    """Of items that both have judged."""

    pairs: int
    observed: float
    """Share on which both say the same; 0 without any pair."""
    kappa: float | None
    """1: always the same; 0: as often as by chance; None where nothing can be said: fewer than two pairs, or
    both say the same one thing throughout, so that all agreement could be chance."""


def cohens_kappa(pairs: Sequence[tuple[Hashable, Hashable]]) -> Agreement:
    """Agreement of two raters over categories (Cohen 1960, A coefficient of agreement for nominal scales)."""
    count = len(pairs)
    if not count:
        return Agreement(pairs=0, observed=0.0, kappa=None)
    observed = sum(one == other for one, other in pairs) / count
    ours, theirs = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    chance = sum(ours[category] * theirs[category] for category in ours) / count**2
    kappa = None if count < 2 or chance == 1 else (observed - chance) / (1 - chance)
    return Agreement(pairs=count, observed=observed, kappa=kappa)
