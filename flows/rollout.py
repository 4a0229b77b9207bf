"""What comes after the graph: register, promote or refuse, roll out. Each step is safe to repeat."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from prefect import task
from prefect.logging import get_run_logger

from components import layout, registry
from components.config import Places
from components.registry import Version
from components.schema import Verdict
from components.stage import StageError
from flows.service import ROLL_OUT_SECONDS, wait_until_served
from flows.workspace import Workspace


def verdict_of(workspace: Workspace) -> Verdict:
    """The verdict that the evaluate stage wrote.

    Raises:
        StageError: there is none.
    """
    file = workspace.root / layout.evaluation(workspace.task) / "verdict.json"
    try:
        return Verdict.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StageError(f"{file} holds no verdict: {' '.join(str(error).split())[:200]}") from None


@task(retries=2, retry_delay_seconds=2, name="register")
def register(workspace: Workspace, verdict: Verdict, commit: str | None, runs: Mapping[str, str]) -> Version:
    """Make what the graph built a version; the same weights from the same lock give the version that exists."""
    root = workspace.root
    lineage = registry.lineage_of(root, git_commit=commit, runs=dict(runs))
    version = registry.register(
        root / layout.adapter(workspace.task),
        root / layout.BASE,
        verdict,
        lineage,
        evaluation=root / layout.evaluation(workspace.task),
    )
    get_run_logger().info("%s version %s is registered", version.task, version.version)
    return version


@task(retries=2, retry_delay_seconds=2, name="promote")
def promote(version: Version, by: str) -> Version:
    """Make a version the champion."""
    promoted = registry.promote(version.task, version.version, by=by)
    get_run_logger().info("%s version %s is the champion", version.task, version.version)
    return promoted


@task(retries=2, retry_delay_seconds=2, name="try out")
def try_out(version: Version, share: float, by: str) -> Version:
    """Make a version the canary; from then on the service decides about it."""
    tried = registry.try_out(version.task, version.version, share, by=by)
    get_run_logger().info("%s version %s is the canary", version.task, version.version)
    return tried


@task(retries=2, retry_delay_seconds=2, name="refuse")
def refuse(version: Version, reason: str) -> Version:
    """Leave a version registered, with the reason why it does not serve."""
    return registry.refuse(version.task, version.version, reason)


@task(name="roll out")
def roll_out(version: Version, places: Places, seconds: float = ROLL_OUT_SECONDS) -> str:
    """Wait until the running service answers with the version; say how that went.

    Raises:
        StageError: it refuses the version (its reason is passed on) or did not take it in time.
    """
    said = wait_until_served(version, places, seconds)
    get_run_logger().info(said)
    return said


@task(name="report")
def report(version: Version, reports: Path) -> Path:
    """Write the HTML report of a version beside the reports that were kept of it."""
    from components.evaluation.report import write_report

    lineage = {
        "version": version.version,
        "weights": version.sha256,
        "base": f"{version.base.kind} {version.base.sha256[:16]}",
        "git commit": version.lineage.git_commit or "made outside git",
        "dvc.lock": version.lineage.dvc_lock_sha256,
        "turns": str(len(version.lineage.snapshots)),
    }
    return write_report(
        reports, version.task, reports, title=f"{version.task} version {version.version}", lineage=lineage
    )
