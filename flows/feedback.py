"""`saqia feedback`: what people said, from files of other tools and into them."""

from __future__ import annotations

from pathlib import Path

import typer

from components import config, task
from components.config import Places
from components.feedback.exchange.transfer import READERS, Format, export_file, format_of, import_file
from components.feedback.store import Store

SHOWN = 20
"""Refused rows that are printed; the rest are counted."""


def bring_in(root: Path, places: Places, name: str | None, file: Path, form: str | None) -> bool:
    """Import a file; print what became of its rows. False where some were refused."""
    chosen = _format(file, form)
    settings = config.load(root / "params.yaml")
    the_task = task.load(name or settings.task, root)
    with Store(places.database_url, critical_most=settings.curate.critical_most) as store:
        done = import_file(store, the_task, file, chosen)
    typer.echo(f"{file.name} ({chosen}): {done.stored} stored, {done.known} known already, {len(done.refused)} refused")
    for place, why in done.refused[:SHOWN]:
        typer.echo(f"  {place}: {why}", err=True)
    if len(done.refused) > SHOWN:
        typer.echo(f"  and {len(done.refused) - SHOWN} more", err=True)
    return not done.refused


def pull(root: Path, places: Places, name: str | None) -> None:
    """Take in what people said in MLflow."""
    from components.registry import assessments

    the_task = task.load(name or config.load(root / "params.yaml").task, root)
    with Store(places.database_url) as store:
        done = assessments.pull(store, the_task)
    typer.echo(f"from MLflow: {done.stored} stored, {done.known} known already, {len(done.refused)} refused")
    for what, why in done.refused[:SHOWN]:
        typer.echo(f"  {what}: {why}", err=True)


def take_out(root: Path, places: Places, name: str | None, file: Path, form: str | None) -> None:
    """Export a task's feedback."""
    chosen = _format(file, form)
    wanted = name or config.load(root / "params.yaml").task
    task.load(wanted, root)
    with Store(places.database_url) as store:
        count = export_file(store, wanted, file, chosen)
    typer.echo(f"{count} events of {wanted} written to {file} ({chosen})")


def _format(file: Path, form: str | None) -> Format:
    if form is None:
        return format_of(file)
    if form not in READERS:
        raise typer.BadParameter(f"{form!r} is none of {', '.join(READERS)}", param_hint="--format")
    return form
