"""Answers that were judged one by one: cleaned, each once, contradictions aside, and on their question's side.

They come from thumbs on served answers (an answer that was confirmed is desirable, one that was found bad and not
corrected is not), and from the task's own `preferences.jsonl`, where an answer has no counterpart to make a pair with.
Only objective `kto` learns from them. A pair says more than a thumb and comes first: an answer that a pair speaks of
already is a duplicate where both say the same, and is quarantined where they don't.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from components.config import CurateSettings
from components.curation.cap import STEP, capped_votes
from components.curation.clean import Cleaner
from components.curation.ledger import Ledger
from components.curation.near import NearIndex, asked, question_key
from components.curation.pairs import CLEANED, TORN, Excess, asked_as_served, asks, gone, told_apart
from components.curation.sides import Sides
from components.schema import FeedbackRow, Judged, Message, Preference, content_id
from components.task import Task


@dataclass
class Weighed:
    """What `weigh` leaves: answers to teach, answers to test with, and the account of all others."""

    taught: list[Judged]
    heldout: list[Judged]
    ledger: Ledger


def of_thumb(row: FeedbackRow, answer: str) -> Judged:
    """What one thumb says of an answer."""
    return Judged(
        id=content_id("judged", row.event_id),
        prompt=row.messages,
        answer=answer,
        desirable=row.kind == "thumb_up",
        source="human",
        rater=row.rater,
        version=row.model_version,
    )


def weigh(
    thumbs: Sequence[tuple[FeedbackRow, str]],
    doubted: Mapping[str, str],
    brought: Sequence[Judged],
    pairs: Sequence[Preference],
    taught: Sequence[str],
    task: Task,
    cleaner: Cleaner,
    excess: Excess,
    sides: Sides,
    settings: CurateSettings,
) -> Weighed:
    """Curate every judged answer.

    Args:
        thumbs: with the answers that they are about, in the order in which they were given; one person may give no
            more than `rater_share` of what is taught.
        doubted: event id → why a thumb is not to be trusted until a person has looked.
        brought: the task's own.
        pairs: that are taught or held out.
        taught: questions of the rows that are taught; what is near them tests nothing.
        sides: knows the side of every question that is tested or taught; a new one is drawn by its seeded hash.

    Raises:
        StageError: the counts do not add up.
    """
    said = {(row := of_thumb(event, answer)).id: (row, doubted.get(event.event_id)) for event, answer in thumbs}
    ledger = Ledger("judged answers", len(said) + len(brought))
    kept: list[Judged] = []
    for given in told_apart([*(row for row, _ in said.values()), *brought]):
        served = asked_as_served(given, task)
        prompt, answer = tuple(map(cleaner.message, served.prompt)), cleaner.answer(served.answer)
        row = served.model_copy(update={"prompt": prompt, "answer": answer})
        fault, doubt = _fault(row, task, excess), said[given.id][1] if given.id in said else None
        if doubt is not None:
            ledger.remove([gone(row, "suspicion", doubt, "quarantined")])
        elif fault is not None:
            ledger.remove([gone(row, *fault)])
        else:
            if row != served:
                ledger.change([gone(row, "clean", CLEANED, "changed")])
            kept.append(row)
    kept = _agreeing(_last_words(kept, ledger), pairs, settings.trusted_raters, ledger)
    kept = _distinct(kept, settings.near_duplicate, ledger)
    learned, held = _by_side(kept, taught, sides, settings.near_duplicate, ledger)
    learned, excessive = capped_votes(
        learned,
        said,
        settings.rater_share,
        settings.rater_free,
        settings.trusted_raters,
        what="judged answers",
    )
    ledger.remove(gone(row, STEP, why) for row, why in excessive)
    ledger.end(judged=len(learned), judged_heldout=len(held))
    return Weighed(learned, held, ledger)


def _fault(row: Judged, task: Task, excess: Excess) -> tuple[str, str] | None:
    """The step that leaves the answer out, and why; a bad one may be wrong in any way but silence."""
    if not asks(row):
        return "prompt", "there is no user message to answer"
    if not row.answer.strip():
        return "answers", "the answer is empty"
    if row.desirable and task.parse(row.answer) is None:
        return "answers", f"it is called desirable and is no valid answer of this task: {row.answer[:120]!r}"
    long = excess((*row.prompt, Message(role="assistant", content=row.answer)))
    return None if long is None else ("too long", long)


def _about(row: Judged) -> tuple[str, str]:
    return question_key(asked(row.prompt)), row.answer


def _last_words(rows: Sequence[Judged], ledger: Ledger) -> list[Judged]:
    """Of what one person said of one answer the last."""
    last: dict[tuple[str, str, str], str] = {}
    for row in rows:
        last[*_about(row), row.rater] = row.id
    kept: list[Judged] = []
    for row in rows:
        if last[*_about(row), row.rater] == row.id:
            kept.append(row)
        else:
            ledger.remove([gone(row, "duplicates", "the same person judged the same answer again")])
    return kept


def _agreeing(
    rows: Sequence[Judged], pairs: Sequence[Preference], trusted: Collection[str], ledger: Ledger
) -> list[Judged]:
    """Answers that no pair speaks of and nobody else judged the other way round; a trusted person's word stands."""
    by_pairs: defaultdict[tuple[str, str], set[bool]] = defaultdict(set)
    for pair in pairs:
        question = question_key(asked(pair.prompt))
        by_pairs[question, pair.chosen].add(True)
        by_pairs[question, pair.rejected].add(False)
    by_people: defaultdict[tuple[str, str], set[bool]] = defaultdict(set)
    by_trusted: defaultdict[tuple[str, str], set[bool]] = defaultdict(set)
    for row in rows:
        by_people[_about(row)].add(row.desirable)
        if row.rater in trusted:
            by_trusted[_about(row)].add(row.desirable)
    kept: list[Judged] = []
    for row in rows:
        about, own = _about(row), {row.desirable}
        if by_pairs.get(about) == own:
            ledger.remove([gone(row, "duplicates", "a pair says the same of this answer")])
        elif about in by_pairs:
            said = "a pair says the opposite of this answer; a person must decide"
            ledger.remove([gone(row, "contradictions", said, "quarantined")])
        elif by_people[about] != own and by_trusted.get(about) != own:
            said = "the same answer was judged the other way round; a person must decide"
            ledger.remove([gone(row, "contradictions", said, "quarantined")])
        else:
            kept.append(row)
    return kept


def _distinct(rows: Sequence[Judged], near: float, ledger: Ledger) -> list[Judged]:
    """The first of each answer, and of near copies of a question with the same answer."""
    kept: list[Judged] = []
    indexes: defaultdict[tuple[str, bool], NearIndex] = defaultdict(lambda: NearIndex(near))
    for row in rows:
        text, index = asked(row.prompt), indexes[row.answer, row.desirable]
        hit = next(iter(index.matches(text)), None)
        if hit is None:
            index.add(row.id, text)
            kept.append(row)
        else:
            ledger.remove([gone(row, "duplicates", f"the same answer to the same or a near question as {hit[0]}")])
    return kept


def _by_side(
    rows: Sequence[Judged], taught: Sequence[str], sides: Sides, near: float, ledger: Ledger
) -> tuple[list[Judged], list[Judged]]:
    """Answers to teach, and answers to test with, none of them near a row that is taught."""
    found: dict[str, list[Judged]] = {"taught": [], "locked": [], "torn": []}
    for row in rows:
        found[sides.pair_side(asked(row.prompt))].append(row)
    index = NearIndex(near)
    for row in found["locked"]:
        index.add(row.id, asked(row.prompt))
    given_away = {id for text in taught for id, _ in index.matches(text)} if found["locked"] else set()
    torn = [*found["torn"], *(row for row in found["locked"] if row.id in given_away)]
    ledger.remove(gone(row, "sides", TORN) for row in torn)
    return found["taught"], [row for row in found["locked"] if row.id not in given_away]
