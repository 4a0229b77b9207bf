"""`saqia label` against a real endpoint: rows, refusals, what is asked once, and a kill in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import yaml

from components import config
from components.examples.split import split
from components.files import DataError, read_rows, write_rows
from components.llm.teacher import Unanswered
from components.schema import Example, Message
from components.stage import StageError
from components.task import load
from flows.labelling import Account, label, lines
from tests.components.llm.conftest import Endpoint
from tests.conftest import ROOT
from tests.waiting import until

SYSTEM = "Answer ham or spam."


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    running = Endpoint()
    running.reply = lambda request: "spam" if "win" in request["messages"][-1]["content"] else "ham"
    yield running
    running.close()


@pytest.fixture
def project(tmp_path: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A label task with two rows of people, and the endpoint as its teacher."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    folder = tmp_path / "tasks/mail"
    folder.mkdir(parents=True)
    task = {"name": "mail", "title": "Mail", "answer": "label", "labels": ["ham", "spam"], "system": SYSTEM}
    (folder / "task.yaml").write_text(yaml.safe_dump(task))
    teacher(tmp_path, base_url=endpoint.url, model="big", parallel=2)
    said = [("see you at noon", "ham"), ("you win a phone", "spam")]
    write_rows(folder / "examples.jsonl", [row(*pair) for pair in said])
    monkeypatch.setenv("SAQIA_HOME", str(tmp_path / ".saqia"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def teacher(project: Path, **values: Any) -> None:
    (project / "tasks/mail/params.yaml").write_text(yaml.safe_dump({"teacher": values}))


def row(question: str, answer: str) -> Example:
    messages = (Message(role="user", content=question), Message(role="assistant", content=answer))
    return Example(id=question, messages=messages)


def run(project: Path, text: str, name: str = "mail", **options: Any) -> Account:
    (project / "prompts.txt").write_text(text)
    places = config.Places().absolute(project)
    given: dict[str, Any] = {"column": None, "limit": None, "tell": lambda *_: None} | options
    return label(project, places, name, project / "prompts.txt", **given)


def rows(project: Path) -> list[Example]:
    return read_rows(project / "tasks/mail/examples.jsonl", Example)


def test_valid_answers_become_rows_beside_the_people_s_and_refused_ones_are_written_out(
    project: Path, endpoint: Endpoint
) -> None:
    endpoint.reply = lambda request: {"win now": "Spam", "lunch?": "ham"}.get(
        request["messages"][-1]["content"], "who?"
    )
    file = project / "tasks/mail/examples.jsonl"
    before = file.read_text().rstrip("\n")  # as an editor may leave it
    file.write_text(before)
    account = run(project, "win now\nlunch?\nsee you at noon\nwin now\nodd\n")
    assert file.read_text().startswith(before + "\n")
    added = rows(project)[2:]
    assert [(r.question, r.answer, r.source, r.rater) for r in added] == [
        ("win now", "spam", "teacher", "ai:big"),
        ("lunch?", "ham", "teacher", "ai:big"),
    ]
    (refused,) = read_rows(account.refused, Unanswered)
    assert (refused.prompt[-1].content, refused.answers) == ("odd", ("who?",))
    said = "\n".join(lines(account, "mail"))
    for line in (
        "prompts: 4; not understood: 0",
        "named more than once in the file: 1",
        "answered already by rows of tasks/mail/examples.jsonl: 1",
        "asked: 3; requests: 3 (what was answered before is not asked again)",
        "accepted: 2, added to tasks/mail/examples.jsonl",
        "  1: 'who?' is none of the labels ham, spam",
        "next: saqia run mail",
    ):
        assert line in said
    assert "note:" not in said


def test_the_next_run_asks_only_what_is_new(project: Path, endpoint: Endpoint) -> None:
    assert run(project, "a\nb\nc\n", limit=2).later == 1
    assert len(endpoint.requests) == 2
    account = run(project, "a\nb\nc\nd\n")
    assert (account.already, account.labelled.requests) == (2, 2)
    assert len(endpoint.requests) == 4
    assert lines(run(project, "a\nb\nc\nd\n"), "mail")[-1] == "nothing was asked"


def test_the_task_s_system_message_in_a_prompt_is_not_a_part_of_its_row(project: Path, endpoint: Endpoint) -> None:
    asked = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "see you at noon"}]
    (project / "rows.jsonl").write_text(json.dumps({"messages": asked}))
    places = config.Places().absolute(project)
    assert label(project, places, "mail", project / "rows.jsonl", None, None, lambda *_: None).already == 1


def test_shots_are_people_s_training_rows_and_teacher_md_is_what_the_teacher_is_told(
    project: Path, endpoint: Endpoint
) -> None:
    teacher(project, base_url=endpoint.url, model="big", shots=64)
    people = [row(f"letter number {n} of a long day", "spam" if n % 2 else "ham") for n in range(20)]
    write_rows(project / "tasks/mail/examples.jsonl", people)
    (project / "tasks/mail/teacher.md").write_text("Decide like a postmaster.\n")
    run(project, "a\n")
    system, *turns, _ = endpoint.requests[0]["messages"]
    assert system["content"] == "Decide like a postmaster."
    settings = config.load(project / "params.yaml")
    sets, _ = split(load("mail"), people, settings.seed, settings.examples.held_out_share)
    assert sets["test"]
    shown = {turn["content"] for turn in turns if turn["role"] == "user"}
    assert shown == {shot.question for shot in sets["train"]}


def test_when_the_server_goes_away_what_was_accepted_is_kept(project: Path, endpoint: Endpoint) -> None:
    teacher(project, base_url=endpoint.url, model="big", parallel=1)
    endpoint.reply = lambda _: "ham" if len(endpoint.requests) < 3 else (401, '{"error":{"message":"expired"}}')
    with pytest.raises(
        StageError, match=r"refused with 401: expired; .*; 2 rows were added to .*only the rest is asked"
    ):
        run(project, "a\nb\nc\nd\n")
    assert [r.question for r in rows(project)[2:]] == ["a", "b"]
    endpoint.reply = lambda _: "ham"
    run(project, "a\nb\nc\nd\n")
    assert [r.question for r in rows(project)[2:]] == ["a", "b", "c", "d"]


def test_killed_in_the_middle_it_asks_only_the_rest(project: Path, endpoint: Endpoint) -> None:
    """SIGKILL, so nothing can be put away: what was answered is in the file of answers alone."""
    teacher(project, base_url=endpoint.url, model="big", parallel=1)
    killed = Event()

    def reply(request: dict[str, Any]) -> str:
        if request["messages"][-1]["content"] == "b3":
            killed.wait(60)
        return "ham"

    endpoint.reply = reply
    (project / "prompts.txt").write_text("".join(f"b{n}\n" for n in range(6)))
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "flows.cli", "label", "mail", "--prompts", "prompts.txt"]
    process = subprocess.Popen(command, cwd=project, env=env, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        until(lambda: len(endpoint.requests) == 4, "the fourth prompt was not asked", 60)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        killed.set()
    assert len(rows(project)) == 2
    account = run(project, (project / "prompts.txt").read_text())
    assert [r.question for r in rows(project)[2:]] == [f"b{n}" for n in range(6)]
    assert account.labelled.requests == 3
    asked = [request["messages"][-1]["content"] for request in endpoint.requests]
    assert asked == ["b0", "b1", "b2", "b3", "b3", "b4", "b5"]


def test_what_cannot_work_is_said_in_one_line_before_anything_is_asked(project: Path, endpoint: Endpoint) -> None:
    def refused(said: str, error: type[Exception] = StageError, text: str = "a\n") -> None:
        with pytest.raises(error, match=said):
            run(project, text)

    teacher(project, model="big")
    refused("no teacher is named: write teacher.base_url into params.yaml or tasks/mail/params.yaml")
    teacher(project, base_url=endpoint.url)
    refused("no teacher is named: write teacher.model into params.yaml")
    teacher(project, base_url=endpoint.url, model="big")
    refused(r"prompts\.txt is empty", DataError, "\n")
    (project / "tasks/mail/examples.jsonl").write_text(row("a", "ham").model_dump_json() + "\n{oops\n")
    refused(r"examples\.jsonl, line 2: Invalid JSON", DataError)
    (project / "tasks/mail/generator.py").write_text("")
    refused("the rows of mail come from its generator.py")
    assert not endpoint.requests


def test_without_rows_of_people_and_without_an_instruction_it_says_what_is_missing(
    project: Path, endpoint: Endpoint
) -> None:
    (project / "tasks/mail/examples.jsonl").unlink()
    task = project / "tasks/mail/task.yaml"
    task.write_text(task.read_text().replace(SYSTEM, "''"))
    said = "\n".join(lines(run(project, "a\n"), "mail"))
    assert "note: the teacher is told nothing of the task: write what is wanted into tasks/mail/teacher.md" in said
    assert "holds 0 rows that people answered: bring some" in said
