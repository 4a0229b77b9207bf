"""Flow `build`: everything from nothing to the task's first champion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas import State
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed

from components import config, registry
from components.stage import EXPECTED
from components.task import load as load_task
from flows import artifacts, environment, pipeline, progress, rollout, workspace
from flows.lock import Busy, one_turn
from flows.results import Result
from flows.workspace import Workspace


@flow(name="build", flow_run_name="build {task}", persist_result=False)
def build(task: str | None = None, reason: str = "started by hand") -> State[Any]:
    """Build the task from nothing, register it, and make it the champion if it is the first.

    `reason` is why the run was started; it stands in the run's parameters and log.
    """
    logger = get_run_logger()
    root = environment.project_root()
    places = config.places(root)
    try:
        settings = config.load(root / "params.yaml")
        name = load_task(task or settings.task, root).name
        logger.info("build %s: %s", name, reason)
        with one_turn(places.home, f"build of {name}", settings.improve.when_busy, logger.info):
            return _build(root, name, places)
    except Busy as error:
        return Cancelled(message=str(error))
    except EXPECTED as error:
        return Failed(message=str(error))


def _build(root: Path, name: str, places: config.Places) -> State[Any]:
    made = workspace.prepare(root, f"{name}-build", name, {"turn": {"snapshots": [], "champion": None}}, places)
    results = run_graph(made, name)
    failed = [r for r in results if r.outcome == "failed"]
    if failed:
        return Failed(message=refusal(failed, made))
    verdict = rollout.verdict_of(made)
    workspace.settle_lock(made)
    commit = workspace.record(made, "build")
    version = rollout.register(made, verdict, commit, {"prefect": str(flow_run.id or "")})
    if commit:
        workspace.keep_ref(made, f"version-{version.version}", commit)
    reports = rollout.report(version, workspace.keep_reports(made, f"version-{version.version}"))
    champion = registry.champion(name)
    if champion is None:
        version = rollout.promote(version, by="being the first")
        said = f"version {version.version} of {name} is the first champion"
        said += "; " + rollout.roll_out(version, places)
    elif champion.version == version.version:
        said = f"nothing has changed: version {version.version} of {name} serves"
    else:
        said = (
            f"version {version.version} of {name} is registered; version {champion.version} goes on serving "
            f"(`saqia promote {version.version}` makes it the champion)"
        )
    artifacts.verdict(version, verdict, str(reports), said)
    workspace.remove(made)
    return Completed(message=said)


def run_graph(made: Workspace, name: str) -> list[Result]:
    """Run the graph with progress in Prefect's UI and on the terminal."""
    bar = artifacts.Progress(name)
    ended: list[Result] = []
    total = len(pipeline.graph(made))

    def finished(result: Result) -> None:
        ended.append(result)
        bar.show(ended, total)
        progress.finished(result)

    return pipeline.run(made, show=progress.line, finished=finished)


def refusal(failed: list[Result], made: Workspace) -> str:
    """Why the graph did not get through, in one line."""
    return "; ".join(r.error for r in failed) + f" (the turn's folder is kept: {made.root})"
