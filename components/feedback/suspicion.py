"""Which events are kept from training until a person has looked at them, and why: poison, accidents, secrets.

The reasons, in the order in which they are told:

- a secret in the answer or the question; an answer that speaks to the model (`components.feedback.unteachable`);
- an answer that contradicts a trusted person's on the same question;
- a rater who surely disagrees with others more than `min_reputation` allows (`components.feedback.reputation`);
- a burst: more than `burst_events` of one rater within `burst_seconds`;
- the same correction, or nearly, by one rater of more than `same_answer` different questions.

A pure function of the events of a turn and those before it: curation holds a turn's snapshot
against it, and the review queue what is in the store now. Whoever is trusted is not suspected, except of secrets.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta

from components.config import TrustSettings
from components.examples.similarity import clusters
from components.feedback.reputation import reputations
from components.feedback.unteachable import secret_in, told_to_the_model
from components.schema import FeedbackRow
from components.sentences import say
from components.task import Task

SIMULATED = "simulated-"
"""What the names of a demo's simulated people begin with: they are as fast as a program is."""

Canonical = Callable[[str], "str | None"]
Key = Callable[[FeedbackRow], str]


def suspicions(
    rows: Sequence[FeedbackRow],
    before: Sequence[FeedbackRow],
    task: Task,
    settings: TrustSettings,
    trusted: Collection[str],
    canonical: Canonical,
    key: Key,
) -> dict[str, str]:
    """Event id → why it is not taught; only events that would teach something.

    Args:
        rows: the events that are judged.
        before: the events of earlier turns, which tell whom to trust.
        trusted: people whose word stands (`curate.trusted_raters`).
        canonical: an answer's canonical form, or None where it is no valid answer of the task.
        key: equal for rows that ask the same.
    """
    teaching = sorted((row for row in rows if row.kind in ("correction", "thumb_up")), key=lambda row: row.seq)
    return _first(
        _unteachable(teaching, trusted),
        _contradicting([*before, *rows], teaching, trusted, canonical, key),
        _disreputable([*before, *rows], teaching, settings, trusted, canonical, key),
        _bursts([row for row in teaching if not _simulated(task, row)], settings, trusted),
        _copies(teaching, task, settings, trusted, canonical, key),
    )


def suspicious_dislikes(
    rows: Sequence[FeedbackRow],
    before: Sequence[FeedbackRow],
    task: Task,
    settings: TrustSettings,
    trusted: Collection[str],
    canonical: Canonical,
    key: Key,
) -> dict[str, str]:
    """Event id → why a thumb down does not teach that its answer is bad; a person looks at it in any case.

    As `suspicions`, but for what is about right answers: a thumb down names none.
    """
    down = sorted((row for row in rows if row.kind == "thumb_down"), key=lambda row: row.seq)
    return _first(
        _unteachable(down, trusted),
        _disreputable([*before, *rows], down, settings, trusted, canonical, key),
        _bursts([row for row in down if not _simulated(task, row)], settings, trusted),
    )


def _first(*every: dict[str, str]) -> dict[str, str]:
    """Of several reasons for an event the first."""
    return {id: reason for found in reversed(every) for id, reason in found.items()}


def answer_of(row: FeedbackRow) -> str:
    """The answer that the event would teach."""
    return row.correction if row.correction is not None else row.answer


def _unteachable(rows: Sequence[FeedbackRow], trusted: Collection[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in rows:
        secret = secret_in(answer_of(row)) or next(filter(None, (secret_in(m.content) for m in row.messages)), None)
        if secret is not None:
            found[row.event_id] = say("secret", secret=secret)
        elif row.rater not in trusted and (speaks := told_to_the_model(answer_of(row))) is not None:
            found[row.event_id] = say("to_the_model", speaks=speaks)
    return found


def _contradicting(
    every: Sequence[FeedbackRow], rows: Sequence[FeedbackRow], trusted: Collection[str], canonical: Canonical, key: Key
) -> dict[str, str]:
    known: dict[str, FeedbackRow] = {}
    for row in sorted(every, key=lambda row: row.seq):
        if row.rater in trusted and row.kind in ("correction", "thumb_up"):
            known[key(row)] = row
    found: dict[str, str] = {}
    for row in rows if known else ():
        right = known.get(key(row))
        if right is None or row.rater in trusted:
            continue
        if canonical(answer_of(row)) != canonical(answer_of(right)):
            found[row.event_id] = say("contradicts", event=right.seq, rater=right.rater)
    return found


def _disreputable(
    every: Sequence[FeedbackRow],
    rows: Sequence[FeedbackRow],
    settings: TrustSettings,
    trusted: Collection[str],
    canonical: Canonical,
    key: Key,
) -> dict[str, str]:
    if not rows:
        return {}
    known = reputations(every, canonical, key, trusted)
    bad = {rater: r for rater, r in known.items() if r.surely_at_most < settings.min_reputation}
    return {
        row.event_id: say(
            "disreputable_trusted" if of.with_trusted else "disreputable_others",
            rater=row.rater,
            agreed=of.agreed,
            compared=of.compared,
            least=f"{settings.min_reputation:g}",
        )
        for row in rows
        if row.rater not in trusted and (of := bad.get(row.rater)) is not None
    }


def _bursts(rows: Sequence[FeedbackRow], settings: TrustSettings, trusted: Collection[str]) -> dict[str, str]:
    by_rater: defaultdict[str, list[FeedbackRow]] = defaultdict(list)
    for row in rows:
        if row.rater not in trusted:
            by_rater[row.rater].append(row)
    span = timedelta(seconds=settings.burst_seconds)
    found: dict[str, str] = {}
    for rater, of in by_rater.items():
        of.sort(key=lambda row: (row.created_at, row.seq))
        start = 0
        for end, row in enumerate(of):
            while row.created_at - of[start].created_at > span:
                start += 1
            if end - start + 1 > settings.burst_events:
                why = say("burst", rater=rater, events=settings.burst_events, seconds=f"{settings.burst_seconds:g}")
                found.update({within.event_id: why for within in of[start : end + 1] if within.event_id not in found})
    return found


def _copies(
    rows: Sequence[FeedbackRow],
    task: Task,
    settings: TrustSettings,
    trusted: Collection[str],
    canonical: Canonical,
    key: Key,
) -> dict[str, str]:
    """Corrections only: many answers may well be right in the same way, and a label is one of few anyway."""
    if task.answer == "label":
        return {}
    by_rater: defaultdict[str, list[FeedbackRow]] = defaultdict(list)
    for row in rows:
        if row.kind == "correction" and row.rater not in trusted:
            by_rater[row.rater].append(row)
    found: dict[str, str] = {}
    for rater, of in by_rater.items():
        answers = [canonical(answer_of(row)) or answer_of(row).strip() for row in of]
        # Structured answers share most of their words; free texts that differ in a few are the same still.
        grouped: defaultdict[object, list[FeedbackRow]] = defaultdict(list)
        for row, group in zip(of, answers if task.answer == "json" else clusters(answers), strict=True):
            grouped[group].append(row)
        for alike in grouped.values():
            questions = len({key(row) for row in alike})
            if questions > settings.same_answer:
                why = say("copies", rater=rater, questions=questions)
                found.update({row.event_id: why for row in alike})
    return found


def _simulated(task: Task, row: FeedbackRow) -> bool:
    return task.simulated_people and row.rater.startswith(SIMULATED)
