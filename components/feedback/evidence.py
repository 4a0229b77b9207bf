"""What speaks for a turn besides corrections: the champion's failure rate, and drift of what people ask.

The worker looks (flows/evidence.py), and keeps what it found in one file a task under `<home>/evidence`; pages and
the command line read it. Nothing starts a turn twice: a look at the sample counts for answers given after the last turn
that the failure rate started, a message is held against the taught ones once, and messages that drifted as those did
for which a turn was started are no news.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import sqlalchemy as sa

from components import files
from components.canary import Outcome, bounds
from components.config import DriftSettings, ImproveSettings, Settings
from components.feedback import findings, tables
from components.feedback.database import reading
from components.feedback.drift import Drift, drift
from components.feedback.findings import Estimate
from components.feedback.store import Store, Turn
from components.schema import Message, Record

KEPT = 30
"""So many windows are shown."""
TAUGHT = 1000
"""So many messages stand for what was taught, drawn with a seed."""

Kind = Literal["failure_rate", "drift"]


class Failures(Record):
    """The champion's failure rate, as the looks said it last."""

    version: str
    estimate: Estimate
    surely: float
    """Lower end of the confidence sequence: the rate is above this, however often it was looked at."""
    through: int
    """Number of the last look that is in it."""
    too_many: bool
    """Enough looks, and surely above `improve.failure_rate.above`."""


class Window(Record):
    """Messages that were held against what a version was taught."""

    at: datetime
    version: str
    after: datetime | None
    through: datetime
    """They came after the one and not after the other."""
    found: Drift
    news: bool
    """They also differ from those for which a turn was started."""
    drifted: bool
    """More than chance and `improve.drift.least` explain, and news."""


class Evidence(Record):
    """All that is known now."""

    failures: Failures | None = None
    failures_since: datetime | None = None
    """When the failure rate last started a turn."""
    windows: tuple[Window, ...] = ()
    """The last ones, the newest last."""
    known: Window | None = None
    """The one for which drift last started a turn."""


def read(home: Path, task: str) -> Evidence:
    """What was found so far; nothing where nobody has looked, or somebody has spoilt the file."""
    try:
        return Evidence.model_validate_json(_place(home, task).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Evidence()


def write(home: Path, task: str, evidence: Evidence) -> None:
    """Keep it for the pages, and for a worker that is started again."""
    files.write_text(_place(home, task), evidence.model_dump_json() + "\n")


def _place(home: Path, task: str) -> Path:
    return home / "evidence" / f"{task}.json"


# Whether there is anything new: cheap enough to be asked every few seconds ---------------------


def latest_look(store: Store, task: str) -> int:
    """Number of the newest look at an answer of the task."""
    table = tables.looks.c
    with reading(store.engine) as connection:
        return connection.execute(sa.select(sa.func.max(table.seq)).where(table.task == task)).scalar() or 0


def enough_messages(store: Store, task: str, evidence: Evidence, settings: DriftSettings) -> bool:
    """Have `messages` different ones come since the last window?"""
    if settings.messages is None:
        return False
    table = tables.interactions.c
    query = sa.select(sa.func.count(sa.distinct(sa.func.coalesce(table.question, table.id)))).where(table.task == task)
    if evidence.windows:
        query = query.where(table.created_at > evidence.windows[-1].through)
    with reading(store.engine) as connection:
        return (connection.execute(query).scalar() or 0) >= settings.messages


# Looking ---------------------------------------------------------------------------------------


def with_failures(evidence: Evidence, store: Store, task: str, version: str, settings: Settings) -> Evidence:
    """The failure rate anew, from the random sample of what the version answered within the window."""
    wanted = settings.improve.failure_rate
    since = datetime.now(UTC) - timedelta(days=wanted.days)
    if evidence.failures_since is not None:
        since = max(since, evidence.failures_since)
    through = latest_look(store, task)
    with reading(store.engine) as connection:
        found = findings.failure_rate(connection, task, version, since, settings.review, settings.seed)
    surely, _ = bounds(Outcome(found.looked_at, found.wrong), 1 - wanted.confidence)
    too_many = wanted.above is not None and found.looked_at >= wanted.looks and surely > wanted.above
    failures = Failures(version=version, estimate=found, surely=surely, through=through, too_many=too_many)
    return evidence.model_copy(update={"failures": failures})


def with_window(
    evidence: Evidence, store: Store, task: str, version: str, taught: Callable[[], Sequence[str]], settings: Settings
) -> Evidence:
    """The newest messages since the last window as a window of their own; unchanged where they are too few.

    Args:
        taught: the messages that the version was taught, asked for only where they are needed.
    """
    wanted = settings.improve.drift
    if wanted.messages is None:
        return evidence
    after = evidence.windows[-1].through if evidence.windows else None
    came = _messages(store, task, after, None, wanted.messages)
    if len(came) < wanted.messages:
        return evidence
    now = [text for _, text in came]
    found = _held(now, drawn(taught(), settings.seed), wanted, settings.seed)
    news = True
    if evidence.known is not None and _beyond(found, wanted):
        known = evidence.known
        before = _messages(store, task, known.after, known.through, known.found.messages)
        news = not before or _beyond(_held(now, [text for _, text in before], wanted, settings.seed), wanted)
    window = Window(
        at=datetime.now(UTC),
        version=version,
        after=after,
        through=max(moment for moment, _ in came),
        found=found,
        news=news,
        drifted=_beyond(found, wanted) and news,
    )
    return evidence.model_copy(update={"windows": (*evidence.windows, window)[-KEPT:]})


def drawn(texts: Sequence[str], seed: int) -> list[str]:
    """A sample of the different ones, the same whenever it is drawn."""
    different = sorted(set(texts))
    return different if len(different) <= TAUGHT else random.Random(seed).sample(different, TAUGHT)


def asked(messages: Sequence[Message]) -> str:
    """What a person said: the text that drift is measured on."""
    return "\n".join(message.content for message in messages if message.role == "user")


def _held(now: Sequence[str], taught: Sequence[str], wanted: DriftSettings, seed: int) -> Drift:
    return drift(now, taught, false_alarms=wanted.false_alarms, seed=seed)


def _beyond(found: Drift, wanted: DriftSettings) -> bool:
    return found.p <= wanted.false_alarms and found.excess >= wanted.least


def _messages(
    store: Store, task: str, after: datetime | None, through: datetime | None, count: int
) -> list[tuple[datetime, str]]:
    """The newest `count` different messages that came after one moment and not after another, with their moments.

    One that was sent again and again counts once, as it came last: a monitor's is no drift.
    """
    table = tables.interactions.c
    query = sa.select(table.created_at, table.messages).where(table.task == task)
    if after is not None:
        query = query.where(table.created_at > after)
    if through is not None:
        query = query.where(table.created_at <= through)
    found: dict[str, datetime] = {}
    with reading(store.engine) as connection:
        rows = connection.execution_options(yield_per=500).execute(
            query.order_by(table.created_at.desc(), table.id.desc())
        )
        for moment, messages in rows:
            text = asked([Message.model_validate(message) for message in messages])
            found.setdefault(text, moment)
            if len(found) == count:
                break
    return [(moment, text) for text, moment in found.items()]


# What follows ----------------------------------------------------------------------------------


def speaking(evidence: Evidence, version: str) -> Kind | None:
    """What speaks for a turn of this champion now; what was found of another says nothing of it."""
    failures, window = evidence.failures, evidence.windows[-1] if evidence.windows else None
    if failures is not None and failures.version == version and failures.too_many:
        return "failure_rate"
    if window is not None and window.version == version and window.drifted and window != evidence.known:
        return "drift"
    return None


def reason(evidence: Evidence, kind: Kind, settings: ImproveSettings) -> str:
    """Why the turn starts, as its run shows it."""
    if kind == "failure_rate":
        failures = evidence.failures
        assert failures is not None, "the failure rate speaks only where it is known"
        of = failures.estimate
        return (
            f"version {failures.version} answers wrongly {of.wrong} of {of.looked_at} times in the random sample, "
            f"surely more than {failures.surely:.1%} (improve.failure_rate.above: {settings.failure_rate.above})"
        )
    found = evidence.windows[-1].found
    words = f": {', '.join(word.word for word in found.words)}" if found.words else ""
    return (
        f"{found.messages} new messages differ from what version {evidence.windows[-1].version} was taught by "
        f"{found.divergence:.3f} bits of Jensen-Shannon divergence, where chance explains {found.noise:.3f} "
        f"(improve.drift.least: {settings.drift.least}){words}"
    )


def still_there(evidence: Evidence, version: str | None, unserved: Sequence[Turn]) -> Turn | None:
    """The ended turn that drift started and of which nothing serves, where the drift is there as before.

    Args:
        version: the champion's.
        unserved: the ended turns of which nothing serves (`components.feedback.unserved`).
    """
    last, known = evidence.windows[-1] if evidence.windows else None, evidence.known
    if last is None or known is None or last.version != version or known.version != version:
        return None
    if last != known and (last.drifted or last.news):
        return None  # as it was taught, or drifted otherwise
    return next((turn for turn in reversed(unserved) if turn.opened_at >= known.at and turn.state == "closed"), None)


def started(evidence: Evidence) -> Evidence:
    """What is known once a turn was started, for whatever reason: what speaks for one now never starts another."""
    changes: dict[str, object] = {}
    if evidence.windows and evidence.windows[-1].drifted:
        changes["known"] = evidence.windows[-1]
    if evidence.failures is not None and evidence.failures.too_many:
        changes["failures"] = evidence.failures.model_copy(update={"too_many": False})
        changes["failures_since"] = datetime.now(UTC)
    return evidence.model_copy(update=changes) if changes else evidence
