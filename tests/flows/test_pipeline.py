"""The graph of dvc.yaml under Prefect: order, states, log, failure, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, LogFilter, LogFilterTaskRunId
from prefect.settings import PREFECT_API_URL, temporary_settings

from components import config
from flows import environment, pipeline, workspace
from flows.results import Result
from flows.workspace import Workspace
from tests.waiting import until


@pytest.fixture(autouse=True)
def prefect_api(prefect_server: int) -> Iterator[None]:
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{prefect_server}/api"}):
        yield


@pytest.fixture
def made(project: Path, places: config.Places) -> Workspace:
    return workspace.prepare(project, "one", "intake", places=places)


@flow(name="graph")
def graph_flow(made: Any) -> Any:
    from prefect.runtime import flow_run

    return flow_run.id, pipeline.run(made)


def run(made: Workspace) -> tuple[str, dict[str, Result]]:
    run_id, results = graph_flow(made)
    return str(run_id), {r.name: r for r in results}


def test_the_graph_is_read_from_dvc_yaml_in_order(made: Workspace) -> None:
    nodes = pipeline.graph(made)
    names = [n.name for n in nodes]
    assert names.index("first") < names.index("second") < names.index("last")
    assert names.index("aside") < names.index("last")
    by_name = {n.name: n for n in nodes}
    assert by_name["last"].needs == ("aside", "second")
    assert by_name["second"].pool == "gpu"
    assert all(n.changed for n in nodes)


def test_every_stage_runs_once_then_is_cached(made: Workspace) -> None:
    _, first = run(made)
    assert {r.outcome for r in first.values()} == {"ran"}
    assert (made.root / "reports" / "intake" / "value").read_text() == "17"
    _, second = run(made)
    assert {r.outcome for r in second.values()} == {"cached"}


def test_stages_are_tasks_of_their_name_with_their_lines_in_prefects_log(made: Workspace) -> None:
    run_id, _ = run(made)
    with get_client(sync_client=True) as client:
        tasks = client.read_task_runs(flow_run_filter=FlowRunFilter(id={"any_": [run_id]}))
        assert {t.name for t in tasks} == {"first", "second", "aside", "last"}
        second = next(t for t in tasks if t.name == "second")
        assert not second.tags, "a tag costs a concurrency slot, and on SQLite often a wait of seconds"

        def lines() -> list[str]:
            logs = client.read_logs(LogFilter(task_run_id=LogFilterTaskRunId(any_=[second.id])))
            return [entry.message for entry in logs]

        until(
            lambda: any("second says hello" in line for line in lines()),
            lambda: f"its line in Prefect's log: {lines()}",
        )


def test_a_new_folder_takes_unchanged_stages_from_the_shared_cache(
    made: Workspace, project: Path, places: config.Places
) -> None:
    run(made)
    workspace.record(made, "version-1")
    workspace.remove(made)
    other = workspace.prepare(
        project, "two", "intake", {"turn": {"champion": {"version": "1", "sha256": "0" * 64}}}, places
    )
    _, results = run(other)
    assert {n: r.outcome for n, r in results.items()} == {
        "first": "cached",
        "second": "cached",
        "aside": "cached",
        "last": "ran",
    }


def test_a_failed_stage_gives_its_own_line_and_spares_the_independent_ones(
    project: Path, places: config.Places
) -> None:
    (project / "second.py").write_text("import sys; print('working'); sys.exit('second: row 7 is wrong')")
    made = workspace.prepare(project, "one", "intake", places=places)
    _, results = run(made)
    assert results["second"].outcome == "failed"
    assert results["second"].error == "second: row 7 is wrong"
    assert results["aside"].outcome == "ran"
    assert results["last"].outcome == "skipped"


def test_a_killed_stage_is_tried_again_but_a_stage_that_says_why_is_not(project: Path, places: config.Places) -> None:
    marker = project.parent / "marker"
    (project / "second.py").write_text(
        f"import os, pathlib, signal\nm = pathlib.Path({str(marker)!r})\nm.open('a').write('x')\n"
        "if len(m.read_text()) == 1: os.kill(os.getpid(), signal.SIGKILL)\n"
        "pathlib.Path('models/second').mkdir(parents=True)\n"
    )
    refusing = project.parent / "refusing"
    (project / "aside.py").write_text(
        f"import pathlib, sys\npathlib.Path({str(refusing)!r}).open('a').write('x')\nsys.exit('aside: no')\n"
    )
    made = workspace.prepare(project, "one", "intake", places=places)
    _, results = run(made)
    assert results["second"].outcome == "ran"
    assert marker.read_text() == "xx"
    assert results["aside"].outcome == "failed"
    assert refusing.read_text() == "x"


SLEEPER = """
import os, pathlib, time
{tie}
pathlib.Path({pid!r}).write_text(str(os.getpid()))
time.sleep(600)
"""

DRIVER = """
import sys
from pathlib import Path
from prefect import flow
from components import config
from flows import pipeline, workspace

@flow(name="driver")
def driver():
    made = workspace.prepare(Path(sys.argv[1]), "one", "intake", places=config.Places(home=Path(sys.argv[2])))
    pipeline.run(made)

driver()
"""


def ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize(("victim", "shell"), [("flow", "/bin/sh"), ("dvc", "/bin/sh"), ("dvc", "/bin/bash")])
def test_killing_the_flow_or_dvc_leaves_no_stage_running(
    project: Path, places: config.Places, prefect_server: int, victim: str, shell: str
) -> None:
    """DVC runs a stage through $SHELL; bash becomes the stage, dash stays between the two."""
    pid_file = project.parent / "pid"
    tie = "from components.lifetime import end_with_parent; end_with_parent()" if victim == "dvc" else ""
    (project / "first.py").write_text(SLEEPER.format(pid=str(pid_file), tie=tie))
    (project / "params.yaml").write_text((project / "params.yaml").read_text().replace("retries: 1", "retries: 0"))
    own = config.Places(home=places.home, prefect_port=prefect_server).absolute(project)
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(project), str(places.home)],
        env={**os.environ, **environment.variables(own), "SAQIA_PREFECT_PORT": str(prefect_server), "SHELL": shell},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: pid_file.exists() and pid_file.read_text(), "the stage runs")
        stage = psutil.Process(int(pid_file.read_text()))
        if victim == "flow":
            os.kill(driver.pid, signal.SIGKILL)
        else:
            runner = next(
                p
                for p in psutil.Process(driver.pid).children(recursive=True)
                if {"flows.run_stage", "first"} <= set(p.cmdline())
            )
            runner.kill()
        until(lambda: ended(stage), "the stage ends", 60)
    finally:
        driver.kill()
        driver.wait()
