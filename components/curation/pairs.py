"""Preference pairs: cleaned, each once, contradictions aside, and on the side that their question stands on.

Pairs come from three places, in this order: corrections (chosen over the answer that was served), the task's own
`preferences.jsonl`, and votes of the arena. What two people decided the other way round is quarantined, both of them:
nobody is right by having spoken last.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from components.config import CurateSettings
from components.curation.cap import STEP, capped_votes
from components.curation.clean import Cleaner
from components.curation.ledger import Ledger
from components.curation.near import NearIndex, asked, question_key
from components.curation.sides import Sides
from components.schema import Dropped, Message, Preference
from components.task import Task

Excess = Callable[[Sequence[Message]], "str | None"]


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
    times: Counter[str] = Counter()
    voted: set[str] = set()
    for number, given in enumerate([*pairs, *votes]):
        times[given.id] += 1
        if times[given.id] > 1:  # a line that is there twice: each gets an account of its own
            given = given.model_copy(update={"id": f"{given.id}-{times[given.id]}"})
        if number >= len(pairs):
            voted.add(given.id)
        pair, changed = _cleaned(_asked_as_served(given, task), cleaner)
        reason = _fault(pair, task, excess)
        if reason is not None:
            ledger.remove([_gone(pair, *reason)])
            continue
        if changed:
            said = "Unicode, spaces or JSON notation made uniform, personal data replaced"
            ledger.change([_gone(pair, "clean", said, "changed")])
        kept.append(pair)
    kept = _agreeing(_distinct(kept, settings.near_duplicate, ledger), ledger)
    found: dict[str, list[Preference]] = {"taught": [], "locked": [], "torn": []}
    for pair in kept:
        found[sides.assign(asked(pair.prompt))].append(pair)
    torn = "near both a taught and a locked row, so it can be neither without giving a test away"
    ledger.remove(_gone(pair, "sides", torn) for pair in found["torn"])
    trusted = settings.trusted_raters
    taught, excessive = capped_votes(found["taught"], voted, settings.rater_share, settings.rater_free, trusted)
    ledger.remove(_gone(pair, STEP, why) for pair, why in excessive)
    ledger.end(preferences=len(taught), preferences_heldout=len(found["locked"]))
    return Paired(taught, found["locked"], ledger)


def _asked_as_served(pair: Preference, task: Task) -> Preference:
    """The pair with the task's system message, where it has none of its own."""
    if any(message.role == "system" for message in pair.prompt):
        return pair
    return pair.model_copy(update={"prompt": (*task.prompt("")[:-1], *pair.prompt)})


def _cleaned(pair: Preference, cleaner: Cleaner) -> tuple[Preference, bool]:
    prompt = tuple(cleaner.message(message) for message in pair.prompt)
    chosen, rejected = cleaner.answer(pair.chosen), cleaner.answer(pair.rejected)
    cleaned = pair.model_copy(update={"prompt": prompt, "chosen": chosen, "rejected": rejected})
    return cleaned, cleaned != pair


def _fault(pair: Preference, task: Task, excess: Excess) -> tuple[str, str] | None:
    """The step that leaves the pair out, and why; None where nothing is wrong with it."""
    if not any(message.role == "user" and message.content.strip() for message in pair.prompt):
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
            ledger.remove([_gone(pair, "duplicates", f"the same answers to the same or a near question as {hit[0]}")])
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
            ledger.remove([_gone(pair, "contradictions", said, "quarantined")])
        else:
            kept.append(pair)
    return kept


def _gone(pair: Preference, step: str, reason: str, action: str = "dropped") -> Dropped:
    question = next((m.content for m in reversed(pair.prompt) if m.role == "user"), "")
    return Dropped.model_validate({"id": pair.id, "step": step, "action": action, "reason": reason, "text": question})


def sources(pairs: Sequence[Preference]) -> dict[str, int]:
    """How many pairs people decided, and how many a model did."""
    return dict(sorted(Counter(pair.source for pair in pairs).items()))
