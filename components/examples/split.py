"""Splitting a user's rows into train and test by near-duplicate clusters, so that no paraphrase crosses.

Only rows that people answered are split. What a teacher answered is taught or left out, and moves none of theirs, so
that the tests are the same with a teacher's rows and without.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from components.examples.similarity import NEAR, Neighbours, asked, clusters, question_key, shingles
from components.schema import Dropped, Example
from components.stage import StageError
from components.task import Task

MIN_ROWS = 2


def split(
    task: Task, rows: Sequence[Example], seed: int, held_out_share: float
) -> tuple[dict[str, list[Example]], list[Dropped]]:
    """Train and test, and what was left out with its reason.

    A cluster of near copies goes where the hash of its first question and the seed says, so
    a row keeps its side when others are added. Both sides get at least one row, and each
    label of a label task at least one row in train. A teacher's rows follow those of train.

    Raises:
        StageError: fewer than two distinct rows of people are usable.
    """
    usable, dropped = _usable(task, [row for row in rows if row.source != "teacher"])
    of_teacher, unusable = _usable(task, [row for row in rows if row.source == "teacher"])
    roots = clusters([row.question for row in usable])
    by_cluster: defaultdict[int, list[Example]] = defaultdict(list)
    for row, root in zip(usable, roots, strict=True):
        by_cluster[root].append(row)
    if len(by_cluster) < MIN_ROWS:
        raise StageError(
            f"tasks/{task.name}/examples.jsonl holds {len(by_cluster)} distinct usable rows"
            f"{' beside those of a teacher, which test nothing' if of_teacher else ''}: at least two are needed, "
            "one to learn from and one to test with"
        )
    order = sorted(by_cluster, key=lambda root: _hash(seed, usable[root].question))
    held_out = [root for root in order if _hash(seed, usable[root].question) < held_out_share] or order[:1]
    held_out = held_out[: len(by_cluster) - 1]
    if task.answer == "label":
        held_out = _keeping_labels(by_cluster, held_out)
    test = set(held_out)
    sets: dict[str, list[Example]] = {"train": [], "test": []}
    for row, root in zip(usable, roots, strict=True):
        sets["test" if root in test else "train"].append(row)
    fit, unfit = _of_teacher(of_teacher, usable, sets["test"])
    sets["train"] += fit
    return sets, [*dropped, *unusable, *unfit]


def _of_teacher(
    rows: Sequence[Example], people: Sequence[Example], test: Sequence[Example]
) -> tuple[list[Example], list[Dropped]]:
    """A teacher's rows to teach, and those that would give a test away or stand beside a person's own answer."""
    answered = {question_key(asked(row.prompt)) for row in people}
    tests = Neighbours(NEAR)
    for row in test:
        tests.add(shingles(row.question))
    fit, unfit = [], []
    for row in rows:
        if question_key(asked(row.prompt)) in answered:
            reason = "a person answered the same question"
        elif tests.of(shingles(row.question)):
            reason = "near a test question, and a teacher's answer is no truth to test with"
        else:
            fit.append(row)
            continue
        unfit.append(Dropped(id=row.id, step="teacher", action="dropped", reason=reason, text=row.question[:200]))
    return fit, unfit


def _usable(task: Task, rows: Sequence[Example]) -> tuple[list[Example], list[Dropped]]:
    """Rows with a question and a valid answer, each question and answer once."""
    usable: list[Example] = []
    dropped: list[Dropped] = []
    seen: set[tuple[str, str]] = set()
    for row in rows:
        reason = ""
        if not row.question.strip():
            reason = "the question is empty"
        elif not row.answer.strip():
            reason = "the answer is empty"
        elif task.parse(row.answer) is None:
            reason = (
                "the answer is not one of the task's labels"
                if task.labels
                else "the answer does not fit the task's schema"
            )
        elif (row.question, row.answer) in seen:
            reason = "the same question and answer came before"
        if reason:
            dropped.append(
                Dropped(id=row.id, step="examples", action="dropped", reason=reason, text=row.question[:200])
            )
            continue
        seen.add((row.question, row.answer))
        usable.append(row)
    return usable, dropped


def _keeping_labels(by_cluster: dict[int, list[Example]], held_out: list[int]) -> list[int]:
    """Give a cluster back to train wherever a label would otherwise be in test alone."""
    test = set(held_out)
    taught = {row.answer.strip() for root, rows in by_cluster.items() if root not in test for row in rows}
    kept = []
    for root in held_out:
        labels = {row.answer.strip() for row in by_cluster[root]}
        if labels <= taught:
            kept.append(root)
        else:
            taught |= labels
    return kept


def _hash(seed: int, text: str) -> float:
    """A number from 0 to 1 that depends on nothing but seed and text."""
    return int.from_bytes(hashlib.sha256(f"{seed}\x1f{text}".encode()).digest()[:8], "big") / 2**64
