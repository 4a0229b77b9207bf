"""Few-shot examples: the nearest are found, as many as fit are shown, and a changed file is noticed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from components import files
from components.schema import Example, Message
from components.task import Shot
from serving.strategies.few_shot import fitting, with_shots
from serving.strategies.nearest import Nearest, NoExamples


def rows(*pairs: tuple[str, str]) -> list[Example]:
    made = []
    for number, (question, answer) in enumerate(pairs):
        talk = (Message(role="user", content=question), Message(role="assistant", content=answer))
        made.append(Example(id=str(number), messages=talk))
    return made


def shot(message: str) -> Shot:
    return Shot(message=message, answer="a")


def test_the_nearest_examples_come_first_despite_typing_errors(tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    pairs = [("my knee hurts when I walk", "knee"), ("a dull headache for days", "head"), ("I cough at night", "cough")]
    files.write_rows(file, rows(*pairs))
    nearest = Nearest("intake", [tmp_path / "not-there.jsonl", file])
    assert nearest.nearest("dull hedache since 3 days", 2)[0].answer == "head"
    assert nearest.nearest("knee hurt walking", 1) == (Shot(message="my knee hurts when I walk", answer="knee"),)
    assert len(nearest.nearest("anything", 64)) == 3
    assert [found.answer for found in nearest.first(2)] == ["knee", "head"]


def test_a_new_build_brings_new_examples(tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    files.write_rows(file, rows(("one", "old")))
    nearest = Nearest("intake", [file])
    assert nearest.nearest("one", 1)[0].answer == "old"
    files.write_rows(file, rows(("one", "new")))
    os.utime(file, ns=(1, 1))
    assert nearest.nearest("one", 1)[0].answer == "new"


def test_without_a_build_the_message_says_where_examples_are_looked_for(tmp_path: Path) -> None:
    with pytest.raises(NoExamples, match=r"train.jsonl: run `saqia build`"):
        Nearest("intake", [tmp_path / "train.jsonl"]).nearest("x", 1)


def test_examples_stand_between_the_system_message_and_the_question() -> None:
    talk = (Message(role="system", content="s"), Message(role="user", content="q"))
    roles = [(m.role, m.content) for m in with_shots(talk, [shot("x")])]
    assert roles == [("system", "s"), ("user", "x"), ("assistant", "a"), ("user", "q")]


def test_as_many_as_fit_are_shown_and_none_rather_than_a_refusal() -> None:
    talk = (Message(role="user", content="q"),)
    shots = [shot("x"), shot("y"), shot("z")]
    assert fitting(talk, shots, lambda prompt: len(prompt) <= 5) == (shot("x"), shot("y"))
    assert fitting(talk, shots, lambda prompt: False) == ()
