"""What is told around a build by hand: before it, whether it can succeed at all; after it, how good the version is."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from components import config
from components.config import Places
from components.task import parameters


def check(root: Path, task: str) -> None:
    """Refuse what cannot work before anything is started.

    Raises:
        ConfigError, TaskError: the task's parameters or its folder are impossible.
        ModelError: its base is missing and cannot be fetched.
    """
    from components.models import check_available

    model = config.parse(parameters(task, root)).model
    if model.base != "local":
        check_available(model.base, model.revision)


def tell(console: Console, root: Path, places: Places, task: str) -> None:
    """The newest version's verdict in plain words and figures, its report, and what to do next."""
    from components import registry
    from flows import overview, service
    from flows.terminal import verdict_table

    versions = registry.versions(task)
    if not versions:
        return
    version = max(versions, key=lambda v: int(v.version))
    kept = service.reports_folder(places, task) / f"version-{version.version}"
    console.print(f"\n{task} version {version.version}", style="bold")
    for reason in version.verdict.reasons:
        console.print(f"  {reason}", markup=False)
    for line in of_rows(kept):
        console.print(f"  {line}", markup=False)
    if version.verdict.comparisons:
        console.print(verdict_table(version.verdict))
    page = overview.report_page(kept)
    if page:
        console.print(f"report: {page}", markup=False, soft_wrap=True)
    settings = config.load(root / "params.yaml")
    if settings.task == task:
        console.print("next: saqia up (chat, API and feedback)")
    else:
        console.print(f"next: write `task: {task}` into params.yaml, then: saqia up (chat, API and feedback)")


def of_rows(reports: Path) -> list[str]:
    """What the kept curation report says of the rows: how many the model cannot read, how many a teacher answered."""
    import json

    from components.curation.sources import share_of_teachers

    try:
        report = json.loads((reports / "curation.json").read_text(encoding="utf-8"))
        skipped = report["skipped"]
    except (OSError, ValueError, KeyError):
        return []
    long, of_teachers = skipped.get("too long", 0), share_of_teachers(report)
    lines = [f"{long} rows were left out: they are longer than model.context"] if long else []
    return [*lines, of_teachers] if of_teachers else lines
