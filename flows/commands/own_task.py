"""A task of your own: made, labelled by a teacher, run, its pairs judged, its parameters looked for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.entering import TaskOption, enter, start_flow

app = typer.Typer()


@app.command(rich_help_panel="Your own task")
def init(
    name: Annotated[str, typer.Argument(help="Name of the new task: lower case, digits, - and _.")],
    examples: Annotated[
        Path | None,
        typer.Option(help="Your rows: OpenAI messages, Alpaca, ShareGPT, prompt/completion, or a two-column CSV."),
    ] = None,
    from_llamafactory: Annotated[
        Path | None, typer.Option(help="Instead: a folder with LLaMA-Factory's dataset_info.json.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Which of its datasets, if there are several.")] = None,
    schema: Annotated[
        Path | None, typer.Option(help="A Python file with a pydantic class: answers are then JSON.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="A Hugging Face folder or hub id [default: model.base].")] = None,
    prompt_column: Annotated[str | None, typer.Option(help="CSV: the column that asks.")] = None,
    answer_column: Annotated[str | None, typer.Option(help="CSV: the column that answers.")] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Go on though more than 5 % of the rows are not understood.")
    ] = False,
) -> None:
    """Make a task of your own from a file of examples, whose format is detected, or from what LLaMA-Factory trains on.

    Says how many rows were understood, and which were not and why. Then: `saqia run NAME`.
    """
    file, folder = (path.resolve() if path else None for path in (examples, from_llamafactory))
    root, _ = enter()
    from flows.own_task import create, reader

    create(root, name, reader(file, folder, dataset, prompt_column, answer_column), schema, base, yes)


@app.command(rich_help_panel="Your own task")
def run(name: Annotated[str, typer.Argument(help="A folder under tasks/.")]) -> None:
    """Build, evaluate and register a task of your own.

    Parameters that differ for this task go into `tasks/NAME/params.yaml`, written like params.yaml.
    """
    start_flow("build", name)


@app.command(rich_help_panel="Your own task")
def label(
    name: Annotated[str, typer.Argument(help="A folder under tasks/.")],
    prompts: Annotated[
        Path,
        typer.Option(help="What is to be answered: a format of `saqia init`, a column of a CSV, or lines of text."),
    ],
    prompt_column: Annotated[str | None, typer.Option(help="The column (or key) that asks.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="So many prompts at most.")] = None,
) -> None:
    """Have a teacher, a large model behind an OpenAI-compatible endpoint, answer prompts that nobody has answered.

    Answers that are valid for the task become rows of `tasks/NAME/examples.jsonl`, with source "teacher": they are
    taught and never tested with. Section `teacher` of params.yaml says who answers. Stopped, it goes on where it was.
    """
    file = prompts.resolve()
    root, places = enter()
    from flows.labelling import run

    run(root, places, name, file, prompt_column, limit)


@app.command(rich_help_panel="Your own task")
def judge(
    arena: Annotated[bool, typer.Option("--arena", help="Vote on the arena's battles instead.")] = False,
    new: Annotated[int, typer.Option(min=0, help="With --arena: so many new prompts are fought over first.")] = 0,
    version: Annotated[
        list[str] | None,
        typer.Option(help="With --new: who takes part, once for each; else the newest two."),
    ] = None,
    task: TaskOption = None,
) -> None:
    """Have a model (or the task's judge.py) compare two answers to each of some prompts, in both orders.

    Verdicts that hold in both orders become pairs in `tasks/NAME/preferences.jsonl`, with source "ai"; with `--arena`
    they are votes beside people's, which count only while the judge agrees with people and with itself. Section `judge`
    of params.yaml says who answers and who judges.
    """
    root, places = enter()
    if arena:
        from flows import voting

        voting.run(root, places, task, new, version or [])
        return
    if new or version:
        raise typer.BadParameter("--new and --version go with --arena")
    from flows.judging import run

    run(root, places, task)


@app.command(rich_help_panel="Your own task")
def sweep(
    set: Annotated[
        list[str] | None,
        typer.Option(help="What to try: train.lr=1e-4..1e-2:log, train.lora.r=8,16; may be given several times."),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, max=1000, help="How many points of the space.")] = 8,
    rows: Annotated[int, typer.Option(min=10, help="Rows kept out of teaching, whose loss is compared.")] = 200,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write the last sweep's best into tasks/TASK/params.yaml.")
    ] = False,
    task: TaskOption = None,
) -> None:
    """Look for better parameters of the training: one training a trial, none of it in your working tree.

    Trials are compared by the loss on rows that they are not taught, never by the sets that decide about a version.
    A sweep that was stopped goes on where it was; its trainings are runs in MLflow.
    """
    root, places = enter()
    from flows import sweep as sweeping

    if apply:
        sweeping.apply(root, places, task)
    else:
        sweeping.run(root, places, task, set or [], trials, rows)
