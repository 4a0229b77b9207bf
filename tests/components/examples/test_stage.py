"""The stage as DVC runs it: a process, its files, its one line when it can't."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from components import files
from components.examples.imports import read
from components.examples.new_task import write_task
from components.schema import Dropped, Example

ROOT = Path(__file__).parents[3]
SMALL = "examples: {train: 40, test: 10, unseen: 10, new: 10, new_unseen: 10, traffic: 10}\n"


def stage(name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"components.{name}"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def with_tokenizer(folder: Path, tokenizer: Path) -> None:
    (folder / "models").mkdir(exist_ok=True)
    (folder / "models" / "tokenizer").symlink_to(tokenizer)


def test_a_task_with_a_generator_gives_a_file_a_set(tmp_path: Path) -> None:
    (tmp_path / "tasks").symlink_to(ROOT / "tasks")
    (tmp_path / "params.yaml").write_text(f"task: intake\nseed: 3\n{SMALL}")
    first = stage("examples", tmp_path)
    assert first.returncode == 0, first.stderr
    folder = tmp_path / "data/intake/examples"
    assert sorted(path.stem for path in folder.iterdir()) == [
        "new",
        "new_unseen",
        "skipped",
        "test",
        "traffic",
        "train",
        "unseen",
    ]
    assert len(files.read_rows(folder / "train.jsonl", Example)) == 40
    before = files.sha256_of(folder)
    assert stage("examples", tmp_path).returncode == 0
    assert files.sha256_of(folder) == before


def test_a_users_task_is_split_and_its_unusable_rows_are_written_out(tmp_path: Path, tokenizer_folder: Path) -> None:
    source = tmp_path / "sms.csv"
    source.write_text(
        "text,label\n" + "".join(f"message about matter {i},{'ham' if i % 2 else 'spam'}\n" for i in range(60))
    )
    folder = write_task("sms", read(source), None, None, tmp_path)
    rows = files.read_rows(folder / "examples.jsonl", Example)
    files.write_rows(folder / "examples.jsonl", [*rows, rows[0]])
    (tmp_path / "params.yaml").write_text("task: sms\n")
    with_tokenizer(tmp_path, tokenizer_folder)
    done = stage("examples", tmp_path)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "data/sms/examples"
    train, test = (files.read_rows(out / f"{name}.jsonl", Example) for name in ("train", "test"))
    assert len(train) + len(test) == 60
    assert train[0].messages[0].role == "system"
    assert files.read_rows(out / "skipped.jsonl", Dropped)[0].reason == "the same question and answer came before"


def test_rows_longer_than_the_context_are_left_out_and_counted(tmp_path: Path, tokenizer_folder: Path) -> None:
    source = tmp_path / "notes.jsonl"
    lines = [f'{{"prompt": "matter {n} of {n * 7}", "completion": "seen {n}"}}' for n in range(40)]
    lines += [f'{{"prompt": "{"a long story " * 200}{n}", "completion": "no"}}' for n in range(3)]
    source.write_text("\n".join(lines))
    write_task("notes", read(source), None, None, tmp_path)
    (tmp_path / "params.yaml").write_text("task: notes\nmodel: {context: 128}\n")
    with_tokenizer(tmp_path, tokenizer_folder)
    done = stage("examples", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "3 rows left out because they are longer than model.context" in done.stdout
    skipped = files.read_rows(tmp_path / "data/notes/examples/skipped.jsonl", Dropped)
    assert [row.step for row in skipped] == ["too long"] * 3
    assert "and model.context is 128" in skipped[0].reason


def test_when_no_row_fits_the_message_says_what_to_raise(tmp_path: Path, tokenizer_folder: Path) -> None:
    source = tmp_path / "notes.jsonl"
    source.write_text("\n".join(f'{{"prompt": "{"long " * 90}{n}", "completion": "no"}}' for n in range(9)))
    write_task("notes", read(source), None, None, tmp_path)
    (tmp_path / "params.yaml").write_text("task: notes\nmodel: {context: 32}\n")
    with_tokenizer(tmp_path, tokenizer_folder)
    done = stage("examples", tmp_path)
    assert done.returncode == 1
    assert "none of its 9 rows fits into the model" in done.stderr
    assert "tasks/notes/params.yaml" in done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        ("no task", "no task 'clinic'"),
        ("no rows", "has neither generator.py nor examples.jsonl"),
        ("broken rows", "examples.jsonl, line 1"),
    ],
)
def test_what_is_missing_or_broken_is_one_line_and_exit_code_1(prepare: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("task: clinic\n")
    if prepare != "no task":
        folder = tmp_path / "tasks" / "clinic"
        folder.mkdir(parents=True)
        (folder / "task.yaml").write_text("{name: clinic, title: Clinic, answer: text}\n")
        if prepare == "broken rows":
            (folder / "examples.jsonl").write_text('{"id": "x"}\n')
    done = stage("examples", tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "data").exists()
