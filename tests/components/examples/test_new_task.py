"""From a user's file to a task that the stage can split."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from components import files, layout, task
from components.examples.formats.records import Imported
from components.examples.imports import read
from components.examples.labels import labels_of
from components.examples.new_task import write_task
from components.schema import Example
from components.task import TaskError

SCHEMA = """
from pydantic import BaseModel

class Part(BaseModel):
    name: str

class Order(BaseModel):
    parts: list[Part]
"""


def imported(tmp_path: Path, pairs: list[tuple[str, str]], system: str | None = None) -> Imported:
    path = tmp_path / "rows.jsonl"
    rows = [{"prompt": a, "completion": b} | ({"system": system} if system else {}) for a, b in pairs]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read(path)


def test_few_short_answers_make_a_label_task(tmp_path: Path) -> None:
    rows = imported(tmp_path, [(f"message number {i}", "spam " if i % 3 else "ham") for i in range(20)])
    folder = write_task("clinic", rows, None, None, tmp_path)
    made = task.load("clinic", tmp_path)
    assert folder == tmp_path / "tasks" / "clinic"
    assert (made.answer, made.labels) == ("label", ("spam", "ham"))
    assert {row.answer for row in files.read_rows(folder / "examples.jsonl", Example)} == {"ham", "spam"}
    assert "ham" in made.system


def test_free_answers_make_a_text_task_and_a_shared_system_message_is_the_tasks(tmp_path: Path) -> None:
    rows = imported(tmp_path, [(f"q {i}", f"a long answer {i}") for i in range(9)], system="Be brief.")
    folder = write_task("notes", rows, None, "Qwen/Qwen2.5-1.5B-Instruct", tmp_path)
    made = task.load("notes", tmp_path)
    assert (made.answer, made.system, made.base) == ("text", "Be brief.", "Qwen/Qwen2.5-1.5B-Instruct")
    assert all(row.messages[0].role == "user" for row in files.read_rows(folder / "examples.jsonl", Example))


def test_answers_that_are_objects_make_a_json_task(tmp_path: Path) -> None:
    rows = imported(tmp_path, [(f"q {i}", json.dumps({"n": i})) for i in range(9)])
    write_task("orders", rows, None, None, tmp_path)
    made = task.load("orders", tmp_path)
    assert made.answer == "json"
    assert made.normalise('{"b": 1, "a": 2}') == made.normalise('{"a":2,"b":1}')
    assert made.parse("no json") is None
    assert made.parse("[1]") is None


def test_the_schema_is_the_class_that_no_other_is_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schema = tmp_path / "schema.py"
    schema.write_text(SCHEMA)
    rows = imported(tmp_path, [(f"q {i}", json.dumps({"parts": [{"name": str(i)}]})) for i in range(9)])
    write_task("bills", rows, schema, None, tmp_path)
    monkeypatch.chdir(tmp_path)
    made = task.load("bills")
    assert made.schema_ == "schema.py:Order"
    assert made.parse('{"parts": [{"name": "x"}]}') == {"parts": [{"name": "x"}]}
    assert made.parse('{"parts": 1}') is None


@pytest.mark.parametrize(
    ("content", "option", "message"),
    [
        ("x = 1", "", "must define one pydantic class that is the answer; it has none"),
        ("import nowhere_at_all", "", "cannot be imported: ModuleNotFoundError"),
        ("def (", "", "cannot be imported: SyntaxError"),
        (SCHEMA + "\nclass Other(BaseModel):\n    x: int\n", "", "it has Order, Other"),
        (SCHEMA, ":Bill", "there is no pydantic class Bill; classes: Part, Order"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_and_nothing_is_written(
    content: str, option: str, message: str, tmp_path: Path
) -> None:
    schema = tmp_path / "schema.py"
    schema.write_text(content)
    with pytest.raises(TaskError, match=message):
        write_task("bills", imported(tmp_path, [("q", "a")]), Path(f"{schema}{option}"), None, tmp_path)
    assert not (tmp_path / "tasks").exists()


def test_an_existing_task_is_not_touched(tmp_path: Path) -> None:
    rows = imported(tmp_path, [("q", "a"), ("r", "b")])
    folder = write_task("notes", rows, None, None, tmp_path)
    (folder / "task.yaml").write_text("mine")
    with pytest.raises(TaskError, match="exists already"):
        write_task("notes", rows, None, None, tmp_path)
    assert (folder / "task.yaml").read_text() == "mine"


@pytest.mark.parametrize("name", ["base", "champion", "corpus", "pretrained", "tokenizer"])
def test_a_name_whose_folders_are_the_pipelines_own_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=f"no task can be called {name}"):
        write_task(name, imported(tmp_path, [("q", "a")]), None, None, tmp_path)
    with pytest.raises(TaskError, match=f"rename tasks/{name}"):
        task.load(name, tmp_path)


def test_every_folder_that_all_tasks_share_is_reserved() -> None:
    """What dvc.yaml writes beside the tasks' own folders is no task's name."""
    stages = yaml.safe_load((Path(__file__).parents[3] / "dvc.yaml").read_text())["stages"].values()
    written = [
        str(out if isinstance(out, str) else next(iter(out)))
        for stage in stages
        for kind in ("outs", "metrics", "plots")
        for out in stage.get(kind, [])
    ]
    shared = {path.split("/")[1] for path in written if "${task}" not in path}
    assert shared == layout.RESERVED


def test_every_row_that_was_not_understood_is_kept_with_its_reason(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "a", "completion": "b c"}\n' + "".join(f'{{"prompt": {n}}}\n' for n in range(30)))
    folder = write_task("notes", read(rows), None, None, tmp_path)
    told = (folder / "not-understood.txt").read_text().splitlines()
    assert len(told) == 30
    assert told[0].startswith("line 2: prompt is a number")


@pytest.mark.parametrize("name", ["", "Clinic", "../x", "a b", "1a", "a" * 65])
def test_a_name_that_is_no_folder_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="is no task name"):
        write_task(name, imported(tmp_path, [("q", "a")]), None, None, tmp_path)


def test_labels_are_few_short_and_come_again() -> None:
    assert labels_of(["a", "b", "a", "b", "a", "a"]) == ("a", "b")
    assert labels_of(["a"] * 10) is None
    assert labels_of([str(i) for i in range(10)]) is None
    assert labels_of(["a" * 41, "b"] * 10) is None
    assert labels_of([]) is None
