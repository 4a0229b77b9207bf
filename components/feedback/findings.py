"""What reviewers' looks say of a model: how often its answers are wrong, and how far people agree on that.

The random sample is what a failure rate is estimated from: whoever complains, and what a version is unsure of,
says nothing about the answers nobody spoke of. Only the oldest part of the sample counts, up to the first drawn
answer that still waits: what is looked at out of turn, because somebody complained, would make the rest look better
than it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa

from components.config import ReviewSettings
from components.feedback import waiting
from components.feedback.agreement import Agreement, cohens_kappa
from components.feedback.statistics import wilson
from components.feedback.waiting import Answer
from components.schema import Record


class Estimate(Record):
    """How often answers are wrong, from the random sample alone."""

    looked_at: int
    wrong: int
    skipped: int
    """Drawn, but nobody could say."""
    waiting: int
    """Drawn and not looked at yet."""
    rate: float | None
    """wrong / looked_at; None without any."""
    lower: float
    upper: float
    """Wilson's 95 % interval."""


def estimate(drawn: Iterable[Answer]) -> Estimate:
    """The failure rate of the answers that the sample drew from."""
    ordered = sorted(drawn, key=lambda answer: (answer.created_at, answer.id))
    settled = next((n for n, answer in enumerate(ordered) if not answer.looks), len(ordered))
    verdicts = [answer.judged[0].action != "accept" for answer in ordered[:settled] if answer.judged]
    lower, upper = wilson(sum(verdicts), len(verdicts))
    return Estimate(
        looked_at=len(verdicts),
        wrong=sum(verdicts),
        skipped=settled - len(verdicts),
        waiting=len(ordered) - settled,
        rate=sum(verdicts) / len(verdicts) if verdicts else None,
        lower=lower,
        upper=upper,
    )


def failure_rate(
    connection: sa.Connection, task: str, version: str, since: datetime, settings: ReviewSettings, seed: int
) -> Estimate:
    """`estimate` of what one version answered after a moment."""
    return estimate(
        answer
        for answer in waiting.read(connection, task, settings.recent)
        if answer.version == version and answer.created_at > since and waiting.drawn(answer.id, settings, seed)
    )


def agreement(connection: sa.Connection, task: str) -> Agreement:
    """Of answers that two people looked at, how far they agree on right (accept) or wrong (fix, reject)."""
    pairs = []
    for of in waiting.looks_of(connection, task).values():
        said = [look.action == "accept" for look in of if look.action != "skip"]
        if len(said) > 1:
            pairs.append((said[0], said[1]))
    return cohens_kappa(pairs)
