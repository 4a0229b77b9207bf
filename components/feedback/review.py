"""The review queue: what waits for a look, one item to one person at a time, and what became of their looks.

    queue = ReviewQueue(store, task, settings)
    item = queue.take("ann")                       # nobody else gets it while her lease lives
    queue.look("ann", item.interaction.id, "fix", correction="…")

A look is an append-only event of its own; in the same transaction it becomes feedback like any
other (accept: thumb up, fix: correction, reject: thumb down), so triage and curation need to know
nothing of queues.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from components.config import Settings
from components.examples.similarity import asked, question_key
from components.feedback import findings, gold, tables, waiting
from components.feedback.agreement import Agreement
from components.feedback.appending import append_feedback, interactions, storable
from components.feedback.critical import is_critical, marked
from components.feedback.database import StoreError, reading, writing
from components.feedback.findings import Estimate
from components.feedback.store import Store
from components.feedback.suspicion import suspicions
from components.feedback.waiting import DRAWN, REASONS, Action, Answer, Look, Reason
from components.schema import Feedback, FeedbackKind, Interaction, Record
from components.sentences import say
from components.task import Task

__all__ = ["Action", "Estimate", "Item", "LeaseLost", "Look", "Reason", "ReviewQueue", "WrongLook"]

KINDS: dict[Action, FeedbackKind] = {"accept": "thumb_up", "fix": "correction", "reject": "thumb_down"}
"""What a look becomes; a skip becomes nothing."""


class LeaseLost(StoreError):
    """Somebody else has the item open, or it was never taken: take another."""


class WrongLook(StoreError):
    """The look does not hold together: a fix without a valid answer, say."""


class Item(Record):
    """One answer to look at. It does not tell what other reviewers found, nor whether the answer is known."""

    interaction: Interaction
    reason: Reason
    detail: str
    """Why it waits, in words."""
    said: tuple[Feedback, ...]
    """What users said about it, oldest first; reviewers' own looks left out."""
    proposal: str | None = None
    """A right answer that somebody wrote and nobody has confirmed: shown as a proposal only."""
    proposed_by: str | None = None
    critical: bool = False
    """It is marked: no version may break it."""
    expires_at: datetime | None = None
    """Until when the item is kept from others; None where it was only shown, not taken."""


@dataclass(frozen=True)
class _Snapshot:
    answers: list[Answer]
    looks: int
    """Looks of the task so far, gold ones left out."""


class ReviewQueue:
    """The queue of one task, for as many processes as there are. Keep one: it remembers what was suspicious."""

    def __init__(
        self, store: Store, task: Task, settings: Settings, told: Callable[[Feedback], None] = lambda _: None
    ) -> None:
        """`told` hears of each event that a look became, once it is on disk."""
        self._told = told
        self._store = store
        self._engine = store.engine
        self._task = task
        self._settings = settings.review
        self._curate = settings.curate
        self._seed = settings.seed
        self._suspected: tuple[int, dict[str, str]] = (-1, {})

    # What waits ------------------------------------------------------------------------

    def waiting(self) -> dict[Reason, int]:
        """How many items wait for anybody's look, by reason, in the order of looking; every reason is a key."""
        counts = Counter(answer.reason for answer in self._snapshot().answers if answer.waits())
        return {reason: counts[reason] for reason in REASONS}

    def items(self, limit: int = 50, reviewer: str | None = None) -> list[Item]:
        """The next items without taking them; for `reviewer`, only those that may be shown to them."""
        snapshot = self._snapshot()
        found = [
            a for a in _ordered(snapshot, self._settings.sample_every) if reviewer is None or a.waits_for(reviewer)
        ]
        with reading(self._engine) as connection:
            served = interactions(connection, [answer.id for answer in found[:limit]])
        return [_item(served[answer.id], answer) for answer in found[:limit]]

    def take(self, reviewer: str) -> Item | None:
        """The next item for a reviewer, theirs alone until `lease_minutes` have passed; None where nothing waits.

        Who has an item open already gets the same one again (a reloaded page), with a new lease. Thumbs down
        come first, see `components.feedback.waiting`; every `sample_every`-th look goes to the random sample,
        and a share `gold` of a reviewer's looks to a question whose answer is known, which looks like any other.
        """
        snapshot = self._snapshot()
        mine = [a for a in _ordered(snapshot, self._settings.sample_every) if a.waits_for(reviewer)]
        looks = {answer.id: len(answer.judged) for answer in snapshot.answers}
        now = datetime.now(UTC)
        until = now + timedelta(minutes=self._settings.lease_minutes)
        leases = tables.review_leases
        with writing(self._engine) as connection:
            live = sa.and_(leases.c.task == self._task.name, leases.c.expires_at > now)
            held = list(connection.execute(sa.select(leases).where(live)).mappings())
            own = next((lease for lease in held if lease["reviewer"] == reviewer), None)
            if own is not None:
                of = leases.c.interaction_id == own["interaction_id"]
                connection.execute(sa.update(leases).where(of).values(expires_at=until))
                chosen, reason, detail = own["interaction_id"], own["reason"], own["detail"]
            else:
                taken = {lease["interaction_id"] for lease in held}
                known = gold.next_for(connection, self._task.name, reviewer, taken, self._settings.gold, self._seed)
                # It poses as one of the random sample.
                found = (known, "sample", DRAWN) if known else self._first(connection, mine, taken, looks)
                if found is None:
                    return None
                chosen, reason, detail = found
                values: dict[str, object] = {"interaction_id": chosen, "task": self._task.name, "reviewer": reviewer}
                values |= {"reason": reason, "detail": detail, "opened_at": now, "expires_at": until}
                # One that is over stays until now: who took long to write may still save, if nobody came meanwhile.
                connection.execute(sa.delete(leases).where(leases.c.interaction_id == chosen))
                connection.execute(sa.insert(leases), values)
            served = interactions(connection, [chosen])[chosen]
            critical = is_critical(connection, chosen)
        answer = next((a for a in snapshot.answers if a.id == chosen), None)
        shown = _item(served, answer or Answer(chosen, served.created_at, served.model_version, None, None, None, ""))
        return shown.model_copy(update={"reason": reason, "detail": detail, "critical": critical, "expires_at": until})

    def release(self, reviewer: str, interaction_id: str) -> None:
        """Give an item back without a look; nothing happens where it is not theirs."""
        lease = tables.review_leases
        of = sa.and_(lease.c.interaction_id == interaction_id, lease.c.reviewer == reviewer)
        with writing(self._engine) as connection:
            connection.execute(sa.delete(lease).where(of))

    def open_items(self) -> dict[str, str]:
        """Interaction id → reviewer who has it open now."""
        lease = tables.review_leases.c
        query = sa.select(lease.interaction_id, lease.reviewer)
        with reading(self._engine) as connection:
            here = query.where(lease.task == self._task.name, lease.expires_at > datetime.now(UTC))
            return dict(connection.execute(here).tuples().all())

    def _snapshot(self) -> _Snapshot:
        with reading(self._engine) as connection:
            answers = waiting.read(connection, self._task.name, self._settings.recent)
            count = sa.select(sa.func.count()).where(
                tables.looks.c.task == self._task.name, tables.looks.c.gold.is_(False)
            )
            looks = connection.execute(count).scalar() or 0
        waiting.weigh(answers, self._settings, self._seed, self._suspicious(), self.canonical)
        return _Snapshot(answers, looks)

    def _suspicious(self) -> dict[str, str]:
        """Event id → why it is suspicious, of the newest events; the next turn's curation will say the same."""
        latest = self._store.latest_seq(self._task.name)
        if self._suspected[0] != latest:
            rows = self._store.rows(self._task.name, max(0, latest - self._settings.recent), latest)
            found = suspicions(
                rows,
                (),
                self._task,
                self._curate.trust,
                self._curate.trusted_raters,
                lambda answer: None if self._task.parse(answer) is None else self.canonical(answer),
                lambda row: question_key(asked(row.messages)),
            )
            self._suspected = (latest, found)
        return self._suspected[1]

    def _first(
        self, connection: sa.Connection, answers: Sequence[Answer], taken: set[str], looks: dict[str, int]
    ) -> tuple[str, Reason, str] | None:
        """The first that nobody has open and nobody has looked at since the snapshot."""
        for answer in answers:
            if answer.id in taken or answer.reason is None:
                continue
            now = waiting.looks_at(connection, answer.id)
            if len([look for look in now if look.action != "skip"]) == looks[answer.id]:
                return answer.id, answer.reason, answer.detail
        return None

    # Looks -----------------------------------------------------------------------------

    def look(
        self,
        reviewer: str,
        interaction_id: str,
        action: Action,
        correction: str | None = None,
        comment: str | None = None,
        critical: bool | None = None,
    ) -> Look:
        """Write down what a reviewer found; on disk, and feedback, when this returns.

        The same look again changes nothing (a double click). Another look by the same reviewer at the same
        answer is an edit: a new event, and the later one counts. `critical` marks the case or takes the mark
        back, in the same transaction; None leaves it as it is.

        Raises:
            LeaseLost: somebody else has the item open, or it was never taken.
            WrongLook: a fix without a valid right answer, a right answer with another action, or a mark without
                a right answer.
            TooManyCritical: the task has as many critical cases as it may have; the look is not written either.
        """
        right = self._checked(action, correction)
        comment = storable((comment or "").strip()) or None
        with writing(self._engine) as connection:
            lease, before = self._may_look(connection, reviewer, interaction_id)
            marks = marked(connection, interaction_id, reviewer, critical)
            if marks and critical and action not in ("accept", "fix"):
                raise WrongLook(say("critical_unsure"))  # without a right answer nothing could be tested
            if before is not None and (before.action, before.correction, before.comment) == (action, right, comment):
                look, events = before, marks
            else:
                look = Look(
                    id=f"look-{secrets.token_hex(12)}",
                    interaction_id=interaction_id,
                    reviewer=reviewer,
                    reason=lease["reason"] if lease is not None else before.reason if before is not None else "sample",
                    action=action,
                    correction=right,
                    comment=comment,
                    gold=gold.known(connection, interaction_id) is not None,
                    event_id=None if action == "skip" else f"fb-{secrets.token_hex(16)}",
                    created_at=datetime.now(UTC),
                )
                events = marks if look.event_id is None else [_event(look), *marks]
                connection.execute(sa.insert(tables.looks), look.model_dump() | {"task": self._task.name})
            if events:
                outcome = append_feedback(connection, [events], self._curate.critical_most)[0]
                if isinstance(outcome, StoreError):
                    raise outcome
            self._let_go(connection, interaction_id, reviewer)
        for event in events:
            self._told(event)
        return look

    def looks(self, limit: int = 100, reviewer: str | None = None) -> list[Look]:
        """The newest looks, newest first."""
        table = tables.looks
        query = sa.select(table).where(table.c.task == self._task.name).order_by(table.c.seq.desc()).limit(limit)
        if reviewer is not None:
            query = query.where(table.c.reviewer == reviewer)
        with reading(self._engine) as connection:
            return [waiting.as_look(row) for row in connection.execute(query).mappings()]

    def canonical(self, answer: str) -> str:
        """The form in which answers are compared: the task's, or the text itself where it is no valid answer."""
        return answer.strip() if self._task.parse(answer) is None else self._task.normalise(answer)

    def _checked(self, action: Action, correction: str | None) -> str | None:
        if action != "fix":
            if correction is not None:
                raise WrongLook(f"a right answer goes with action fix, not with {action}")
            return None
        if correction is None or not correction.strip():
            raise WrongLook(say("nothing_right"))
        if self._task.parse(correction) is None:
            raise WrongLook(say("no_valid_answer", task=repr(self._task.name), text=repr(correction[:120])))
        return storable(self._task.normalise(correction) if self._task.answer == "json" else correction.strip())

    def _may_look(
        self, connection: sa.Connection, reviewer: str, interaction_id: str
    ) -> tuple[Any | None, Look | None]:
        """The reviewer's lease and their look before this one.

        Raises:
            LeaseLost
        """
        lease, now = tables.review_leases, datetime.now(UTC)
        held = connection.execute(sa.select(lease).where(lease.c.interaction_id == interaction_id)).mappings().first()
        if held is not None and held["reviewer"] != reviewer and held["expires_at"] > now:
            raise LeaseLost(say("open_elsewhere", reviewer=held["reviewer"]))
        mine = held if held is not None and held["reviewer"] == reviewer else None
        before = [look for look in waiting.looks_at(connection, interaction_id) if look.reviewer == reviewer]
        if mine is None and not before:
            raise LeaseLost(say("not_open"))
        return mine, before[-1] if before else None

    def _let_go(self, connection: sa.Connection, interaction_id: str, reviewer: str) -> None:
        lease = tables.review_leases
        of = sa.and_(lease.c.interaction_id == interaction_id, lease.c.reviewer == reviewer)
        connection.execute(sa.delete(lease).where(of))

    # Questions whose answer is known -----------------------------------------------------

    def add_gold(self, interaction_id: str, answer: str, added_by: str) -> None:
        """Make a served answer a gold question: it is put among reviewers' items to see how far they can be trusted.

        The known answer is feedback by `added_by`, whose word stands, so looks at it teach nothing and tell
        only how far the reviewer agrees (`components.feedback.reputation`). It stays one for good.

        Raises:
            WrongLook: `added_by` is not in curate.trusted_raters, no such answer was served for this task, the
                known answer is no valid one, or it is known already to be another.
        """
        right = self._checked("fix", answer)
        if added_by not in self._curate.trusted_raters:
            raise WrongLook(f"only trusted people may set gold questions: add {added_by!r} to curate.trusted_raters")
        with writing(self._engine) as connection:
            served = interactions(connection, [interaction_id]).get(interaction_id)
            if served is None or served.task != self._task.name:
                raise WrongLook(f"no answer with id {interaction_id!r} was served for task {self._task.name!r}")
            before = gold.known(connection, interaction_id)
            if before is not None and before != right:
                raise WrongLook(f"{interaction_id!r} is a gold question already, with another answer")
            if before is None:
                assert right is not None, "a fix has a right answer"
                gold.add(connection, self._task.name, interaction_id, right, added_by)

    def gold(self) -> dict[str, str]:
        """Interaction id → known answer, of every gold question of the task."""
        with reading(self._engine) as connection:
            return gold.every(connection, self._task.name)

    # What the looks say ------------------------------------------------------------------

    def agreement(self) -> Agreement:
        """How far two people who looked at the same answer agree."""
        with reading(self._engine) as connection:
            return findings.agreement(connection, self._task.name)

    def estimate(self, version: str | None = None) -> Estimate:
        """How often answers are wrong, of one version or all, from the random sample."""
        return findings.estimate(a for a in self._snapshot().answers if a.sampled and version in (None, a.version))


def _ordered(snapshot: _Snapshot, sample_every: int) -> list[Answer]:
    """What waits, in the order in which it is looked at."""
    waits = [answer for answer in snapshot.answers if answer.waits()]
    oldest = sorted(waits, key=lambda answer: (answer.created_at, answer.id))

    def urgency(answer: Answer) -> tuple[int, float]:
        reason = answer.reason or "sample"
        sure = answer.logprob if reason == "low_confidence" and answer.logprob is not None else 0.0
        return REASONS.index(reason), sure

    urgent = sorted(oldest, key=urgency)
    if (snapshot.looks + 1) % sample_every:
        return urgent
    return [*(answer for answer in oldest if answer.sampled), *(answer for answer in urgent if not answer.sampled)]


def _item(served: Interaction, answer: Answer) -> Item:
    said = tuple(answer.said)
    proposed = next((event for event in reversed(said) if event.kind == "correction"), None)
    return Item(
        interaction=served,
        reason=answer.reason or "sample",
        detail=answer.detail or DRAWN,
        said=said,
        proposal=None if proposed is None else proposed.correction,
        proposed_by=None if proposed is None else proposed.rater,
    )


def _event(look: Look) -> Feedback:
    assert look.event_id is not None
    return Feedback(
        id=look.event_id,
        interaction_id=look.interaction_id,
        created_at=look.created_at,
        rater=look.reviewer,
        kind=KINDS[look.action],
        correction=look.correction,
        comment=look.comment,
        idempotency_key=look.id,
    )
