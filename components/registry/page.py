"""A version's report: the evaluation's page with the version's lineage on it."""

from __future__ import annotations

from pathlib import Path

from components.registry.record import Version


def facts(version: Version) -> dict[str, str]:
    """What a version is made of, as rows for people."""
    lineage = version.lineage
    rows = {
        "version": f"{version.task} {version.version}",
        "weights": f"sha256 {version.sha256}",
        "base": f"{version.base.kind} {version.base_uri}, sha256 {version.base.sha256}",
        "git commit": lineage.git_commit or "none: made outside git",
        "dvc.lock": f"sha256 {lineage.dvc_lock_sha256}",
    }
    rows |= {f"data {path.removeprefix('data/')}": digest for path, digest in lineage.datasets.items()}
    for i, snapshot in enumerate(lineage.snapshots, 1):
        rows[f"snapshot {i}"] = f"through event {snapshot.through}, sha256 {snapshot.sha256}"
        if snapshot.votes is not None:
            rows[f"votes {i}"] = f"through vote {snapshot.votes.through}, sha256 {snapshot.votes.sha256}"
    rows |= {f"{name} run": run for name, run in lineage.runs.items() if run}
    return rows


def write_page(version: Version, reports: Path) -> Path:
    """Write report.html into the folder of a version's kept reports; return its path.

    Raises:
        DataError: the folder holds no evaluation.
    """
    from components.evaluation.report import write_report

    title = f"{version.task} version {version.version}"
    return write_report(
        reports, version.task, reports, title=title, lineage=facts(version), created_at=version.created_at
    )
