"""Clients without a pause while champions are swapped: does anything fail, leak, or get lost?

    python -m benchmarks.load [--minutes 5] [--clients 32] [--swap-every 20]

Starts `python -m serving` on two versions of a small random model, has locust's users ask it (most answers streamed),
and promotes the other version every so often. Prints requests/s, failures, how long each swap took from `promote` to
the first moment that the service says so, the service's memory over time, and whether each answer that a client got
is in the store exactly once, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import httpx
import psutil
from rich.console import Console

from components import registry
from tests.serving import models, workspace


def main() -> None:
    """Measure, print, and exit with 1 where something failed or was lost."""
    from transformers.utils import logging as bars

    bars.disable_progress_bar()
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--swap-every", type=float, default=20, metavar="SECONDS")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="saqia-load-") as temporary:
        sys.exit(0 if measure(Path(temporary), arguments, Console(highlight=False)) else 1)


def measure(root: Path, arguments: argparse.Namespace, console: Console) -> bool:
    """True where nothing failed and nothing was lost."""
    os.environ.update(
        SAQIA_HOME=str(root / "home"),
        SAQIA_DATABASE_URL=f"sqlite:///{root / 'saqia.db'}",
        MLFLOW_TRACKING_URI=f"sqlite:///{root / 'mlflow.db'}",
        HF_HUB_OFFLINE="1",
    )
    base = models.make_base(root / "base", hidden=128, layers=2)
    for seed in (1, 2):
        workspace.register(models.make_version(root / f"version-{seed}", base, seed=seed), base, promote=seed == 1)
    # every client at once and again: a limit per key would answer 429
    service = workspace.Service(workspace.make(root / "project", requests_per_minute=0, tokens_per_minute=0))
    service.start()
    try:
        swaps, sizes = _under_load(root, service, arguments, console)
    finally:
        code = service.stop()
    return _report(root, code, swaps, sizes, console)


def _under_load(
    root: Path, service: workspace.Service, arguments: argparse.Namespace, console: Console
) -> tuple[list[float], list[float]]:
    """Seconds of each swap, and megabytes that the service held, every five seconds."""
    command = [sys.executable, "-m", "locust", "-f", str(Path(__file__).with_name("locustfile.py")), "--headless"]
    command += ["--users", str(arguments.clients), "--spawn-rate", str(arguments.clients), "--host", service.url]
    command += ["--run-time", f"{arguments.minutes * 60:.0f}s", "--stop-timeout", "60", "--json"]
    command += ["--exit-code-on-error", "0"]
    environment = {**os.environ, "LOAD_MODELS": "intake@champion base", "LOAD_IDS": str(root / "ids")}
    with (root / "load.json").open("wb") as found, (root / "locust.log").open("wb") as log:
        load = subprocess.Popen(command, env=environment, stdout=found, stderr=log)
    assert service.process is not None
    process = psutil.Process(service.process.pid)
    swaps: list[float] = []
    sizes: list[float] = []
    now, next_swap = "1", time.monotonic() + arguments.swap_every
    with httpx.Client(base_url=service.url, timeout=60) as http:
        while load.poll() is None:
            if time.monotonic() >= next_swap:
                now = {"1": "2", "2": "1"}[now]
                swaps.append(_swap(now, http))
                next_swap += arguments.swap_every
                console.print(f"version {now} serves after {swaps[-1]:.2f} s; {_megabytes(process):,.0f} MB")
            sizes.append(_megabytes(process))
            time.sleep(5 if next_swap - time.monotonic() > 5 else 0.2)
    if load.returncode:
        raise SystemExit((root / "locust.log").read_text()[-2000:])
    return swaps, sizes


def _swap(version: str, http: httpx.Client) -> float:
    """Promote a version; seconds until the service says that it serves."""
    registry.promote("intake", version)
    began = time.monotonic()
    while http.get("/readyz").json()["version"] != version:
        time.sleep(0.02)
    return time.monotonic() - began


def _megabytes(process: psutil.Process) -> float:
    held = 0
    for one in (process, *process.children(recursive=True)):
        try:
            held += one.memory_full_info().uss
        except psutil.Error:
            continue  # it has just ended
    return held / 1e6


def _report(root: Path, code: int, swaps: list[float], sizes: list[float], console: Console) -> bool:
    (total,) = json.loads((root / "load.json").read_text())
    got = Counter((root / "ids").read_text().split())
    with sqlite3.connect(root / "saqia.db") as store:
        kept = Counter(id for (id,) in store.execute("SELECT id FROM interactions"))
    failed, requests = total["num_failures"], total["num_requests"]
    lost = sum((got - kept).values())
    unasked = sum((kept - got).values())
    seconds = total["last_request_timestamp"] - total["start_time"]
    times = sorted(float(ms) for ms, count in total["response_times"].items() for _ in range(count))
    console.print(
        f"{requests:,} requests, {requests / seconds:.1f}/s, p50 {times[len(times) // 2]:.0f} ms, "
        f"p95 {times[int(0.95 * len(times))]:.0f} ms; [bold]{failed} failed[/]"
    )
    if swaps:
        console.print(f"{len(swaps)} swaps: median {statistics.median(swaps):.2f} s, longest {max(swaps):.2f} s")
    # the first minute fills caches; after that it should be level
    settled = sizes[min(12, len(sizes) // 4) :]
    third = max(1, len(settled) // 3)
    early, late = statistics.median(settled[:third]), statistics.median(settled[-third:])
    console.print(f"memory: {early:,.0f} MB early, {late:,.0f} MB late ({100 * (late / early - 1):+.1f} %)")
    console.print(f"answers: {len(got):,} got; {lost} not in the store, {unasked} more in the store; exit code {code}")
    if failed:
        console.print((root / "locust.log").read_text()[-3000:], markup=False)
    return failed == 0 and lost == 0 and unasked == 0 and code == 0


if __name__ == "__main__":
    main()
