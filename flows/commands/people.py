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


@feedback_app.command("critical")
def critical_case(
    which: Annotated[
        str | None, typer.Argument(help="The answer's id (`chatcmpl-…`); with --list, a task instead.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take the mark back.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Show the critical cases of a task.")] = False,
    by: Annotated[str | None, typer.Option("--by", help="Who says so [default: who is logged in].")] = None,
    comment: Annotated[str | None, typer.Option("--comment", help="Why.")] = None,
) -> None:
    """Mark an answer's case critical: from the next turn on no version may break it. Or list those of a task.

    Its right answer is the correction, or the confirmed answer, that counts for its question. There may be
    `curate.critical_most` of them; a mark beyond is refused.
    """
    if listed and (undo or by or comment):
        raise typer.BadParameter("goes with no other option", param_hint="--list")
    if not listed and which is None:
        raise typer.BadParameter("name the answer, or show what is marked with --list", param_hint="WHICH")
    root, places = enter()
    from flows import critical

    if listed:
        critical.show(root, places, which)
    else:
        assert which is not None
        critical.mark_case(root, places, which, undo, by, comment)


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
