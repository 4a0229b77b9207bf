"""The wheel: build, improve, and the demo of both."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.commands.entering import TaskOption, enter, start_flow

app = typer.Typer()


@app.command(rich_help_panel="The wheel")
def demo() -> None:
    """Turn the whole wheel twice, for real: build, serve, meet new traffic, collect corrections, improve, swap.

    The person who corrects the answers is simulated and called so. Run it again at any time: what is
    done is not done twice, and a run that was interrupted carries on.
    """
    root, places = enter()
    from flows.demo import run

    run(root, places)


@app.command(rich_help_panel="The wheel")
def build(task: TaskOption = None) -> None:
    """Build a task from nothing and register it; the first version becomes the champion."""
    start_flow("build", task)


@app.command(rich_help_panel="The wheel")
def improve(
    task: TaskOption = None,
    reason: Annotated[str, typer.Option(help="Why; shown in Prefect.")] = "started by hand",
) -> None:
    """Turn the wheel once: learn from the feedback since the last turn, and serve the result if it is proven better.

    A turn that was interrupted is continued. With no new corrections, and nothing that a refused turn needed, nothing
    is done.
    """
    start_flow("improve", task, reason)
