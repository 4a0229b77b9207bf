"""`saqia worker --pool NAME`: this machine takes stages that other installations send to a work pool.

It works in the clone that it is started in, whose `origin` (git) and remote (DVC) must be those of the installation
that sends, or reach the same places. One stage at a time.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from pathlib import Path

from components.config import Places
from components.stage import StageError
from flows import environment, exchange, transfer
from flows.workspace import in_git

HEARTBEAT_SECONDS = 10
"""Between two signs of life; Prefect takes a worker for gone after three that did not come."""


def run(root: Path, places: Places, pool: str, server: str | None) -> None:
    """Take stages until interrupted.

    Args:
        server: Prefect's API of the installation that sends; None: this machine's own.

    Raises:
        StageError: this clone cannot fetch what is sent, or Prefect does not answer.
    """
    if not in_git(root) or not exchange.has_origin(root):
        raise StageError(f"{root} is no clone with an origin, from which it could fetch what it is asked to run")
    transfer.check_remote(root)
    api = server or environment.prefect_api(places)
    os.environ.update(PREFECT_API_URL=api, SAQIA_CLONE=str(root), SAQIA_WORKER=str(os.getpid()))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    os.environ.setdefault("PREFECT_WORKER_HEARTBEAT_SECONDS", str(HEARTBEAT_SECONDS))
    _answering(api)
    asyncio.run(_work(pool))


async def _work(pool: str) -> None:
    from prefect.workers.process import ProcessWorker

    from flows import pools

    await asyncio.to_thread(pools.offer, pool)
    name = f"{re.sub('[/%]', '-', socket.gethostname())} {os.getpid()}"
    worker = ProcessWorker(work_pool_name=pool, name=name, limit=1)
    print(f"worker {worker.name} takes stages of work pool {pool}; Ctrl-C ends it", flush=True)
    await worker.start()


def _answering(api: str) -> None:
    import httpx

    try:
        httpx.get(f"{api.rstrip('/')}/health", timeout=10).raise_for_status()
    except httpx.HTTPError as error:
        raise StageError(
            f"Prefect at {api} does not answer ({error}): start it there (saqia up), bring its port here "
            "(ssh -L 4200:127.0.0.1:4200 HOST), or name another one with --server"
        ) from error
