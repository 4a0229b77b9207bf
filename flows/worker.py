"""The stack's worker: keeps the deployments in step, starts their runs, and watches for corrections.

`python -m flows.worker`. The service may not know Prefect, so it is this process that looks at
the feedback store and tells Prefect when a turn is due: enough corrections wait, a person asked for it, what a refused
turn needed has come, the champion fails too often, or people ask something else than it was taught.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
import time
from pathlib import Path

from components import asking, config, files
from components.feedback import evidence, unserved
from components.feedback.store import Store
from components.schema import Need
from components.stage import EXPECTED
from components.task import settings as settings_of
from flows import environment
from flows import evidence as evidence_now
from flows import unserved as unserved_now

LOOK_SECONDS = 2.0
EVIDENCE_SECONDS = 10.0
"""Between two looks at the failure rate and at drift ..."""
AFTER_FAULT_SECONDS = 600.0
"""... and after one that came to nothing, so that the log does not fill with the same line."""
log = logging.getLogger("saqia.worker")


def due(waiting: int, announced: int, limit: int) -> bool:
    """Whether to announce: the limit is reached, and again only for as many corrections more."""
    return waiting >= limit and waiting - announced >= limit


def reason_now(home: Path, task: str, waiting: int, announced: int, limit: int) -> str | None:
    """Why a turn of a task shall begin now; a person's request is thereby taken. None where nothing speaks for one."""
    asked = asking.take(home, task)
    if asked is not None:
        return asked.reason
    return f"{waiting} corrections wait (improve.corrections: {limit})" if due(waiting, announced, limit) else None


def watch(places: config.Places, root: Path, stop: threading.Event) -> None:
    """Look at the store; announce each task for which a turn is due, with the reason."""
    from flows.deployments import announce

    announced: dict[str, int] = {}
    looks, refusals = Looks(places, root), Refusals(root)
    with Store(places.database_url) as store:
        while not stop.wait(LOOK_SECONDS):
            for task in tasks_here(root):
                try:
                    settings = settings_of(task, root)
                    waiting = store.waiting(task)["correction"]
                    announced[task] = min(announced.get(task, 0), waiting)
                    again = refusals.reason(store, task, waiting, settings)
                    reason = reason_now(places.home, task, waiting, announced[task], settings.improve.corrections)
                    reason = reason or again or looks.reason(store, task, waiting, settings)
                    if reason is not None:
                        announce(task, waiting, reason)
                        announced[task] = waiting
                        looks.started(task)
                        refusals.started(task)
                        log.info("%s: %s; a turn is asked for", task, reason)
                except (*EXPECTED, OSError) as error:  # of one task: the others are looked at all the same
                    log.warning("%s: %s", task, error)


class Looks:
    """When the failure rate and drift of each task are looked at."""

    def __init__(self, places: config.Places, root: Path) -> None:
        self._places, self._root = places, root
        self._next: dict[str, float] = {}

    def reason(self, store: Store, task: str, waiting: int, settings: config.Settings) -> str | None:
        """Why a turn shall begin now, once `EVIDENCE_SECONDS` have passed."""
        now = time.monotonic()
        if now < self._next.get(task, 0):
            return None
        self._next[task] = now + AFTER_FAULT_SECONDS
        found = evidence_now.look(self._root, self._places, store, task, settings)
        kind = evidence_now.due(found, task, waiting, settings)
        self._next[task] = now + EVIDENCE_SECONDS
        return None if kind is None else evidence.reason(found, kind, settings.improve)

    def started(self, task: str) -> None:
        """A turn was asked for, for whatever reason: what speaks for one now is thereby heard."""
        found = evidence.read(self._places.home, task)
        if (heard := evidence.started(found)) != found:
            evidence.write(self._places.home, task, heard)


class Refusals:
    """When what a refused turn needed has come. Each is a reason once: the same inputs give the same verdict."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._looked: set[str] = set()
        self._started: set[object] = set()
        self._speaking: dict[str, set[object]] = {}
        """Task → what speaks for a turn now; none of it does once the turn was asked for."""

    def reason(self, store: Store, task: str, waiting: int, settings: config.Settings) -> str | None:
        """Why a turn shall begin now, or go on that ran again when this worker's predecessor ended."""
        first = task not in self._looked
        self._looked.add(task)
        self._speaking.pop(task, None)
        if first and (turn := next((t for t in store.turns(task) if t.again), None)) is not None:
            return f"turn {turn.number} runs again, and was interrupted"
        refused, needs = unserved_now.fulfilled(store, task, self._root, waiting, settings.improve.corrections)
        if refused is None:
            return None
        # A refusal is told from a later one of the same turn by when it was closed.
        new: dict[object, Need] = {(refused.id, refused.closed_at, need): need for need in needs}
        speaking = set(new) - self._started
        if not speaking or not any(item.turn.id == refused.id for item in unserved_now.waiting(store, task)):
            return None
        self._speaking[task] = speaking
        return unserved.what_came(refused, [need for mark, need in new.items() if mark in speaking])

    def started(self, task: str) -> None:
        """A turn was asked for, for whatever reason."""
        self._started |= self._speaking.pop(task, set())


def tasks_here(root: Path) -> list[str]:
    """Every task of the project."""
    return sorted(file.parent.name for file in (root / "tasks").glob("*/task.yaml"))


def settings_of_all(root: Path) -> dict[str, config.Settings]:
    """Each task's settings; a task whose parameters are impossible is left out, and named in the log."""
    result = {}
    for task in tasks_here(root):
        try:
            result[task] = settings_of(task, root)
        except EXPECTED as error:
            log.warning("%s: %s", task, error)
    return result


async def work(root: Path, places: config.Places) -> None:
    """Deploy, say that we are ready, and run until told to stop."""
    from prefect.workers.process import ProcessWorker

    from flows.deployments import POOL, deploy

    await asyncio.to_thread(deploy, root, settings_of_all(root))
    stop = threading.Event()
    watcher = threading.Thread(target=watch, args=(places, root, stop), daemon=True)
    watcher.start()
    ready = places.home / "run" / "worker.ready"
    files.write_text(ready, "ready\n")
    try:
        await ProcessWorker(work_pool_name=POOL, name="this machine").start()
    finally:
        stop.set()
        ready.unlink(missing_ok=True)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line a request: 43,000 a day
    root = environment.project_root()
    places = config.places(root)
    environment.enter(places)
    (places.home / "run" / "worker.ready").unlink(missing_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        asyncio.run(work(root, places))
    except EXPECTED as error:
        sys.exit(f"worker: {error}")


if __name__ == "__main__":
    main()
