"""What the service keeps of people: structured answers, their keys, their feedback."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.entering import TaskOption, enter

app = typer.Typer()


@app.command(rich_help_panel="The stack")
def answers() -> None:
    """The tables that hold structured answers (requests with `store: true`), their rows and columns, for SQL."""
    _, places = enter()
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
    _, places = enter()
    from flows import keys

    keys.create(places, name, scope or ["use"])


@keys_app.command("list")
def list_keys() -> None:
    """Every key that was made: its first characters, its scopes, and whether it still opens anything."""
    _, places = enter()
    from flows import keys

    keys.show(places)


@keys_app.command("revoke")
def revoke_key(which: Annotated[str, typer.Argument(help="A key's id or name.")]) -> None:
    """Make a key worthless; a running service refuses it within seconds."""
    _, places = enter()
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
    root, places = enter()
    from flows.feedback import bring_in

    raise typer.Exit(0 if bring_in(root, places, task, file, form) else 1)


@feedback_app.command("pull")
def pull_feedback(task: TaskOption = None) -> None:
    """Take in what people said in MLflow of mirrored answers (serving.mirror: mlflow), each assessment once."""
    root, places = enter()
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
    root, places = enter()
    from flows.feedback import take_out

    take_out(root, places, task, file, form)
