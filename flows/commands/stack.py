"""What runs in the background, here and as a worker for others, and whether it is well."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.entering import TaskOption, enter

if TYPE_CHECKING:
    from components.config import Places

app = typer.Typer()

PrefectPort = Annotated[
    int | None, typer.Option(help="Port of the Prefect server [default: 4200 or SAQIA_PREFECT_PORT].")
]
MlflowPort = Annotated[int | None, typer.Option(help="Port of the MLflow server [default: 5000 or SAQIA_MLFLOW_PORT].")]
Port = Annotated[int | None, typer.Option(help="Port of the service [default: 3000 or SAQIA_PORT].")]


@app.command(rich_help_panel="The stack")
def up(port: Port = None, prefect_port: PrefectPort = None, mlflow_port: MlflowPort = None) -> None:
    """Start everything in the background: Prefect, MLflow, the service with its pages, and the worker."""
    root, places = enter(port=port, prefect_port=prefect_port, mlflow_port=mlflow_port)
    from components.config import load
    from flows import borrowed, stack

    load(root / "params.yaml")
    programs = stack.programs(places)
    for program in programs:
        borrowed.keep(places, program.name)
    stack.start(root, places, programs, say=typer.echo)
    typer.echo("")
    _pages(places)
    typer.echo("\nStop everything with: saqia down")


@app.command(rich_help_panel="The stack")
def down() -> None:
    """Stop what `saqia up` started, and what an interrupted command left running."""
    _, places = enter()
    from flows import borrowed, stack

    programs = list(reversed(stack.programs(places)))
    needed = [p for p in programs if borrowed.let_go(places, p.name)]
    stopped = [p.title for p in programs if p not in needed and stack.stop(places, p.name)]
    ended = stack.end_left_behind(places)
    for text in ended:
        typer.echo(text)
    if stopped or not (needed or ended):
        typer.echo(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
    for program, owner in stack.strangers(places):
        typer.echo(f"port {program.port} of the {program.title} is held by {owner}, which is not ours: left alone")
    for program in needed:
        typer.echo(f"{program.title} runs on until the command that uses it ends")


@app.command(rich_help_panel="The stack")
def worker(
    pool: Annotated[str, typer.Option(help="The work pool: what `meta.pool` in dvc.yaml names.")],
    server: Annotated[
        str | None, typer.Option(help="Prefect's API where stages come from [default: this machine's own].")
    ] = None,
) -> None:
    """Run stages that another installation sends to a work pool, in this clone of the project, until interrupted."""
    root, places = enter()
    from flows.pool_worker import run

    run(root, places, pool, server)


@app.command(rich_help_panel="The stack")
def status(task: TaskOption = None) -> None:
    """What runs, which version serves, how much feedback waits, how the last turns ended."""
    root, places = enter()
    from flows.overview import show

    show(root, places, task)


@app.command(rich_help_panel="The stack")
def doctor() -> None:
    """Check this machine and this installation; each finding says what to do. Exit code 1 if something is broken."""
    from flows.doctor import check_all, print_findings

    raise typer.Exit(print_findings(check_all(Path.cwd())))


def _pages(places: Places) -> None:
    from flows import stack

    for program in stack.programs(places):
        for what, path in program.pages:
            typer.echo(f"  {what:<26} {program.url}{path}")
