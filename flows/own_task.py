"""`saqia init`: a task of the user's own from a file of examples."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from components.stage import StageError

if TYPE_CHECKING:
    from components.config import QualitySettings, Settings
    from components.examples.formats.records import Imported
    from components.schema import Example


def create(
    root: Path,
    name: str,
    read: Callable[[], Imported],
    schema: Path | None,
    base: str | None,
    agreed: bool = False,
) -> None:
    """Read the rows, write tasks/<name>/, and say what was understood and what was not, with line numbers.

    Args:
        agreed: a person has said that rows may be lost.

    Raises:
        StageError: more rows would be lost than go without a person's word; nothing was written.
    """
    from components import config
    from components.examples import new_task

    settings = config.load(root / "params.yaml")
    new_task.new_folder(name, root)
    if base is not None:
        base = _usable(base)
    imported = read()
    for line in imported.summary(_NAMED if imported.loses_much else 10):
        typer.echo(line)
    if imported.loses_much and not agreed:
        _ask_about_loss(imported)
    languages = _languages(imported.examples, settings.quality)
    folder = new_task.write_task(
        name, imported, schema, base, root, {"quality": {"languages": languages}} if languages else None
    )
    if imported.preferences:
        typer.echo(
            f"note: the pairs are in {folder.relative_to(root)}/preferences.jsonl; "
            "train.objective dpo, kto or orpo teaches them"
        )
    if imported.judged:
        typer.echo(
            f"note: the judged answers are in {folder.relative_to(root)}/preferences.jsonl; "
            "train.objective kto teaches them"
        )
    if imported.skipped:
        typer.echo(f"note: every row that was not understood: {folder.relative_to(root)}/{new_task.NOT_UNDERSTOOD}")
    typer.echo(f"written: {folder.relative_to(root)}/ (task.yaml describes it; look it over)")
    if languages:
        typer.echo(f"note: the rows are in {', '.join(languages)}; written to {folder.relative_to(root)}/params.yaml")
    for line in _plan(len(imported.examples), settings):
        typer.echo(line)
    if len(imported.examples) * (1 - settings.examples.held_out_share) < settings.quality.min_rows:
        typer.echo(
            f"note: the gate asks for {settings.quality.min_rows} rows to teach (quality.min_rows), and a share of "
            f"{settings.examples.held_out_share:g} is held out as a test: bring more, or ask for fewer in "
            f"{folder.relative_to(root)}/params.yaml"
        )
    if base is not None and not _converses(base):
        typer.echo(
            "note: the base has no chat template, so it was not taught to converse, nor where an answer ends: "
            "an adapter alone often cannot teach it that. If the report calls the answers poor, write "
            f"`train: {{method: full}}` into {folder.relative_to(root)}/params.yaml"
        )
    typer.echo(f"next: saqia run {name}")


def _plan(rows: int, settings: Settings) -> list[str]:
    """What becomes of the rows, before near-duplicates are taken out, and what the tests among them can prove."""
    from components.curation.replay import sizes
    from components.evaluation.plan import of_guards

    test = round(rows * settings.examples.held_out_share)
    replay, tuning = sizes(rows - test, settings.curate.replay_rows, settings.curate.tuning_rows)
    return [
        f"of {rows} rows about {rows - test - replay - tuning} are taught, {test} are the test, {replay} show in "
        f"later turns that nothing was forgotten (curate.replay_rows), {tuning} choose between candidates "
        "(curate.tuning_rows)",
        f"in later turns: {of_guards(test + replay, settings.promotion)}",
    ]


_NAMED = 100
"""Reasons with their lines that are shown where many rows would be lost."""


def _ask_about_loss(imported: Imported) -> None:
    """Have a person say that so many rows may be lost.

    Raises:
        StageError: the answer is no, or there is nobody to ask.
    """
    understood = max(len(imported.examples), len(imported.preferences) + len(imported.judged))
    lost = f"{imported.lost} of {imported.lost + understood} rows would be lost"
    if any(row.open_end for row in imported.skipped):
        lost = "the file ends early: nobody can tell how many rows are missing"
    if sys.stdin.isatty() and typer.confirm(f"{lost}. Go on with the others?"):
        return
    raise StageError(
        f"{lost}, as named above; mend the file, or say --yes to go on with the others. Nothing is written"
    )


def reader(
    examples: Path | None,
    llamafactory: Path | None,
    dataset: str | None,
    prompt_column: str | None,
    answer_column: str | None,
) -> Callable[[], Imported]:
    """What reads the rows: a file whose format is found out, or a folder that LLaMA-Factory trains from.

    Raises:
        StageError: neither is named, or both are, or an option belongs to the other one.
    """
    if (examples is None) == (llamafactory is None):
        raise StageError(
            "name either a file, --examples FILE, or a folder of LLaMA-Factory's, --from-llamafactory FOLDER"
        )
    if llamafactory is not None:
        if prompt_column is not None or answer_column is not None:
            raise StageError("--prompt-column and --answer-column go with --examples: dataset_info.json names columns")
        from components.examples import llamafactory as theirs

        return partial(theirs.read, llamafactory, dataset)
    if dataset is not None:
        raise StageError("--dataset goes with --from-llamafactory")
    from components.examples import imports

    assert examples is not None
    return partial(imports.read, examples, prompt_column, answer_column)


def _usable(base: str) -> str:
    """A base as the task records it: a folder by its absolute path, once it is known to be a model.

    Raises:
        ModelError: the folder is missing or incomplete. A hub id is looked up when the task is run.
    """
    from components.models import is_folder, model_folder

    return str(model_folder(base)) if is_folder(base) else base


def _converses(base: str) -> bool:
    """Whether a base's folder has a chat template, and so was probably taught to answer; a hub id is believed to."""
    from components.models import is_folder

    if not is_folder(base):
        return True
    settings = Path(base) / "tokenizer_config.json"
    written = settings.read_text(encoding="utf-8", errors="replace") if settings.exists() else ""
    return (Path(base) / "chat_template.jinja").exists() or "chat_template" in written


def _languages(rows: Sequence[Example], quality: QualitySettings) -> list[str]:
    """The languages of a user's rows, where they are not those that the project's gate expects."""
    from components.quality.language import languages_of

    if not quality.languages:
        return []
    found = languages_of([text for row in rows for text in (row.question, row.answer)], quality.max_other_language)
    return found if set(found) - set(quality.languages) else []
