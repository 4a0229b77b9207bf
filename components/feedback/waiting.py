"""What waits for a person's look, and why: read from the store anew each time, so nothing has to be kept in step.

An answer waits for the first of these that holds of it:

1. `thumb_down`: somebody said it is wrong, and nobody wrote the right one.
2. `quarantined`: what somebody said of it is suspicious (`components.feedback.suspicion`).
3. `low_confidence`: nobody said anything, and it is among those its version was least sure of.
4. `schema_failure`: nobody said anything, and it is no valid answer of the task.
5. `disagreement`: nobody said anything, and versions answered the same question differently.
6. `sample`: a seeded draw chose it. The draw looks at nothing but the answer's id, so what people find
   among the drawn ones holds for all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

import sqlalchemy as sa

from components.config import ReviewSettings
from components.feedback import tables
from components.feedback.appending import as_feedback
from components.feedback.draw import fraction
from components.schema import MARKS, Feedback, Record
from components.sentences import say

Reason = Literal["thumb_down", "quarantined", "low_confidence", "schema_failure", "disagreement", "sample"]
REASONS: tuple[Reason, ...] = get_args(Reason)
"""In the order in which they are looked at."""
DRAWN = say("drawn")
Action = Literal["accept", "fix", "reject", "skip"]


class Look(Record):
    """One reviewer's look at one answer. Append-only: an edit is a new look, and a reviewer's latest counts."""

    id: str
    interaction_id: str
    reviewer: str
    reason: Reason
    """Why the answer was shown."""
    action: Action
    """accept: it is right. fix: here is the right one. reject: it is wrong. skip: somebody else should look."""
    correction: str | None = None
    comment: str | None = None
    gold: bool = False
    """The right answer was known beforehand: the look says something about the reviewer and teaches nothing."""
    event_id: str | None = None
    """The feedback event that the look became."""
    created_at: datetime


@dataclass
class Answer:
    """One served answer with all that decides whether it waits."""

    id: str
    created_at: datetime
    version: str
    logprob: float | None
    valid: bool | None
    question: str | None
    answer: str
    said: list[Feedback] = field(default_factory=list)
    """Every event about it that no look became, oldest first."""
    looks: list[Look] = field(default_factory=list)
    """Looks that count: each reviewer's latest, skips included."""
    reason: Reason | None = None
    detail: str = ""
    sampled: bool = False
    suspicious: dict[str, str] = field(default_factory=dict)
    """Event id → why what somebody said is suspicious."""
    wanted: int = 1
    """How many people should look."""
    reopened: bool = False
    """Somebody complained, or said something suspicious, after it was settled."""

    @property
    def judged(self) -> list[Look]:
        """Looks that say something."""
        return [look for look in self.looks if look.action != "skip"]

    @property
    def news(self) -> list[Feedback]:
        """What was said after the last look that says something."""
        last = max((look.created_at for look in self.judged), default=None)
        return [event for event in self.said if last is None or event.created_at > last]

    def waits(self) -> bool:
        """Does it wait for anybody's look?"""
        return self.reason is not None and (self.reopened or len(self.judged) < self.wanted)

    def waits_for(self, reviewer: str) -> bool:
        """Does it wait for this person's look? Nobody judges what they said themselves, or twice."""
        if self.reopened:
            return all(event.rater != reviewer for event in self.news)
        looked = any(look.reviewer == reviewer for look in self.looks)
        return self.waits() and not looked and all(event.rater != reviewer for event in self.said)


def read(connection: sa.Connection, task: str, recent: int) -> list[Answer]:
    """The task's newest answers, and those with the newest feedback, oldest first, gold questions left out."""
    table, said = tables.interactions.c, tables.feedback.c
    newest = sa.select(table.id).where(table.task == task).order_by(table.created_at.desc(), table.id).limit(recent)
    spoken = sa.select(said.interaction_id).where(said.task == task).order_by(said.seq.desc()).limit(recent)
    chosen = sa.or_(table.id.in_(newest), table.id.in_(spoken))
    narrow = (table.id, table.created_at, table.model_version, table.logprob, table.valid, table.question, table.answer)
    gold = sa.select(tables.gold_questions.c.interaction_id)
    query = (
        sa.select(*narrow).where(table.task == task, chosen, table.id.not_in(gold)).order_by(table.created_at, table.id)
    )
    answers = {row[0]: Answer(*row) for row in connection.execute(query)}
    of_these = sa.select(table.id).where(table.task == task, chosen)
    by_looks = sa.select(tables.looks.c.event_id).where(
        tables.looks.c.task == task, tables.looks.c.event_id.is_not(None)
    )
    events = sa.select(tables.feedback).where(
        said.task == task,
        said.interaction_id.in_(of_these),
        said.id.not_in(by_looks),
        said.kind.not_in(MARKS),  # a mark says nothing of the answer, so it settles nothing either
    )
    for row in connection.execute(events.order_by(said.seq)).mappings():
        if row["interaction_id"] in answers:
            answers[row["interaction_id"]].said.append(as_feedback(row))
    for id, found in looks_of(connection, task).items():
        if id in answers:
            answers[id].looks = found
    return list(answers.values())


def looks_of(connection: sa.Connection, task: str, gold: bool = False) -> dict[str, list[Look]]:
    """Looks that count, by answer: each reviewer's latest, in the order of their first."""
    table = tables.looks
    query = sa.select(table).where(table.c.task == task, table.c.gold.is_(gold)).order_by(table.c.seq)
    latest: defaultdict[str, dict[str, Look]] = defaultdict(dict)
    for row in connection.execute(query).mappings():
        latest[row["interaction_id"]][row["reviewer"]] = as_look(row)
    return {id: list(of.values()) for id, of in latest.items()}


def looks_at(connection: sa.Connection, interaction_id: str) -> list[Look]:
    """Looks at one answer that count: each reviewer's latest."""
    table = tables.looks
    query = sa.select(table).where(table.c.interaction_id == interaction_id).order_by(table.c.seq)
    return list({row["reviewer"]: as_look(row) for row in connection.execute(query).mappings()}.values())


def as_look(row: Any) -> Look:
    """A row of the table as the look it holds."""
    return Look.model_validate({key: row[key] for key in Look.model_fields})


def weigh(
    answers: Sequence[Answer],
    settings: ReviewSettings,
    seed: int,
    suspicious: Mapping[str, str],
    canonical: Callable[[str], str],
) -> None:
    """Say of each answer why it waits, if it does, and how many should look at it."""
    unsure = _unsure(answers, settings.low_confidence)
    differing = _differing(answers, canonical)
    for answer in answers:
        answer.sampled = drawn(answer.id, settings, seed)
        answer.wanted = 2 if fraction(seed, "two reviewers", answer.id) < settings.two_reviewers else 1
        answer.suspicious = {e.id: suspicious[e.id] for e in answer.said if e.id in suspicious}
        answer.reason, answer.detail = _reason(answer, unsure, differing)
        if answer.judged and answer.reason in ("thumb_down", "quarantined"):
            complaints = {event.id for event in answer.news if event.kind == "thumb_down"} | set(answer.suspicious)
            answer.reopened = any(event.id in complaints for event in answer.news)


def drawn(id: str, settings: ReviewSettings, seed: int) -> bool:
    """Does an answer belong to the random sample? Nothing but its id decides."""
    return fraction(seed, "review sample", id) < settings.sample


def _reason(answer: Answer, unsure: set[str], differing: Mapping[str, str]) -> tuple[Reason | None, str]:
    said = [event for event in answer.said if event.kind != "comment"]
    down = [event for event in _last_thumbs(said) if event.kind == "thumb_down"]
    doubted = [event for event in said if event.id in answer.suspicious]
    corrected = any(event.kind == "correction" for event in said)
    if down and not corrected:
        return "thumb_down", say("complained", names=_names(event.rater for event in down))
    if doubted:
        return "quarantined", answer.suspicious[doubted[-1].id]
    if not said and answer.id in unsure and answer.logprob is not None:
        return "low_confidence", say("unsure", logprob=f"{answer.logprob:.3f}", version=answer.version)
    if not said and answer.valid is False:
        return "schema_failure", say("invalid")
    if not said and answer.id in differing:
        return "disagreement", differing[answer.id]
    return ("sample", DRAWN) if answer.sampled else (None, "")


def _last_thumbs(said: Iterable[Feedback]) -> list[Feedback]:
    return list({event.rater: event for event in said if event.kind != "correction"}.values())


def _names(raters: Iterable[str]) -> str:
    return ", ".join(sorted(set(raters)))


def _unsure(answers: Sequence[Answer], share: float) -> set[str]:
    """Of each version's answers whose log-probability is known, the share of the least sure; at least 20 are needed."""
    by_version: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)
    for answer in answers:
        if answer.logprob is not None:
            by_version[answer.version].append((answer.logprob, answer.id))
    enough = [sorted(known) for known in by_version.values() if len(known) >= 20]
    return {id for known in enough for _, id in known[: int(share * len(known))]}


def _differing(answers: Sequence[Answer], canonical: Callable[[str], str]) -> dict[str, str]:
    """The newest answer to each question that registered versions answered differently, and which did."""
    asked: defaultdict[str, dict[str, Answer]] = defaultdict(dict)
    for answer in answers:
        if answer.question is not None and answer.version != "base":
            asked[answer.question][answer.version] = answer
    found: dict[str, str] = {}
    for of in asked.values():
        if len(of) > 1 and len({canonical(answer.answer) for answer in of.values()}) > 1:
            newest = max(of.values(), key=lambda answer: (answer.created_at, answer.id))
            found[newest.id] = say("differing", versions=", ".join(sorted(of)))
    return found
