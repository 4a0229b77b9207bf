"""A stage in another clone, by a worker of its own: what comes back, and what is said where nothing can."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import flow
from prefect.settings import PREFECT_API_URL, temporary_settings

from components import config
from components.stage import StageError
from flows import exchange, pipeline, pool_worker, workspace
from flows.results import Result
from flows.workspace import Workspace
from tests.flows.conftest import ROOT, git
from tests.waiting import until

SECOND = """
import os, pathlib, signal, time
print("second says hello", flush=True)
started = pathlib.Path({started!r})
if not started.exists():
    started.touch()
    time.sleep(600)
out = pathlib.Path("models/second"); out.mkdir(parents=True)
(out / "where").write_text(os.getcwd())
(out / "value").write_text(pathlib.Path("data/first/value").read_text())
"""


@pytest.fixture(autouse=True)
def prefect_api(prefect_server: int) -> Iterator[str]:
    api = f"http://127.0.0.1:{prefect_server}/api"
    with temporary_settings({PREFECT_API_URL: api}):
        yield api


@pytest.fixture
def shared(project: Path) -> Path:
    """The project with a DVC remote that its clones share; stage `second` belongs to a pool of this test's own."""
    remote = project.parent / "remote"
    (project / ".dvc" / "config").write_text(f"[core]\n    remote = local\n['remote \"local\"']\n    url = {remote}\n")
    pool = f"gpu-{os.getpid()}-{project.parent.name}"
    dvc = (project / "dvc.yaml").read_text()
    (project / "dvc.yaml").write_text(dvc.replace("{pool: gpu}", f"{{pool: {pool}}}"))
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "a remote for all")
    return project


def pool_of(project: Path) -> str:
    return str(yaml.safe_load((project / "dvc.yaml").read_text())["stages"]["second"]["meta"]["pool"])


def prepared(project: Path, places: config.Places, name: str = "one", **improve: Any) -> Workspace:
    return workspace.prepare(project, name, "intake", {"improve": {"pools": [pool_of(project)], **improve}}, places)


def run(made: Workspace, lines: list[str]) -> dict[str, Result]:
    @flow(name="graph", persist_result=False)
    def graph() -> Any:
        return pipeline.run(made, show=lambda stage, line: lines.append(f"{stage}: {line}"))

    return {result.name: result for result in graph()}


@contextmanager
def worker(clone: Path, pool: str, api: str) -> Iterator[subprocess.Popen[bytes]]:
    """`saqia worker` in its own clone, with a home of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "worker", "--pool", pool, "--server", api],
        cwd=clone,
        env={
            **{key: value for key, value in os.environ.items() if not key.startswith(("SAQIA_", "PREFECT_"))},
            "PYTHONPATH": str(ROOT),
            "PREFECT_WORKER_HEARTBEAT_SECONDS": "3",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
        },
        stdout=(clone.parent / "worker.log").open("a"),
        stderr=subprocess.STDOUT,
        process_group=0,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.slow
def test_a_stage_is_made_in_the_workers_clone_though_the_first_worker_is_killed(
    shared: Path, places: config.Places, prefect_api: str
) -> None:
    started, clone, pool = shared.parent / "started", shared.parent / "clone", pool_of(shared)
    (shared / "second.py").write_text(SECOND.format(started=str(started)))  # not committed: it goes along all the same
    git(shared.parent, "clone", "-q", str(shared), str(clone))
    lines: list[str] = []
    made = prepared(shared, places, pool_minutes=3)  # should the workers below fail, this ends too

    def workers() -> None:
        with worker(clone, pool, prefect_api) as first:
            until(started.exists, lambda: f"the stage runs: {lines} {(clone.parent / 'worker.log').read_text()}", 200)
            first.kill()
            first.wait()
        with worker(clone, pool, prefect_api):
            over.wait(180)

    over = threading.Event()
    there = threading.Thread(target=workers)
    there.start()
    try:
        results = run(made, lines)
    finally:
        over.set()
        there.join()
    assert {name: result.outcome for name, result in results.items()} == dict.fromkeys(results, "ran"), (
        results,
        lines,
        (clone.parent / "worker.log").read_text(),
    )
    assert (made.root / "models/second/where").read_text().startswith(str(clone / ".saqia" / "work"))
    assert (made.root / "reports/intake/value").read_text() == "17"
    assert any("is gone: it died" in line for line in lines) or "second: second says hello" in lines
    assert "second" in yaml.safe_load((made.root / "dvc.lock").read_text())["stages"]
    assert not git(shared, "for-each-ref", exchange.REFS), "what was published is taken back"
    workspace.record(made, "version-1")
    again = prepared(shared, places, "two")
    assert {result.outcome for result in run(again, lines).values()} == {"cached"}, "and nobody is asked twice"


def test_a_pool_without_a_worker_is_waited_for_and_then_said(shared: Path, places: config.Places) -> None:
    lines: list[str] = []
    results = run(prepared(shared, places, pool_minutes=0.02), lines)
    assert any(f"no worker of work pool {pool_of(shared)} is there" in line for line in lines)
    assert results["second"].outcome == "failed"
    assert "came within 0.02 minutes (improve.pool_minutes)" in results["second"].error
    assert results["aside"].outcome == "ran"
    assert results["last"].outcome == "skipped"
    assert not git(shared, "for-each-ref", exchange.REFS)


def test_what_a_stage_cannot_travel_without_is_named(
    shared: Path, places: config.Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shared / ".dvc" / "config").write_text("")
    result = run(prepared(shared, places), [])["second"]
    assert result.outcome == "failed"
    assert "remote" in result.error
    with pytest.raises(StageError, match="no DVC remote is set"):
        pool_worker.transfer.check_remote(shared)
    with pytest.raises(StageError, match="is no clone with an origin"):
        pool_worker.run(shared, places, "gpu", None)
    (shared / ".dvc" / "config").write_text((ROOT / ".dvc" / "config").read_text())
    with pytest.raises(StageError, match=r"is a folder of this clone .*\.saqia/remote"):
        pool_worker.transfer.check_remote(shared)
    outside = Workspace(name="one", task="intake", root=shared, project=shared, commit=None)
    with pytest.raises(StageError, match=r"is no git repository: .*improve\.pools"), exchange.published(outside, "x"):
        pass
