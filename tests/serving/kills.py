"""The service's API and store in a process that is killed and started again, and clients that go on meanwhile.

Everything that an acknowledgement depends on is the real thing: the HTTP app, `serving.writes`, the store.
BentoML's shell and the engine are left out, so that a start takes a second and can be repeated a hundred times.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection

import aiohttp

from components.feedback.store import Store
from components.schema import Interaction, Message

ANSWER = "chatcmpl-killed"
PRELOADED = ["tests.serving.live", "alembic.command", "alembic.runtime.migration"]


def add_answer(url: str, id: str = ANSWER) -> None:
    """An answer to speak of."""
    with Store(url) as store:
        store.add_interaction(
            Interaction(
                id=id,
                created_at=datetime.now(UTC),
                task="intake",
                model_version="1",
                messages=(Message(role="user", content="My head hurts."),),
                answer="{}",
                finish_reason="stop",
                prompt_tokens=4,
                completion_tokens=2,
                latency_ms=1,
            )
        )


def serve(url: str, told: Connection) -> None:
    """The API on a port of its own, until it is killed."""
    from tests.serving.live import Live

    told.send(Live(url, None, requests_per_minute=0).server.servers[0].sockets[0].getsockname()[1])
    time.sleep(3600)


@dataclass
class Clients:
    """What clients sent, and what was acknowledged."""

    sent: set[str] = field(default_factory=set)
    acknowledged: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    """From a request's start to its acknowledgement."""


async def say(session: aiohttp.ClientSession, base: str, key: str, clients: Clients) -> bool:
    """One correction; True where it was acknowledged."""
    clients.sent.add(key)
    body = {"completion_id": ANSWER, "thumb": "down", "rater": "load", "idempotency_key": key}
    began = time.perf_counter()
    async with session.post(f"{base}/v1/feedback", json=body) as response:
        if response.status != 200:
            raise RuntimeError(f"{response.status}: {(await response.text())[:300]}")
        await response.read()
    clients.seconds.append(time.perf_counter() - began)
    clients.acknowledged.append(key)
    return True


async def under_kills(url: str, times: int, count: int, clients: Clients, load_seconds: float = 0.3) -> None:
    """Clients that retry what was not acknowledged, while the service dies `times` times under them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    base: list[str] = []
    over = asyncio.Event()

    async def client(number: int) -> None:
        n = 0
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
            while not over.is_set():
                try:
                    if base and await say(session, base[0], f"{number}-{n}", clients):
                        n += 1
                        continue
                except (aiohttp.ClientError, TimeoutError):
                    pass
                await asyncio.sleep(0.05)

    async with _running(context, url, base):
        pass  # the first start pays for the imports
    working = [asyncio.create_task(client(number)) for number in range(count)]
    for _ in range(times):
        before = len(clients.acknowledged)
        async with _running(context, url, base):
            while len(clients.acknowledged) < before + count:
                _raise(working)
                await asyncio.sleep(0.02)
            await asyncio.sleep(load_seconds)
    async with _running(context, url, base):  # what was not acknowledged is sent again with its key
        before = len(clients.acknowledged)
        while len(clients.acknowledged) < before + 2 * count:
            _raise(working)
            await asyncio.sleep(0.02)
        over.set()
        await asyncio.gather(*working)


@asynccontextmanager
async def _running(
    context: multiprocessing.context.ForkServerContext, url: str, base: list[str]
) -> AsyncIterator[None]:
    """The service while inside; then it is killed in the middle of whatever it does."""
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=serve, args=(url, there), daemon=True)
    process.start()
    there.close()
    port = await asyncio.to_thread(here.recv)
    base[:] = [f"http://127.0.0.1:{port}"]
    try:
        yield
    finally:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        base.clear()
        await asyncio.to_thread(process.join)


def _raise(working: list[asyncio.Task[None]]) -> None:
    for task in working:
        if task.done():
            task.result()


def kept(url: str) -> Counter[str]:
    """How often each key is in the store."""
    with Store(url) as store:
        return Counter(event.idempotency_key or "" for event in store.feedback_for(ANSWER))
