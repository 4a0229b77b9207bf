"""A small labelling project whose curation runs in milliseconds."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import config, files, layout
from components.schema import Example, FeedbackRow, Message
from tests.components.feedback.conftest import NOW

WORDS = [a + b for a in ("ba", "co", "du", "fe", "gi", "lo") for b in ("ran", "tel", "vin", "sol", "mek")]


def sentence(number: int, length: int = 12) -> str:
    """A sentence that shares next to nothing with any other number's."""
    draw = random.Random(number)
    return " ".join(draw.choice(WORDS) for _ in range(length)) + f" {number}"


def example(id: str, text: str, answer: str = "ham", **changes: Any) -> Example:
    messages = (Message(role="user", content=text), Message(role="assistant", content=answer))
    return Example.model_validate({"id": id, "messages": messages} | changes)


_seq = itertools.count(1)


def correction(text: str, answer: str = "spam", rater: str = "ann", **changes: Any) -> FeedbackRow:
    seq = next(_seq)
    values: dict[str, Any] = {
        "seq": seq,
        "event_id": f"event-{seq}",
        "created_at": NOW,
        "rater": rater,
        "kind": "correction",
        "interaction_id": f"c{seq}",
        "model_version": "1",
        "messages": (Message(role="user", content=text),),
        "answer": "ham",
        "correction": answer,
    }
    return FeedbackRow.model_validate(values | changes)


Write = Callable[..., config.Settings]


@pytest.fixture
def project(tmp_path: Path, tokenizer_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a project's rows and snapshots; returns its settings."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / layout.TOKENIZER).symlink_to(tokenizer_folder)
    folder = tmp_path / "tasks" / "mail"
    folder.mkdir(parents=True)
    values = {"name": "mail", "title": "Mail", "answer": "label", "labels": ["ham", "spam"], "system": "Label it."}
    (folder / "task.yaml").write_text(yaml.safe_dump(values))

    def write(
        train: list[Example],
        test: list[Example] | None = None,
        snapshots: list[list[FeedbackRow]] | None = None,
        replay: int = 5,
        **curate: Any,
    ) -> config.Settings:
        files.write_rows(layout.examples("mail") / "train.jsonl", train)
        files.write_rows(layout.examples("mail") / "test.jsonl", test or [])
        files.write_rows(layout.examples("mail") / "skipped.jsonl", [])
        with files.replacing_folder(layout.snapshots("mail")) as into:
            for number, rows in enumerate(snapshots or [], 1):
                files.write_rows(into / f"{number:04}.jsonl", rows)
        nothing_apart = {"replay_rows": 0, "tuning_rows": 0, "tuning_share": 0}
        values = {"task": "mail", "curate": {**nothing_apart, **curate}, "train": {"replay": replay}}
        return config.parse({**values, "model": {"context": 512}})

    return write
