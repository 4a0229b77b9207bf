"""Preference pairs: cleaned, each once, contradictions aside, and on the side that their question stands on.

Pairs come from three places, in this order: corrections (chosen over the answer that was served), the task's own
`preferences.jsonl`, and votes of the arena. What two people decided the other way round is quarantined, both of them:
nobody is right by having spoken last.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from components.config import CurateSettings
from components.curation.cap import STEP, capped_votes
from components.curation.clean import Cleaner
from components.curation.ledger import Ledger
from components.curation.near import NearIndex, asked, question_key
from components.curation.sides import Sides
from components.schema import Dropped, Judged, Message, Preference
from components.task import Task

Excess = Callable[[Sequence[Message]], "str | None"]
Row = TypeVar("Row", Preference, Judged)
CLEANED = "Unicode, spaces or JSON notation made uniform, personal data replaced"
TORN = "near both a taught and a locked row, so it can be neither without giving a test away"


@dataclass
class Paired:
    """What `pair_up` leaves: pairs to teach, pairs to test with, and the account of all others."""

    taught: list[Preference]
    heldout: list[Preference]
    ledger: Ledger


def pair_up(
    pairs: Sequence[Preference],
    task: Task,
    cleaner: Cleaner,
    excess: Excess,
    sides: Sides,
    settings: CurateSettings,
    votes: Sequence[Preference] = (),
) -> Paired:
    """Curate every pair.

    Args:
        votes: pairs after the others, of which one person may give no more than `rater_share` of what is taught.
        sides: knows the side of every question that is tested or taught; a new one is drawn by its seeded hash.

    Raises:
        StageError: the counts do not add up.
    """
    ledger = Ledger("preference pairs", len(pairs) + len(votes))
    kept: list[Preference] = []
    voted: set[str] = set()
    for number, given in enumerate(told_apart([*pairs, *votes])):
        if number >= len(pairs):
            voted.add(given.id)
        pair, changed = _cleaned(asked_as_served(given, task), cleaner)
        reason = _fault(pair, task, excess)
        if reason is not None:
            ledger.remove([gone(pair, *reason)])
            continue
        if changed:
            ledger.change([gone(pair, "clean", CLEANED, "changed")])
        kept.append(pair)
    kept = _agreeing(_distinct(kept, settings.near_duplicate, ledger), ledger)
    found: dict[str, list[Preference]] = {"taught": [], "locked": [], "torn": []}
    for pair in kept:
        found[sides.pair_side(asked(pair.prompt))].append(pair)
    ledger.remove(gone(pair, "sides", TORN) for pair in found["torn"])
    trusted = settings.trusted_raters
    taught, excessive = capped_votes(
        found["taught"], voted, settings.rater_share, settings.rater_free, trusted, what="pairs"
    )
    ledger.remove(gone(pair, STEP, why) for pair, why in excessive)
    ledger.end(preferences=len(taught), preferences_heldout=len(found["locked"]))
    return Paired(taught, found["locked"], ledger)


def told_apart(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows with ids that differ: a line that is there twice gets an account of its own each time."""
    times: Counter[str] = Counter()
    for row in rows:
        times[row.id] += 1
        yield row if times[row.id] == 1 else row.model_copy(update={"id": f"{row.id}-{times[row.id]}"})


def asked_as_served(row: Row, task: Task) -> Row:
    """The row with the task's system message, where it has none of its own."""
    if any(message.role == "system" for message in row.prompt):
        return row
    return row.model_copy(update={"prompt": (*task.prompt("")[:-1], *row.prompt)})


def _cleaned(pair: Preference, cleaner: Cleaner) -> tuple[Preference, bool]:
    prompt = tuple(cleaner.message(message) for message in pair.prompt)
    chosen, rejected = cleaner.answer(pair.chosen), cleaner.answer(pair.rejected)
    cleaned = pair.model_copy(update={"prompt": prompt, "chosen": chosen, "rejected": rejected})
    return cleaned, cleaned != pair


def _fault(pair: Preference, task: Task, excess: Excess) -> tuple[str, str] | None:
    """The step that leaves the pair out, and why; None where nothing is wrong with it."""
    if not asks(pair):
        return "prompt", "there is no user message to answer"
    if not pair.chosen.strip() or not pair.rejected.strip():
        return "answers", "an answer is empty"
    if task.parse(pair.chosen) is None:
        return "answers", f"the chosen answer is no valid answer of this task: {pair.chosen[:120]!r}"
    if pair.chosen.split() == pair.rejected.split():
        return "equal answers", "the two answers are equal once cleaned"
    for name, answer in (("chosen", pair.chosen), ("rejected", pair.rejected)):
        long = excess((*pair.prompt, Message(role="assistant", content=answer)))
        if long is not None:
            return "too long", f"the {name} answer: {long}"
    return None


def asks(row: Preference | Judged) -> bool:
    """Whether there is something to answer."""
    return any(message.role == "user" and message.content.strip() for message in row.prompt)


def _distinct(pairs: Sequence[Preference], near: float, ledger: Ledger) -> list[Preference]:
    """The first of each pair, and of near copies of a question with the same two answers."""
    kept: list[Preference] = []
    indexes: defaultdict[tuple[str, str], NearIndex] = defaultdict(lambda: NearIndex(near))
    for pair in pairs:
        text = asked(pair.prompt)
        index = indexes[pair.chosen, pair.rejected]
        hit = next(iter(index.matches(text)), None)
        if hit is None:
            index.add(pair.id, text)
            kept.append(pair)
        else:
            ledger.remove([gone(pair, "duplicates", f"the same answers to the same or a near question as {hit[0]}")])
    return kept


def _agreeing(pairs: Sequence[Preference], ledger: Ledger) -> list[Preference]:
    """Pairs that no other decides the other way round."""
    decided: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for pair in pairs:
        decided[question_key(asked(pair.prompt))].add((pair.chosen, pair.rejected))
    kept: list[Preference] = []
    for pair in pairs:
        if (pair.rejected, pair.chosen) in decided[question_key(asked(pair.prompt))]:
            said = "another pair prefers the other one of the same two answers; a person must decide"
            ledger.remove([gone(pair, "contradictions", said, "quarantined")])
        else:
            kept.append(pair)
    return kept


def gone(row: Preference | Judged, step: str, reason: str, action: str = "dropped") -> Dropped:
    """The account of a row that is left out, or changed."""
    question = next((m.content for m in reversed(row.prompt) if m.role == "user"), "")
    return Dropped.model_validate({"id": row.id, "step": step, "action": action, "reason": reason, "text": question})


def sources(rows: Sequence[Preference | Judged]) -> dict[str, int]:
    """How many of them people decided, and how many a model did."""
    return dict(sorted(Counter(row.source for row in rows).items()))
