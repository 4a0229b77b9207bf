"""The whole of curation as one function from rows to rows: read it from top to bottom.

The task's own rows:  clean, duplicates, contaminated, held back for replay and for tuning, near locked or
corrected feedback, sampled. Feedback, turn by turn: clean, suspicion, triage, settle with earlier
turns, rater cap, taught, locked or tuning, and of earlier turns a sample of each; then the critical
cases, see `critical`. Pairs, of corrections and brought ones: see `pairs`. Answers that were judged one by
one, by thumbs and brought ones: see `judged`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.config import CurateSettings
from components.curation import bounded
from components.curation.cap import capped
from components.curation.clean import Cleaner
from components.curation.critical import Critical, critical_cases
from components.curation.duplicates import without_duplicates
from components.curation.judged import weigh
from components.curation.ledger import Ledger
from components.curation.near import NearIndex, asked, question, question_key
from components.curation.pairs import TORN, pair_up, sources
from components.curation.replay import held_back
from components.curation.settled import Body, Settled
from components.curation.sides import Sides
from components.curation.sources import taught_by
from components.curation.strata import sampled
from components.feedback.suspicion import suspicions, suspicious_dislikes
from components.feedback.triage import drop, quarantine, triage
from components.schema import MARKS, Dropped, Example, FeedbackRow, Judged, Message, Preference, content_id
from components.task import Task

log = logging.getLogger("curate")

Excess = Callable[[Sequence[Message]], "str | None"]
"""Why a conversation is too long for the model, or None."""


COMPARED = ("preferences", "preferences_heldout", "judged", "judged_heldout")
TUNING = ("tuning_target", "tuning_guard")
FILES = ("train", "replay", "target", "regression", "critical", *TUNING, *COMPARED, "review", "dropped")


@dataclass
class Curated:
    """What `curate` writes, file by file."""

    train: list[Example]
    replay: list[Example]
    target: list[Example]
    regression: list[Example]
    tuning_target: list[Example]
    """This turn's feedback that chooses among candidates: never taught, and no part of the verdict."""
    tuning_guard: list[Example]
    """So with own rows, and feedback of earlier turns."""
    critical: list[Example]
    """Cases that a reviewer marked; each stands in another file, too, unless it could be put on no side."""
    preferences: list[Preference]
    preferences_heldout: list[Preference]
    judged: list[Judged]
    judged_heldout: list[Judged]
    review: list[FeedbackRow]
    dropped: list[Dropped]
    report: dict[str, Any] = field(default_factory=dict)


def curate(
    task: Task,
    own: Sequence[Example],
    evaluation: Mapping[str, Sequence[Example]],
    snapshots: Sequence[Sequence[FeedbackRow]],
    cleaner: Cleaner,
    settings: CurateSettings,
    replayed: int,
    seed: int,
    excess: Excess,
    brought: Sequence[Preference] = (),
    voted: Sequence[Preference] = (),
    judged: Sequence[Judged] = (),
    voted_in: Mapping[str, int] | None = None,
    unserved: int = 1,
) -> Curated:
    """Turn a task's own rows and its turns' feedback into what is taught and what is tested.

    `own` are the rows of train.jsonl, `evaluation` every evaluation set, `snapshots` the
    events of each turn in order, `replayed` how many old rows a turn teaches again, `excess`
    why a conversation is too long for the model, `brought` the pairs that came with the task,
    `voted` those of the arena's votes, `judged` the judged answers that came with the task, and
    `voted_in` the turn of each pair that a vote made, by its id, and
    `unserved` of how many of the last snapshots the champion was taught nothing.

    Raises:
        StageError: the counts do not add up.
    """
    near = settings.near_duplicate
    own_ledger = Ledger("the task's own rows", len(own))
    tests = {name: [cleaner.text(question(row)) for row in rows] for name, rows in evaluation.items()}

    rows = _cleaned(own, cleaner, own_ledger, excess)
    rows, removed = without_duplicates(rows, near, any_answer=task.answer == "text")
    own_ledger.remove(removed)
    rows = _apart(rows, tests, "decontaminate", "a near-duplicate of a row of evaluation set {}", near, own_ledger)
    people = [r for r in rows if r.source != "teacher"]
    replay_ids, tuning_ids = held_back(people, settings.replay_rows, settings.tuning_rows, near, seed)
    replay = [row for row in rows if row.id in replay_ids]
    tuning = [row for row in rows if row.id in tuning_ids]
    rows = [row for row in rows if row.id not in replay_ids | tuning_ids]
    # Of people's rows whole clusters are held back, so that none is near; a teacher's may be.
    if any(row.source == "teacher" for row in rows):
        held = {"rows held back for replay": list(map(question, replay)), "tuning rows": list(map(question, tuning))}
        rows = _apart(rows, held, "decontaminate", "a teacher's, and a near-duplicate of {}", near, own_ledger)

    sides = Sides(near, settings.regression_share, seed, settings.tuning_share)
    for text in (*(text for texts in tests.values() for text in texts), *map(question, replay)):
        sides.lock(text)
    for row in tuning:
        sides.tune(question(row))
    feedback = _feedback(task, snapshots, cleaner, settings, sides, excess)

    locked = {"locked feedback": [row.text for row in (*feedback.locked, *feedback.tuning)]}
    rows = _apart(rows, locked, "decontaminate", "a near-duplicate of {}", near, own_ledger)
    taught = {"taught feedback": [row.text for row in feedback.taught]}
    rows = _apart(rows, taught, "superseded", "a near-duplicate of {}, which is newer", near, own_ledger)
    last = len(snapshots)
    new = last - unserved + 1  # feedback of this turn and later ones was not taught to the champion
    earlier = {row.row.event_id: row.turn for row in feedback.taught if row.turn < new}
    chosen = bounded.again(earlier, rows, new, replayed, seed)
    again = [row for row in rows if row.id in chosen] if snapshots else rows
    lessons = [row for row in feedback.taught if row.turn >= new or row.row.event_id in chosen]
    own_ledger.end(train=len(again), replay=len(replay), tuning=len(tuning), not_sampled=len(rows) - len(again))

    answered = (*feedback.taught, *feedback.locked, *feedback.tuning)
    corrected = [_preference(row) for row in answered if row.corrects]
    if brought or voted or judged:
        for row in rows:  # what corrections are about has its side already
            sides.teach(question(row))
    paired = pair_up([*corrected, *brought], task, cleaner, excess, sides, settings, voted)

    praised = [(row.row, row.answer) for row in answered if not row.corrects]
    thumbs = [*praised, *((row, row.answer) for row in feedback.disliked)]
    weighed = weigh(
        sorted(thumbs, key=lambda thumb: thumb[0].seq),
        feedback.doubted,
        judged,
        [*paired.taught, *paired.heldout],
        [question(row) for row in again],
        task,
        cleaner,
        excess,
        sides,
        settings,
    )

    fixed, most = [row for row in feedback.locked if row.turn < new], settings.regression_rows
    asked_again = sampled({row.row.event_id: row.turn for row in fixed}, most, seed, "regression")
    critical = {row.row.event_id for row in feedback.critical.cases}
    choosing = [row for row in feedback.tuning if row.row.event_id not in critical]  # these have a say in the verdict
    set_aside = [row for row in choosing if row.turn < new]
    looked_at = sampled({row.row.event_id: row.turn for row in set_aside}, settings.tuning_rows, seed, "tuning")
    turns, shown = bounded.turns_of(snapshots, voted_in or {}), settings.heldout_rows
    ledgers = (own_ledger, feedback.ledger, paired.ledger, weighed.ledger)
    result = Curated(
        train=[*(_example(row, task, rehearsed=row.turn < new) for row in lessons), *again],
        replay=replay,
        target=[_example(row, task) for row in feedback.locked if row.turn >= new],
        regression=[_example(row, task) for row in fixed if row.row.event_id in asked_again],
        critical=[_example(row, task).model_copy(update={"critical": True}) for row in feedback.critical.cases],
        tuning_target=[_example(row, task) for row in choosing if row.turn >= new],
        tuning_guard=[*tuning, *(_example(row, task) for row in set_aside if row.row.event_id in looked_at)],
        preferences=bounded.taught(paired.taught, turns, new, replayed, seed, paired.ledger, "preferences"),
        preferences_heldout=bounded.tested(paired.heldout, turns, shown, seed, paired.ledger, "preferences_heldout"),
        judged=bounded.taught(weighed.taught, turns, new, replayed, seed, weighed.ledger, "judged"),
        judged_heldout=bounded.tested(weighed.heldout, turns, shown, seed, weighed.ledger, "judged_heldout"),
        review=feedback.review,
        dropped=[row for ledger in ledgers for row in (*ledger.changed, *ledger.removed)],
    )
    feedback.ledger.end(
        train=len(lessons),
        train_not_sampled=len(feedback.taught) - len(lessons),
        target=len(result.target),
        regression=len(result.regression),
        regression_not_sampled=len(fixed) - len(result.regression),
        tuning=len(result.tuning_target) + len(looked_at),
        critical_only=len(feedback.tuning) - len(choosing),
        tuning_not_sampled=len(set_aside) - len(looked_at),
        review=len(result.review),
        marks=feedback.marks,
    )
    result.report = {
        "own": own_ledger.report(),
        "feedback": feedback.ledger.report() | {"turns": last, "raters": len({r.row.rater for r in feedback.taught})},
        "pairs": paired.ledger.report() | {"sources": sources(result.preferences)},
        "judged": weighed.ledger.report() | {"sources": sources(result.judged)},
        "critical": feedback.critical.report,
        "taught": taught_by(result.train),
        "rehearsed": _by_turn(row for row in lessons if row.turn < new),
        "asked again": _by_turn(row for row in fixed if row.row.event_id in asked_again),
        "files": {name: len(getattr(result, name)) for name in FILES},
    }
    return result


@dataclass
class _Feedback:
    ledger: Ledger
    taught: list[Settled]
    locked: list[Settled]
    tuning: list[Settled]
    review: list[FeedbackRow]
    disliked: list[FeedbackRow]
    """Thumbs down that say of an answer that it is bad."""
    doubted: dict[str, str]
    """Of these, event ids → why they teach nothing until a person has looked."""
    critical: Critical
    marks: int
    """Events that mark a case critical or take the mark back: they teach nothing."""


def _feedback(
    task: Task,
    snapshots: Sequence[Sequence[FeedbackRow]],
    cleaner: Cleaner,
    settings: CurateSettings,
    sides: Sides,
    excess: Excess,
) -> _Feedback:
    """Every turn's events, each turn seeing only itself and the turns before it."""
    ledger = Ledger("feedback", sum(len(rows) for rows in snapshots))
    body = Body(settings.near_duplicate, any_answer=task.answer == "text", trusted=settings.trusted_raters)
    review: list[FeedbackRow] = []
    disliked: list[FeedbackRow] = []
    doubted_dislikes: dict[str, str] = {}
    before: list[FeedbackRow] = []
    marks: list[FeedbackRow] = []

    def key(row: FeedbackRow) -> str:
        return question_key(asked(row.messages))

    for turn, events in enumerate(snapshots, 1):
        cleaned: list[FeedbackRow] = []
        for event in events:
            row, changes = cleaner.feedback(event)
            ledger.change(changes)
            (marks if row.kind in MARKS else cleaned).append(row)
            sides.assign(asked(row.messages))
        # Of the events as they were said: cleaning would take hidden characters away.
        known = (events, before, task, settings.trust, settings.trusted_raters, cleaner.canonical, key)
        doubted = suspicions(*known)
        doubted_dislikes |= suspicious_dislikes(*known)
        before += events
        ledger.remove(quarantine(row, doubted[row.event_id], "suspicion") for row in cleaned if row.event_id in doubted)
        sorted_out = triage([row for row in cleaned if row.event_id not in doubted], cleaner.canonical, key)
        ledger.remove(sorted_out.dropped)
        review += sorted_out.review
        disliked += sorted_out.disliked
        fitting = []
        for taught in sorted_out.teach:
            long = excess((*taught.row.messages, Message(role="assistant", content=taught.answer)))
            if long is None:
                fitting.append(taught)
            else:
                ledger.remove([drop(taught.row, long, "too long")])
        settled, removed = body.settle(((t, asked(t.row.messages)) for t in fitting), turn)
        ledger.remove(removed)
        kept, removed = capped(settled, settings.rater_share, settings.rater_free, settings.trusted_raters)
        ledger.remove(removed)
        used = {row.row.event_id for row in kept}
        for answer in settled:
            if answer.row.event_id not in used:
                body.forget(answer)
        ledger.remove(body.superseded(kept))
    by_side: dict[str, list[Settled]] = {"taught": [], "locked": [], "tuning": [], "torn": []}
    for counted in body.rows():
        by_side[sides.assign(counted.text)].append(counted)
    ledger.remove(drop(row.row, TORN, "sides") for row in by_side["torn"])
    critical = critical_cases(marks, key, body, before, ledger.removed, review)
    sided = (by_side["taught"], by_side["locked"], by_side["tuning"])
    return _Feedback(ledger, *sided, review, disliked, doubted_dislikes, critical, len(marks))


def _cleaned(rows: Sequence[Example], cleaner: Cleaner, ledger: Ledger, excess: Excess) -> list[Example]:
    result: list[Example] = []
    for row in rows:
        cleaned, changes = cleaner.example(row)
        # `examples` has measured the row as it was; a placeholder can be longer than what it replaces.
        long = excess(cleaned.messages) if changes else None
        if long is not None:
            ledger.remove([Dropped(id=row.id, step="too long", action="dropped", reason=long, text=cleaned.question)])
            continue
        ledger.change(changes)
        result.append(cleaned)
    return result


def _apart(
    rows: Sequence[Example],
    others: Mapping[str, Sequence[str]],
    step: str,
    reason: str,
    near: float,
    ledger: Ledger,
) -> list[Example]:
    """The rows that are no near-duplicate of any of the others' texts."""
    index = NearIndex(near)
    for name, texts in others.items():
        for text in texts:
            index.add(name, text)
    kept: list[Example] = []
    for row in rows:
        hit = next(iter(index.matches(question(row))), None)
        if hit is None:
            kept.append(row)
        else:
            why = f"{reason.format(hit[0])} (similarity {hit[1]:.2f})"
            ledger.remove([Dropped(id=row.id, step=step, action="dropped", reason=why, text=row.question)])
    return kept


def _by_turn(rows: Iterable[Settled]) -> dict[str, int]:
    """How many rows each turn gives, for curation.json."""
    return {str(turn): count for turn, count in sorted(Counter(row.turn for row in rows).items())}


def _example(row: Settled, task: Task, rehearsed: bool = False) -> Example:
    """A settled answer as a row to learn or to be tested on; its id is the event's."""
    return Example(
        id=row.row.event_id,
        messages=(*row.row.messages, Message(role="assistant", content=row.answer)),
        source="correction" if row.corrects else "confirmed",
        group=row.answer if task.answer == "label" else None,
        rater=row.row.rater,
        rehearsed=rehearsed,
    )


def _preference(row: Settled) -> Preference:
    """The correction preferred to what was served."""
    return Preference(
        id=content_id("preference", row.row.event_id),
        prompt=row.row.messages,
        chosen=row.answer,
        rejected=row.row.answer,
        source="human",
        rater=row.row.rater,
        rejected_version=row.row.model_version,
    )
