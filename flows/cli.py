"""The `saqia` command. Nothing heavy is imported before it is known which command runs."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from components.config import Places

app = typer.Typer(
    name="saqia",
    help="Your examples become a small model of your own; what people say about its answers becomes a better one.\n\n"
    "Start with `saqia demo`: one whole turn of the wheel on a task that comes with the project.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
)

TaskOption = Annotated[
    str | None, typer.Option("--task", help="A folder under tasks/; default: `task` in params.yaml.")
]
PrefectPort = Annotated[
    int | None, typer.Option(help="Port of the Prefect server [default: 4200 or SAQIA_PREFECT_PORT].")
]
MlflowPort = Annotated[int | None, typer.Option(help="Port of the MLflow server [default: 5000 or SAQIA_MLFLOW_PORT].")]
Port = Annotated[int | None, typer.Option(help="Port of the service [default: 3000 or SAQIA_PORT].")]


@app.command(rich_help_panel="The wheel")
def demo() -> None:
    """Run the whole wheel once, for real: build, serve, meet new traffic, collect corrections, improve, swap.

    The person who corrects the answers is simulated and called so. Run it again at any time: what is
    done is not done twice, and a run that was interrupted carries on.
    """
    root, places = _enter()
    from flows.demo import run

    run(root, places)


@app.command(rich_help_panel="The wheel")
def build(task: TaskOption = None) -> None:
    """Build a task from nothing and register it; the first version becomes the champion."""
    _flow("build", task)


@app.command(rich_help_panel="The wheel")
def improve(
    task: TaskOption = None,
    reason: Annotated[str, typer.Option(help="Why; shown in Prefect.")] = "started by hand",
) -> None:
    """Turn the wheel once: learn from the feedback since the last turn, and serve the result if it is proven better.

    A turn that was interrupted is continued. With no new corrections nothing is done.
    """
    _flow("improve", task, reason)


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
) -> None:
    """Make a task of your own from a file of examples, whose format is detected, or from what LLaMA-Factory trains on.

    Says how many rows were understood, and which were not and why. Then: `saqia run NAME`.
    """
    file, folder = (path.resolve() if path else None for path in (examples, from_llamafactory))
    root, _ = _enter()
    from flows.own_task import create, reader

    create(root, name, reader(file, folder, dataset, prompt_column, answer_column), schema, base)


@app.command(rich_help_panel="Your own task")
def run(name: Annotated[str, typer.Argument(help="A folder under tasks/.")]) -> None:
    """Build, evaluate and register a task of your own.

    Parameters that differ for this task go into `tasks/NAME/params.yaml`, written like params.yaml.
    """
    _flow("build", name)


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
    root, places = _enter()
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
    root, places = _enter()
    from flows import sweep as sweeping

    if apply:
        sweeping.apply(root, places, task)
    else:
        sweeping.run(root, places, task, set or [], trials, rows)


@app.command(rich_help_panel="The stack")
def up(port: Port = None, prefect_port: PrefectPort = None, mlflow_port: MlflowPort = None) -> None:
    """Start everything in the background: Prefect, MLflow, the service with its pages, and the worker."""
    root, places = _enter(port=port, prefect_port=prefect_port, mlflow_port=mlflow_port)
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
    """Stop what `saqia up` started."""
    _, places = _enter()
    from flows import borrowed, stack

    programs = list(reversed(stack.programs(places)))
    needed = [p for p in programs if borrowed.let_go(places, p.name)]
    stopped = [p.title for p in programs if p not in needed and stack.stop(places, p.name)]
    if stopped or not needed:
        typer.echo(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
    for program in needed:
        typer.echo(f"{program.title} runs on until the command that uses it ends")


@app.command(rich_help_panel="The stack")
def status(task: TaskOption = None) -> None:
    """What runs, which version serves, how much feedback waits, how the last turns ended."""
    root, places = _enter()
    from flows.overview import show

    show(root, places, task)


@app.command(rich_help_panel="The stack")
def doctor() -> None:
    """Check this machine and this installation; each finding says what to do. Exit code 1 if something is broken."""
    from flows.doctor import check_all, print_findings

    raise typer.Exit(print_findings(check_all(Path.cwd())))


@app.command(rich_help_panel="Versions")
def versions(task: TaskOption = None) -> None:
    """Every version of a task: what was decided about it, and which one serves."""
    root, places = _enter()
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
    root, places = _enter()
    from flows.overview import try_out

    try_out(root, places, task, version, share)


@app.command(rich_help_panel="Versions")
def withdraw(task: TaskOption = None) -> None:
    """End the canary's trial: the champion has all the traffic again."""
    root, places = _enter()
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
    root, places = _enter()
    from flows.overview import show_report

    show_report(root, places, task, version)


@app.command(rich_help_panel="Versions")
def reproduce(
    version: Annotated[str, typer.Argument(help="A version's number or alias.")] = "champion",
    task: TaskOption = None,
    force: Annotated[bool, typer.Option("--force", help="Run every stage again, whatever the cache holds.")] = False,
) -> None:
    """Rebuild a version from its recorded commit, parameters and DVC lock, and compare the weights' hash."""
    root, places = _enter()
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
    root, places = _enter()
    from flows.export import write

    write(root, places, task, version, format, where)


@app.command(rich_help_panel="The stack")
def answers() -> None:
    """The tables that hold structured answers (requests with `store: true`), their rows and columns, for SQL."""
    _, places = _enter()
    from flows.answers import show

    show(places)


keys_app = typer.Typer(no_args_is_help=True, help="API keys: who may use the service from other machines.")
app.add_typer(keys_app, name="keys", rich_help_panel="The stack")


@keys_app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="The person or program that will use it.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="use, review or admin; may be given several times [default: use].")
    ] = None,
) -> None:
    """Make a key and print it, once: only its hash is kept.

    **use**: ask models and say what is right about their answers; **review**: what reviewers do; **admin**: everything.
    """
    _, places = _enter()
    from flows import keys

    keys.create(places, name, scope or ["use"])


@keys_app.command("list")
def list_keys() -> None:
    """Every key that was made: its first characters, its scopes, and whether it still opens anything."""
    _, places = _enter()
    from flows import keys

    keys.show(places)


@keys_app.command("revoke")
def revoke_key(which: Annotated[str, typer.Argument(help="A key's id or name.")]) -> None:
    """Make a key worthless; a running service refuses it within seconds."""
    _, places = _enter()
    from flows import keys

    keys.revoke(places, which)


feedback_app = typer.Typer(no_args_is_help=True, help="What people said, from files and into them.")
app.add_typer(feedback_app, name="feedback", rich_help_panel="The wheel")
FeedbackFormat = Annotated[
    str | None, typer.Option("--format", help="jsonl, parquet, argilla or label-studio [default: by the file's name].")
]


@feedback_app.command("import")
def import_feedback(
    file: Annotated[Path, typer.Argument(help="JSON lines, Parquet, or JSON of Argilla or Label Studio.")],
    task: TaskOption = None,
    form: FeedbackFormat = None,
) -> None:
    """Read thumbs, corrections and comments from a file; reading it again changes nothing.

    Every row that is refused is named with its line and reason, and the exit code is then 1.
    """
    file = file.resolve()
    root, places = _enter()
    from flows.feedback import bring_in

    raise typer.Exit(0 if bring_in(root, places, task, file, form) else 1)


@feedback_app.command("pull")
def pull_feedback(task: TaskOption = None) -> None:
    """Take in what people said in MLflow of mirrored answers (serving.mirror: mlflow), each assessment once."""
    root, places = _enter()
    from flows.feedback import pull

    pull(root, places, task)


@feedback_app.command("export")
def export_feedback(
    file: Annotated[Path, typer.Argument(help="Where to; its name says the format: .jsonl, .parquet.")],
    task: TaskOption = None,
    form: FeedbackFormat = None,
) -> None:
    """Write a task's feedback to a file, each event with the answer it speaks of."""
    file = file.resolve()
    root, places = _enter()
    from flows.feedback import take_out

    take_out(root, places, task, file, form)


def _enter(**ports: int | None) -> tuple[Path, Places]:
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


def _flow(name: str, task: str | None, reason: str = "started by hand") -> None:
    root, places = _enter()
    from components.config import load
    from components.task import load as load_task
    from flows.by_hand import run_flow

    wanted = load(root / "params.yaml").task if task is None else task
    load_task(wanted, root)
    raise typer.Exit(run_flow(root, places, name, wanted, reason))


def _move(action: str, task: str | None, version: str | None) -> None:
    root, places = _enter()
    from flows.overview import move

    move(root, places, action, task, version)


def _pages(places: Places) -> None:
    from flows import stack

    for program in stack.programs(places):
        for what, path in program.pages:
            typer.echo(f"  {what:<26} {program.url}{path}")


INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended: 128 + SIGINT."""


def _interrupted(signum: int, frame: Any) -> None:
    """Being asked to end is treated like Ctrl-C: what was started for this command ends with it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> Any:
    """Run the command; an error is one line on standard error and a non-zero exit code."""
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        return app(arguments)
    except (KeyboardInterrupt, SystemExit) as ended:
        # typer turns Ctrl-C into exit code 130, as shells do, without a word on what to do
        if isinstance(ended, SystemExit) and ended.code != INTERRUPTED:
            raise
        print("saqia: interrupted; run the same command again to carry on", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        from components.stage import EXPECTED
        from flows.environment import NoProject

        if isinstance(error, (*EXPECTED, NoProject)):
            sys.exit(f"saqia: {error}")
        if isinstance(error, OSError):
            from components.stage import said_by_system

            sys.exit(f"saqia: {said_by_system(error)}")
        import traceback

        from components import config

        log = config.places().home / "logs" / "saqia.log"
        where = ""
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(traceback.format_exc(), encoding="utf-8")
            where = f"; the stack trace is in {log}"
        except OSError:
            traceback.print_exc()
        first = (str(error).strip().splitlines() or [""])[0]
        sys.exit(f"saqia: {type(error).__name__}: {first}{where}")


if __name__ == "__main__":
    main()
