"""Flow `build`: everything from nothing to the task's first champion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from components import config, registry
from components.sentences import say
from flows import artifacts, rollout, workspace
from flows.entry import called, enter, refusal, run_graph


@flow(name="build", flow_run_name=called("build {task}"), persist_result=False)
def build(task: str | None = None, reason: str = "started by hand") -> State[Any]:
    """Build the task from nothing, register it, and make it the champion if it is the first.

    `reason` is why the run was started; it stands in the run's parameters and log.
    """
    return enter("build", task, reason, _build)


def _build(root: Path, name: str, places: config.Places) -> State[Any]:
    made = workspace.prepare(
        root, f"{name}-build", name, {"turn": config.TurnSettings().model_dump(mode="json")}, places
    )
    results = run_graph(made, name)
    if any(r.outcome == "failed" for r in results):
        return Failed(message=refusal(results, made))
    verdict = rollout.verdict_of(made)
    workspace.settle_lock(made)
    commit = workspace.record(made, "build")
    version = rollout.register(made, verdict, commit, {"prefect": str(flow_run.id or "")})
    if commit:
        workspace.keep_ref(made, f"version-{version.version}", commit)
    reports = rollout.report(version, workspace.keep_reports(made, f"version-{version.version}"))
    champion = registry.champion(name)
    if champion is None:
        version = rollout.promote(version, by=say("by_first"))
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
