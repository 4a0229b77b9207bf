"""How every command begins, and the options that several share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from components.config import Places

TaskOption = Annotated[
    str | None, typer.Option("--task", help="A folder under tasks/; default: `task` in params.yaml.")
]


def enter(**ports: int | None) -> tuple[Path, Places]:
    """The project's root and places, with this process's environment set before anything reads it."""
    from components import config
    from flows import environment, stack

    root = environment.project_root()
    os.chdir(root)
    places = config.places(root)
    places = stack.where_it_runs(places)
    places = places.model_copy(update={key: value for key, value in ports.items() if value is not None})
    environment.enter(places)
    return root, places


def start_flow(name: str, task: str | None, reason: str = "started by hand") -> None:
    """Run `build` or `improve` and exit as it ended."""
    root, places = enter()
    from components.config import load
    from components.task import load as load_task
    from flows.by_hand import run_flow

    wanted = load(root / "params.yaml").task if task is None else task
    load_task(wanted, root)
    raise typer.Exit(run_flow(root, places, name, wanted, reason))
