"""Looks whether the champion's failure rate, or drift of what people ask, speaks for a turn.

The worker asks every few seconds. What costs something (the registry, what a version was taught, the statistic) is
done only where a look, or enough messages, came since the last time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from components import config, layout
from components.feedback import evidence
from components.feedback.evidence import Evidence, Kind
from components.feedback.store import Store
from components.feedback.unserved import Unserved
from components.files import DataError, read_rows
from components.registry import Version
from components.schema import Example
from components.stage import StageError


def look(root: Path, places: config.Places, store: Store, task: str, settings: config.Settings) -> Evidence:
    """What is known now, kept where pages and the command line read it.

    Raises:
        StageError: what the champion was taught is not to be had.
        RegistryError: the registry cannot be read.
    """
    known = evidence.read(places.home, task)
    seen = known.failures.through if known.failures is not None else 0
    looked = settings.improve.failure_rate.above is not None and evidence.latest_look(store, task) > seen
    asked = evidence.enough_messages(store, task, known, settings.improve.drift)
    champion = _champion(task) if looked or asked else None
    if champion is None:
        return known
    found = known
    if looked:
        found = evidence.with_failures(found, store, task, champion.version, settings)
    if asked:
        found = evidence.with_window(
            found, store, task, champion.version, lambda: taught(root, places, champion), settings
        )
    if found != known:
        evidence.write(places.home, task, found)
    return found


def due(found: Evidence, task: str, waiting: int, settings: config.Settings) -> Kind | None:
    """What speaks for a turn now, where enough corrections wait for it to learn from."""
    if waiting < settings.improve.early:
        return None
    looked_at = {part.version for part in (found.failures, *found.windows[-1:]) if part is not None}
    if not any(evidence.speaking(found, version) for version in looked_at):
        return None
    champion = _champion(task)
    return None if champion is None else evidence.speaking(found, champion.version)


def lines(
    places: config.Places, task: str, settings: config.Settings, champion: str | None, waiting: Sequence[Unserved]
) -> list[str]:
    """What is known now, in words; nothing of what nobody has looked at.

    Args:
        champion: the version that serves.
        waiting: the turns of which nothing serves.
    """
    known, wanted, told = evidence.read(places.home, task), settings.improve, list[str]()
    if known.failures is not None and known.failures.estimate.rate is not None:
        failures, of = known.failures, known.failures.estimate
        above = "never" if wanted.failure_rate.above is None else f"above {wanted.failure_rate.above:.0%}"
        told.append(
            f"failures    version {failures.version} is wrong on {of.wrong} of {of.looked_at} of the random sample, "
            f"surely more than {failures.surely:.1%} (a turn starts {above})"
        )
    if known.windows:
        last = known.windows[-1]
        what = "drifted" if last.drifted else "as taught" if last.news else "as when drift started a turn"
        turn = evidence.still_there(known, champion, [item.turn for item in waiting])
        if turn is not None:
            outcome = next(item.outcome for item in waiting if item.turn == turn)
            what = (
                f"still there: turn {turn.number}, which it started, was {outcome}; version {champion} goes on serving"
            )
        told.append(
            f"drift       {last.found.excess:+.3f} bits beyond chance, the last {last.found.messages} messages against "
            f"what version {last.version} was taught: {what} (a turn starts from {wanted.drift.least} on)"
        )
    return told


def taught(root: Path, places: config.Places, version: Version) -> list[str]:
    """The messages that a version was taught, by its lineage; where DVC has them no more, those of the last build.

    Raises:
        StageError: neither is to be had.
    """
    from flows.recorded import brought_back

    folder = layout.curated(version.task)
    try:
        with brought_back(root, places, version, [folder]) as there:
            rows = read_rows(there[folder] / "train.jsonl", Example)
    except (StageError, DataError):
        try:
            rows = read_rows(places.home / "examples" / version.task / "train.jsonl", Example)
        except DataError:
            raise StageError(
                f"what version {version.version} of {version.task} was taught is not here any more, so drift of "
                "messages cannot be measured: build it again (saqia build), or set improve.drift.messages to null"
            ) from None
    return [evidence.asked(row.prompt) for row in rows]


def _champion(task: str) -> Version | None:
    from components import registry

    return registry.champion(task)
