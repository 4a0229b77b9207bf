"""What each reviewer has done, and what their work did: nobody gives time gladly without seeing it count."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import sqlalchemy as sa

from components.feedback import tables, waiting
from components.feedback.appending import question_id
from components.feedback.database import reading
from components.feedback.store import Store, Turn
from components.schema import Message, Record


class Progress(Record):
    """One person's looks, and what became of the right answers they wrote (on whatever page)."""

    reviewer: str
    accepted: int
    fixed: int
    rejected: int
    skipped: int
    gold_right: int
    gold_seen: int
    """Questions whose answer was known: how many they saw, and how many of these they judged rightly."""
    corrections: int
    """Right answers that they wrote."""
    in_version: dict[str, int]
    """Version → how many of these its turn worked with (taught, or locked away as tests)."""
    asked_again: int
    """Of these questions, how many a later version was asked again ..."""
    now_right: int
    """... and how many of those the latest one answered as they wrote."""

    @property
    def looks(self) -> int:
        """All their looks that say something."""
        return self.accepted + self.fixed + self.rejected


def progress(store: Store, task: str, canonical: Callable[[str], str]) -> list[Progress]:
    """Everybody who has looked at or corrected something, most looks first.

    Args:
        canonical: the form in which two answers are compared, e.g. `ReviewQueue.canonical`.
    """
    turns = [turn for turn in store.turns(task) if turn.state == "closed" and turn.version is not None]
    with reading(store.engine) as connection:
        plain = waiting.looks_of(connection, task)
        gold = waiting.looks_of(connection, task, gold=True)
        known = dict(
            connection.execute(
                sa.select(tables.gold_questions.c.interaction_id, tables.gold_questions.c.answer).where(
                    tables.gold_questions.c.task == task
                )
            )
            .tuples()
            .all()
        )
        written = _written(connection, task)
        served = _answers(connection, list(known))
        again = _asked_again(connection, task, sorted({question for _, _, question, _, _ in written}))
    actions: defaultdict[str, Counter[str]] = defaultdict(Counter)
    seen: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for of in plain.values():
        for look in of:
            actions[look.reviewer][look.action] += 1
    for id, of in gold.items():
        for look in of:
            if look.action != "skip":
                seen[look.reviewer] += 1
                right[look.reviewer] += judged_rightly(look, served[id], known[id], canonical)
    written_by: defaultdict[str, list[tuple[int, str, str, str]]] = defaultdict(list)
    for seq, rater, question, version, correction in written:
        written_by[rater].append((seq, question, version, correction))
    found = []
    for reviewer in sorted({*actions, *seen, *written_by}):
        asked = [
            (canonical(correction), canonical(again[question][1]))
            for _, question, version, correction in written_by[reviewer]
            if question in again and again[question][0] != version
        ]
        found.append(
            Progress(
                reviewer=reviewer,
                accepted=actions[reviewer]["accept"],
                fixed=actions[reviewer]["fix"],
                rejected=actions[reviewer]["reject"],
                skipped=actions[reviewer]["skip"],
                gold_right=right[reviewer],
                gold_seen=seen[reviewer],
                corrections=len(written_by[reviewer]),
                in_version=_in_version([seq for seq, *_ in written_by[reviewer]], turns),
                asked_again=len(asked),
                now_right=sum(wanted == got for wanted, got in asked),
            )
        )
    return sorted(found, key=lambda one: (-one.looks, one.reviewer))


def judged_rightly(look: waiting.Look, served: str, known: str, canonical: Callable[[str], str]) -> bool:
    """Did a reviewer find of a gold question what is known of it?"""
    is_right = canonical(served) == canonical(known)
    match look.action:
        case "accept":
            return is_right
        case "fix":
            return canonical(look.correction or "") == canonical(known)
        case "reject":
            return not is_right
        case "skip":
            raise ValueError("a skip says nothing")


def _in_version(numbers: Sequence[int], turns: Sequence[Turn]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for turn in turns:
        held = sum(turn.after < seq <= turn.through for seq in numbers)
        if held:
            counts[turn.version or ""] += held
    return dict(counts)


def _written(connection: sa.Connection, task: str) -> list[tuple[int, str, str, str, str]]:
    """Seq, rater, question, version that had answered, and right answer, of every correction."""
    said, served = tables.feedback.c, tables.interactions.c
    query = (
        sa.select(said.seq, said.rater, served.messages, served.model_version, said.correction)
        .join_from(tables.feedback, tables.interactions)
        .where(said.task == task, said.kind == "correction")
        .order_by(said.seq)
    )
    return [
        (seq, rater, question_id([Message.model_validate(m) for m in messages]), version, correction)
        for seq, rater, messages, version, correction in connection.execute(query)
    ]


def _answers(connection: sa.Connection, ids: Sequence[str]) -> dict[str, str]:
    table = tables.interactions.c
    query = sa.select(table.id, table.answer).where(table.id.in_(ids))
    return dict(connection.execute(query).tuples().all())


def _asked_again(connection: sa.Connection, task: str, questions: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Question → version and text of its latest answer."""
    table = tables.interactions.c
    found: dict[str, tuple[str, str]] = {}
    for start in range(0, len(questions), 500):
        query = (
            sa.select(table.question, table.model_version, table.answer)
            .where(table.task == task, table.question.in_(questions[start : start + 500]))
            .order_by(table.created_at, table.id)
        )
        for question, version, answer in connection.execute(query):
            found[question] = (version, answer)
    return found
