"""How many acknowledgements a second, each on disk, and is any lost when the service is killed?

    python -m benchmarks.feedback [--clients 32] [--seconds 10] [--kills 100]

- store: `serving.writes` over the store, as requests use it; each of the clients says its next thing when the last one
  is on disk. `one by one` is `Store.add_feedback` by as many threads, a transaction each.
- HTTP: POST /v1/feedback to `python -m serving`, once it is up and at rest; its worker and these clients share the
  machine.
- kills: the HTTP app and the store in a process that is killed (SIGKILL) under load and started again, so many times;
  clients send again, with its key, what was not acknowledged. Counts what was acknowledged and is not there once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import psutil
from rich.console import Console

from components.feedback.store import Store
from components.schema import Feedback
from serving.writes import Writes
from tests.serving import workspace
from tests.serving.kills import ANSWER, Clients, add_answer, kept, say, under_kills


def main() -> None:
    """Measure, print, and exit with 1 where something was lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.feedback", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--only", choices=("store", "http", "kills"), help="one part alone")
    arguments = parser.parse_args()
    console = Console(highlight=False)
    parts = [arguments.only] if arguments.only else ["store", "http", "kills"]
    whole = True
    for part in parts:
        with tempfile.TemporaryDirectory(prefix="saqia-feedback-") as temporary:
            root = Path(temporary)
            url = f"sqlite:///{root / 'saqia.db'}"
            os.environ.update(SAQIA_HOME=str(root / "home"), SAQIA_DATABASE_URL=url)
            os.environ.update(MLFLOW_TRACKING_URI=f"sqlite:///{root / 'mlflow.db'}", HF_HUB_OFFLINE="1")
            add_answer(url)
            if part == "store":
                through_store(url, arguments.clients, arguments.seconds, console)
            elif part == "http":
                through_http(root, arguments.clients, arguments.seconds, console)
            else:
                whole &= through_kills(url, arguments.kills, arguments.clients, console)
    sys.exit(0 if whole else 1)


def through_store(url: str, clients: int, seconds: float, console: Console) -> None:
    """Acknowledgements of the store, together and one by one."""
    with Store(url) as store:
        took = asyncio.run(_together(Writes(store), clients, seconds))
        _print(console, "store, as requests use it", took, seconds, clients)
        until = time.perf_counter() + seconds

        def work(number: int) -> list[float]:
            own = []
            while (began := time.perf_counter()) < until:
                store.add_feedback(event(f"one-{number}-{len(own)}"))
                own.append(time.perf_counter() - began)
            return own

        with ThreadPoolExecutor(clients) as pool:
            took = [one for own in pool.map(work, range(clients)) for one in own]
        _print(console, "store, one by one", took, seconds, clients)


async def _together(writes: Writes, clients: int, seconds: float) -> list[float]:
    took: list[float] = []
    until = time.perf_counter() + seconds

    async def client(number: int) -> None:
        n = 0
        while (began := time.perf_counter()) < until:
            await writes.said([event(f"{number}-{n}")])
            took.append(time.perf_counter() - began)
            n += 1

    await asyncio.gather(*map(client, range(clients)))
    return took


def event(key: str) -> Feedback:
    """One thumb."""
    return Feedback(
        id=f"fb-{key}",
        interaction_id=ANSWER,
        created_at=datetime.now(UTC),
        rater="load",
        kind="thumb_down",
        idempotency_key=key,
    )


def through_http(root: Path, clients: int, seconds: float, console: Console) -> None:
    """Acknowledgements of the service."""
    service = workspace.Service(workspace.make(root / "project", requests_per_minute=0, tokens_per_minute=0))
    service.start(ready=False)
    try:
        _at_rest(service)
        asyncio.run(_post(service.url, clients, 1.0))  # the first requests find everything cold
        took = asyncio.run(_post(service.url, clients, seconds))
    finally:
        service.stop()
    _print(console, "HTTP, python -m serving", took, seconds, clients)


def _at_rest(service: workspace.Service) -> None:
    """Until the service has imported and built everything: it answers long before, and does the rest beside that."""
    assert service.process is not None
    (worker,) = psutil.Process(service.process.pid).children()
    quiet = 0
    while quiet < 3:
        quiet = quiet + 1 if worker.cpu_percent(1.0) < 15 else 0


async def _post(url: str, clients: int, seconds: float) -> list[float]:
    sent = Clients()
    until = time.perf_counter() + seconds
    run = time.time_ns()

    async def client(number: int) -> None:
        n = 0
        async with aiohttp.ClientSession() as session:
            while time.perf_counter() < until:
                await say(session, url, f"{run}-{number}-{n}", sent)
                n += 1

    await asyncio.gather(*map(client, range(clients)))
    return sent.seconds


def through_kills(url: str, times: int, clients: int, console: Console) -> bool:
    """True where everything that was acknowledged is there exactly once."""
    sent = Clients()
    asyncio.run(under_kills(url, times, clients, sent))
    found = kept(url)
    lost = [key for key in sent.acknowledged if found[key] == 0]
    twice = [key for key, count in found.items() if count > 1]
    console.print(
        f"killed {times} times at {clients} clients: {len(sent.acknowledged)} acknowledged, {len(lost)} lost, "
        f"{len(twice)} stored more than once, {len(sent.sent - set(found))} sent and never stored"
    )
    return not lost and not twice


def _print(console: Console, what: str, took: Sequence[float], seconds: float, clients: int) -> None:
    ordered = sorted(took)
    half, most = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    console.print(
        f"{what}: {len(took) / seconds:,.0f} acknowledgements/s at {clients} clients, "
        f"p50 {1000 * half:.1f} ms, p99 {1000 * most:.1f} ms"
    )


if __name__ == "__main__":
    main()
