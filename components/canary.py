"""Whether a version that answers a share of the traffic should have all of it: a test that may be looked at any time.

Each arm's failure rate gets a confidence sequence, an interval that holds at every number of answers at once
(Robbins 1970; Howard et al. 2021, https://arxiv.org/abs/1810.08240). For n answers with k failures and a
Beta(a, b) mixture over rates,

    M_n(p) = B(a + k, b + n - k) / B(a, b) / (p^k (1 - p)^(n - k))

is a martingale of mean 1 where p is the true rate, so {p: M_n(p) < 1/alpha} covers it at all n with probability
1 - alpha (Ville's inequality). Looking every few seconds and stopping at will, as a service does, therefore costs
nothing: a version that fails no more often than the champion is withdrawn with probability at most 1 - confidence.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from components.config import CanarySettings
from components.sentences import say

PRIOR = (0.5, 0.5)
"""Jeffreys': it is tight where failures are rare and where they are the rule."""


@dataclass(frozen=True)
class Outcome:
    """What became of one version's answers in a trial."""

    answers: int = 0
    """Requests that the version was chosen for."""
    failures: int = 0
    """Those that ended in an error, or that somebody gave a thumb down or corrected."""


@dataclass(frozen=True)
class Decision:
    """What the outcomes say so far, and why in words."""

    what: Literal["wait", "promote", "withdraw"]
    why: str


def bounds(outcome: Outcome, alpha: float) -> tuple[float, float]:
    """The failure rate's interval that covers at all sample sizes with probability 1 - alpha."""
    n, k = outcome.answers, outcome.failures
    if n == 0:
        return 0.0, 1.0
    a, b = PRIOR
    most = math.log(1 / alpha) - _log_beta(a + k, b + n - k) + _log_beta(a, b)

    def outside(p: float) -> bool:
        """Whether M_n(p) >= 1/alpha."""
        return -(_xlogy(k, p) + _xlogy(n - k, 1 - p)) >= most

    rate = k / n
    return _edge(outside, 0.0, rate), _edge(outside, 1.0, rate)


def decide(canary: Outcome, champion: Outcome, settings: CanarySettings) -> Decision:
    """Promote, withdraw or wait.

    withdraw: the canary fails more often than the champion, surely. promote: it fails less often, surely; or it has
    given `answers` answers and nothing speaks against what the offline verdict already said.
    """
    alpha = (1 - settings.confidence) / 2
    low, high = bounds(canary, alpha)
    champion_low, champion_high = bounds(champion, alpha)
    rates = {"own": _rate(canary, low, high), "other": _rate(champion, champion_low, champion_high)}
    if low > champion_high:
        return Decision("withdraw", say("fails_more", **rates))
    if high < champion_low:
        return Decision("promote", say("fails_less", **rates))
    if canary.answers >= settings.answers:
        return Decision("promote", say("nothing_against", answers=canary.answers, **rates))
    return Decision("wait", say("so_far", answers=canary.answers, wanted=settings.answers, **rates))


def _rate(outcome: Outcome, low: float, high: float) -> str:
    if not outcome.answers:
        return say("no_answers")
    share = f"{outcome.failures / outcome.answers:.1%}"
    return say("failed", share=share, answers=outcome.answers, lower=f"{low:.1%}", upper=f"{high:.1%}")


def _edge(outside: Callable[[float], bool], far: float, near: float) -> float:
    """Where the interval ends between a rate at its far side and the observed one, which is inside."""
    if not outside(far):
        return far
    for _ in range(40):
        middle = (far + near) / 2
        far, near = (middle, near) if outside(middle) else (far, middle)
    return far


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _xlogy(x: int, y: float) -> float:
    """x·log(y), 0 for x = 0."""
    return 0.0 if x == 0 else x * math.log(y) if y > 0 else -math.inf
