"""A model is not asked twice, and another model's answers are never taken for its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.evaluation import answers
from components.evaluation.answers import Answers


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "base.json").write_text(json.dumps({"kind": "local", "location": ".", "sha256": "a" * 64}))
    return folder


@pytest.fixture
def version(tmp_path: Path) -> Path:
    folder = tmp_path / "version"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return folder


def test_what_was_answered_is_found_again_by_the_same_model_only(base: Path, version: Path) -> None:
    Answers(base, version, 96).keep([[1, 2], [12]], ["yes", ""])
    again = Answers(base, version, 96)
    assert again.of([1, 2]) == "yes"
    assert again.of([12]) == "", "an empty answer is an answer"
    assert again.of([1]) is None
    assert Answers(base, None, 96).of([1, 2]) is None, "the bare base is another model"
    assert Answers(base, version, 10).of([1, 2]) is None, "an answer cut elsewhere is another answer"
    (version / "adapter_model.safetensors").write_bytes(b"other weights")
    assert Answers(base, version, 96).of([1, 2]) is None


def test_a_damaged_cache_is_asked_again(base: Path) -> None:
    first = Answers(base, None, 96)
    first.keep([[1]], ["yes"])
    first.file.write_text("{broken")
    assert Answers(base, None, 96).of([1]) is None


def test_models_not_asked_for_longest_are_forgotten(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MODELS", 2)
    for cut in (1, 2, 3):
        Answers(base, None, cut).keep([[1]], [str(cut)])
    assert len(list(Answers(base, None, 3).folder.glob("*.json"))) == 2
    assert Answers(base, None, 3).of([1]) == "3"


def test_of_too_many_answers_those_that_nobody_asks_for_any_more_are_forgotten(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "PROMPTS", 3)
    Answers(base, None, 96).keep([[1], [2], [3]], ["one", "two", "three"])
    later = Answers(base, None, 96)
    assert later.of([2]) == "two"
    later.keep([[4]], ["four"])
    again = Answers(base, None, 96)
    assert [again.of([prompt]) for prompt in (1, 2, 3, 4)] == [None, "two", None, "four"]
