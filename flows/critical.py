"""`saqia feedback critical`: mark cases that no version may break, take marks back, list them."""

from __future__ import annotations

import getpass
from pathlib import Path

import typer

from components import config, task
from components.config import Places
from components.feedback.critical import mark
from components.feedback.store import Store, StoreError

WIDTH = 100
"""So many characters of a question are shown."""


def mark_case(root: Path, places: Places, id: str, undo: bool, by: str | None, comment: str | None) -> None:
    """Mark the case of a served answer, or take the mark back; saying the same again changes nothing.

    Raises:
        StoreError: no answer has this id, there is no mark to take back, or there are as many cases as may be.
    """
    most = config.load(root / "params.yaml").curate.critical_most
    with Store(places.database_url, critical_most=most) as store:
        served = store.interaction(id)
        if served is None:
            raise StoreError(f"no answer with id {id!r} was served here: name the `id` of a completion")
        marked = any(case.interaction_id == id for case in store.critical(served.task))
        if undo and not marked:
            raise StoreError(f"{id} is not critical: `saqia feedback critical --list {served.task}` shows what is")
        if not undo and marked:
            typer.echo(f"{id} is critical already")
            return
        store.add_all([mark(id, by or _login(), not undo, comment)])
        count = len(store.critical(served.task))
    done = "is no longer critical" if undo else "is critical from the next turn on"
    typer.echo(f"{id} {done}: {count} of at most {most} cases of task {served.task}")


def show(root: Path, places: Places, name: str | None) -> None:
    """The critical cases of a task, the longest marked first.

    Raises:
        TaskError: there is no such task.
    """
    settings = config.load(root / "params.yaml")
    the_task = task.load(settings.task if name is None else name, root)
    with Store(places.database_url) as store:
        cases = store.critical(the_task.name)
    typer.echo(f"{len(cases)} of at most {settings.curate.critical_most} critical cases of task {the_task.name}")
    for case in cases:
        question = " ".join(case.question.split())
        shown = question if len(question) <= WIDTH else question[: WIDTH - 1] + "…"
        why = f" ({' '.join(case.comment.split())})" if case.comment else ""
        typer.echo(f"  {case.interaction_id}  {case.created_at:%Y-%m-%d}  {case.rater}{why}: {shown}")


def _login() -> str:
    """Who is logged in.

    Raises:
        StoreError: the system knows no name (a container's bare user id, say).
    """
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        raise StoreError("this system knows no login name: say who marks the case with --by NAME") from None
