"""`saqia init` as its user reads it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from components.models import ModelError
from components.stage import StageError
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


def spoil(project: Path, count: int) -> None:
    with (project / "rows.jsonl").open("a") as rows:
        rows.write('{"prompt": "what is "this"?", "completion": "a slip"}\n' * count)


def create_sums(project: Path, agreed: bool = False) -> None:
    create(project, "sums", reader(project / "rows.jsonl", None, None, None, None), None, None, agreed)


def test_losing_much_needs_a_yes_names_the_rows_and_writes_nothing_without_it(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(project, 5)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(StageError, match=r"^5 of 85 rows would be lost, as named above; mend the file, or say --yes"):
        create_sums(project)
    assert "lines 81–85: not valid JSON" in capsys.readouterr().out
    assert not (project / "tasks").exists()
    create_sums(project, agreed=True)
    assert len((project / "tasks" / "sums" / "examples.jsonl").read_text().splitlines()) == 80


@pytest.mark.parametrize("answer", [True, False])
def test_at_a_terminal_the_question_is_asked(project: Path, monkeypatch: pytest.MonkeyPatch, answer: bool) -> None:
    spoil(project, 5)
    monkeypatch.setattr("flows.own_task.sys.stdin", Terminal())
    monkeypatch.setattr("typer.confirm", lambda text: answer)
    if not answer:
        with pytest.raises(StageError):
            create_sums(project)
    else:
        create_sums(project)
    assert (project / "tasks" / "sums").exists() is answer


class Terminal:
    def isatty(self) -> bool:
        return True


def test_losing_little_is_said_and_needs_no_word(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(project, 4)
    create_sums(project)
    out = capsys.readouterr().out
    assert "understood: 80 rows; not understood: 4" in out
    assert "every row that was not understood: tasks/sums/not-understood.txt" in out
