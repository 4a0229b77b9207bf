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


def test_a_users_task_is_split_and_its_unusable_rows_are_written_out(tmp_path: Path) -> None:
    source = tmp_path / "sms.csv"
    source.write_text(
        "text,label\n" + "".join(f"message about matter {i},{'ham' if i % 2 else 'spam'}\n" for i in range(60))
    )
    folder = write_task("sms", read(source), None, None, tmp_path)
    rows = files.read_rows(folder / "examples.jsonl", Example)
    files.write_rows(folder / "examples.jsonl", [*rows, rows[0]])
    (tmp_path / "params.yaml").write_text("task: sms\n")
    done = stage("examples", tmp_path)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "data/sms/examples"
    train, test = (files.read_rows(out / f"{name}.jsonl", Example) for name in ("train", "test"))
    assert len(train) + len(test) == 60
    assert train[0].messages[0].role == "system"
    assert files.read_rows(out / "skipped.jsonl", Dropped)[0].reason == "the same question and answer came before"


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
