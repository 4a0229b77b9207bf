"""A small project with a real tokenizer, whose data the gate judges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import config, files, layout
from components.schema import Example
from tests.components.curation.conftest import example, sentence

Write = Callable[..., config.Settings]
SCHEMA = "from pydantic import BaseModel\n\nclass Note(BaseModel):\n    word: str\n    count: int\n"


def write_project(
    train: list[Example | str],
    test: list[Example] | None = None,
    answer: str = "label",
    sets: dict[str, list[Example]] | None = None,
    **quality: Any,
) -> config.Settings:
    """Write curated rows and evaluation sets of a label (or JSON) task here; returns its settings.

    The rows are made-up words, so no language is checked unless asked for.
    """
    name = {"label": "mail", "json": "notes"}[answer]
    folder = layout.task_folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    task: dict[str, Any] = {"name": name, "title": name, "answer": answer}
    if answer == "label":
        task["labels"] = ["ham", "spam"]
    if answer == "json":
        task["schema"] = "schema.py:Note"
        (folder / "schema.py").write_text(SCHEMA)
    (folder / "task.yaml").write_text(yaml.safe_dump(task))
    lines = [row if isinstance(row, str) else row.model_dump_json() for row in train]
    files.write_text(layout.curated(name) / "train.jsonl", "".join(line + "\n" for line in lines))
    for file in ("replay", "target", "regression", "critical", "tuning_target", "tuning_guard"):
        files.write_rows(layout.curated(name) / f"{file}.jsonl", (sets or {}).get(file, []))
    for file in ("preferences", "preferences_heldout", "judged", "judged_heldout"):
        files.write_rows(layout.curated(name) / f"{file}.jsonl", [])
    files.write_rows(layout.examples(name) / "test.jsonl", test or [])
    files.write_rows(layout.examples(name) / "train.jsonl", [])
    return config.parse({"task": name, "quality": {"min_rows": 5, "languages": [], **quality}})


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokenizer_folder: Path) -> Write:
    """An empty project folder with a base; `write_project` fills it."""
    monkeypatch.chdir(tmp_path)
    layout.TOKENIZER.parent.mkdir()
    layout.TOKENIZER.symlink_to(tokenizer_folder)
    return write_project


def good(count: int = 10) -> list[Example | str]:
    """Rows that nothing is wrong with."""
    return [example(f"row-{n}", sentence(n), "ham" if n % 2 else "spam") for n in range(count)]
