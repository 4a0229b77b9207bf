"""`saqia init` as its user reads it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from components.models import ModelError
from flows.own_task import create, reader

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    rows = [{"prompt": f"what is {n} and {n}", "completion": f"it is the number {2 * n}"} for n in range(80)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def base(folder: Path, **tokenizer: str) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    return folder


def init(project: Path, base: Path) -> None:
    create(project, "sums", reader(project / "rows.jsonl", None, None, None, None), None, str(base))


def test_a_base_that_was_not_taught_to_converse_is_noted_with_what_to_do(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    init(project, base(project / "plain"))
    assert "write `train: {method: full}` into tasks/sums/params.yaml" in capsys.readouterr().out


def test_a_base_with_a_chat_template_needs_no_note(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init(project, base(project / "instruct", chat_template="{{ messages }}"))
    assert "note: the base" not in capsys.readouterr().out


def test_a_missing_base_folder_is_one_line_that_speaks_of_no_hub_and_writes_nothing(project: Path) -> None:
    with pytest.raises(ModelError, match=r"folder .*/nowhere does not exist; bring it there, or name another") as told:
        init(project, project / "nowhere")
    assert "hugging" not in str(told.value).lower()
    assert not (project / "tasks").exists()


def test_what_becomes_of_the_rows_and_what_they_can_prove_is_said_at_once(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    init(project, base(project / "plain"))
    output = capsys.readouterr().out
    assert "of 80 rows about 55 are taught, 12 are the test, 9 show in later turns" in output
    assert "only 21 rows of old tests: a loss below" in output
