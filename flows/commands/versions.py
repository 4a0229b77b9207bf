"""Versions: shown, served, tried, taken back, rebuilt, taken elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.entering import TaskOption, enter

app = typer.Typer()


@app.command(rich_help_panel="Versions")
def versions(task: TaskOption = None) -> None:
    """Every version of a task: what was decided about it, and which one serves."""
    root, places = enter()
    from flows.overview import list_versions

    list_versions(root, places, task)


@app.command(rich_help_panel="Versions")
def promote(
    version: Annotated[str, typer.Argument(help="A version's number, or `candidate`.")], task: TaskOption = None
) -> None:
    """Make a version the champion; a running service takes it up without a restart."""
    _move("promote", task, version)


@app.command(rich_help_panel="Versions")
def canary(
    version: Annotated[str, typer.Argument(help="A version's number, or `candidate`.")],
    task: TaskOption = None,
    share: Annotated[
        float | None,
        typer.Option(min=0.001, max=0.5, help="Of the users; else serving.canary.share of params.yaml, else a tenth."),
    ] = None,
) -> None:
    """Try a version on a share of the users; the running service promotes or withdraws it by what they say."""
    root, places = enter()
    from flows.overview import try_out

    try_out(root, places, task, version, share)


@app.command(rich_help_panel="Versions")
def withdraw(task: TaskOption = None) -> None:
    """End the canary's trial: the champion has all the traffic again."""
    root, places = enter()
    from flows.overview import withdraw as end_trial

    end_trial(root, places, task)


@app.command(rich_help_panel="Versions")
def rollback(task: TaskOption = None) -> None:
    """Bring the previous champion back, one step."""
    _move("rollback", task, None)


@app.command(rich_help_panel="Versions")
def report(
    version: Annotated[str, typer.Argument(help="A version's number or alias.")] = "champion",
    task: TaskOption = None,
) -> None:
    """Show a version's verdict and figures, and where its HTML report lies."""
    root, places = enter()
    from flows.overview import show_report

    show_report(root, places, task, version)


@app.command(rich_help_panel="Versions")
def reproduce(
    version: Annotated[str, typer.Argument(help="A version's number or alias.")] = "champion",
    task: TaskOption = None,
    force: Annotated[bool, typer.Option("--force", help="Run every stage again, whatever the cache holds.")] = False,
) -> None:
    """Rebuild a version from its recorded commit, parameters and DVC lock, and compare the weights' hash."""
    root, places = enter()
    from flows.overview import reproduce as rebuild

    rebuild(root, places, task, version, force)


@app.command(rich_help_panel="Versions")
def export(
    to: Annotated[Path, typer.Option(help="A folder that does not exist yet.")],
    version: Annotated[str, typer.Argument(help="A version's number or alias.")] = "champion",
    format: Annotated[
        str, typer.Option(help="safetensors, gguf, ollama, or llamafactory (its training, not the model).")
    ] = "safetensors",
    task: TaskOption = None,
) -> None:
    """Write a version for use elsewhere; a model is first tried on the version's golden prompts.

    **safetensors**: whole weights for transformers, vLLM and the like; **gguf**: one file for llama.cpp and openvino;
    **ollama**: that file with its Modelfile; **llamafactory**: data and settings of its training, for LLaMA-Factory.
    """
    where = to.resolve()
    root, places = enter()
    from flows.export import write

    write(root, places, task, version, format, where)


def _move(action: str, task: str | None, version: str | None) -> None:
    root, places = enter()
    from flows.overview import move

    move(root, places, action, task, version)
