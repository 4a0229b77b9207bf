"""The base's text: enough of it, every answer token in it, no evaluation message in it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from components import config, files
from components.corpus.__main__ import main
from components.corpus.overlap import without
from components.examples.similarity import shingles
from components.schema import Example
from components.stage import StageError
from tasks.intake import generator

ROOT = Path(__file__).parents[3]
CORPUS = {"task": "intake", "documents": 1500, "instructions": 90}
SIZES = {"train": 60, "test": 40, "unseen": 40, "new": 20, "new_unseen": 20, "traffic": 20}


def settings_(**changes: object) -> config.Settings:
    values = {"seed": 5, "examples": SIZES, "corpus": CORPUS}
    return config.parse(values | changes)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tasks").symlink_to(ROOT / "tasks")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def documents(root: Path, name: str) -> list[str]:
    return [json.loads(line)["text"] for line in (root / f"data/corpus/{name}.jsonl").read_text().splitlines()]


def test_the_stage_writes_text_held_out_text_and_rows_that_hold_the_train_set(root: Path) -> None:
    main(settings_())
    text, held_out = documents(root, "text"), documents(root, "heldout")
    assert len(text) > 1400
    assert 20 <= len(held_out) <= 40
    assert not set(text) & set(held_out)
    instruct = files.read_rows(root / "data/corpus/instruct.jsonl", Example)
    assert len(instruct) == 90
    assert {row.id for row in generator.example_sets(5, SIZES)["train"]} <= {row.id for row in instruct}


def test_the_same_settings_give_the_same_bytes(root: Path) -> None:
    main(settings_())
    before = files.sha256_of(root / "data/corpus")
    main(settings_())
    assert files.sha256_of(root / "data/corpus") == before


def test_no_document_holds_an_evaluation_message_or_most_of_one(root: Path) -> None:
    main(settings_())
    held = [shingles(document) for document in documents(root, "text")]
    for name, rows in generator.example_sets(5, SIZES).items():
        if name != "train":
            for row in rows:
                message = shingles(row.question)
                assert all(len(message & document) < 0.8 * len(message) for document in held), row.question


def test_a_message_is_found_inside_a_longer_document_and_with_a_word_changed() -> None:
    rng = random.Random(1)
    words = [f"w{i}" for i in range(300)]
    messages = [" ".join(rng.sample(words, 20)) for _ in range(50)]
    inside = f"user says: {messages[7]} and the answer is this"
    changed = messages[9].split()
    changed[-1] = "other"
    harmless = " ".join(rng.sample(words, 40))
    assert list(without([inside, " ".join(changed), harmless], messages)) == [harmless]


def test_every_value_that_an_answer_can_have_stands_in_the_text(root: Path) -> None:
    main(settings_())
    text = "\n".join(documents(root, "text"))
    for row in files.read_rows(root / "data/corpus/instruct.jsonl", Example):
        for key, value in json.loads(row.answer).items():
            if key != "medication" and key != "duration":
                assert f'"{key}":"{value}"' in text


def test_with_another_base_there_is_only_a_note_that_says_so(root: Path) -> None:
    main(settings_())
    main(settings_(model={"base": "some/model"}))
    assert [path.name for path in (root / "data/corpus").iterdir()] == ["not-used.json"]
    assert "some/model" in (root / "data/corpus/not-used.json").read_text()


def test_a_task_without_a_generator_cannot_be_the_corpus(root: Path) -> None:
    with pytest.raises(StageError, match=r"corpus\.task: spam has no generator\.py"):
        main(settings_(corpus={"task": "spam", "documents": 100}))
