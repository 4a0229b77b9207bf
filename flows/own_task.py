"""`saqia init`: a task of the user's own from a file of examples."""

from __future__ import annotations

from pathlib import Path

import typer


def create(
    root: Path,
    name: str,
    examples: Path,
    schema: Path | None,
    base: str | None,
    prompt_column: str | None,
    answer_column: str | None,
) -> None:
    """Read the rows, write tasks/<name>/, and say what was understood and what was not, with line numbers."""
    from components.examples import imports, new_task

    imported = imports.read(examples, prompt_column, answer_column)
    for line in imported.summary():
        typer.echo(line)
    if base is not None and Path(base).exists():
        base = str(Path(base).resolve())
    folder = new_task.write_task(name, imported, schema, base, root)
    typer.echo(f"written: {folder.relative_to(root)}/ (task.yaml describes it; look it over)")
    typer.echo(f"next: saqia run {name}")
