"""The benchmark of what turns cost, on few and small turns."""

from __future__ import annotations

import sys

import pytest

from benchmarks import turn_cost
from components.schema import Example, Message
from tests.flows.conftest import ROOT


def test_three_small_turns_cost_the_same_and_stand_in_one_another(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["turn_cost", "--turns", "3", "--events", "60"])
    assert turn_cost.main() == 0
    printed = capsys.readouterr().out
    assert "in batches: turn 3 is 1.0" in printed
    assert "every turn represented every earlier turn" in printed


def test_most_answers_are_corrected_and_some_are_confirmed() -> None:
    rows = [
        Example(
            id=str(n),
            messages=(Message(role="user", content=f"say {n}"), Message(role="assistant", content=str(n))),
        )
        for n in range(400)
    ]
    made = turn_cost.events(rows, seed=1)
    right = [event for event in made if event.kind == "thumb_up"]
    assert 0.08 < len(right) / len(made) < 0.18
    assert all(event.correction != event.answer for event in made)
    assert [event.correction or event.answer for event in made] == [row.answer for row in rows]
