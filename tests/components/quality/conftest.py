"""A small project with a real tokenizer, whose data the gate judges."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import config, files, layout
from components.chat import CHAT_TEMPLATE, SPECIAL_TOKENS
from components.schema import Example
from tests.components.curation.conftest import WORDS, example, sentence


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base's folder that holds a byte-level BPE and no weights: the gate only counts tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("base")
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    bpe.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=list(SPECIAL_TOKENS), initial_alphabet=alphabet)
    bpe.train_from_iterator(WORDS, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    (folder / "base.json").write_text(json.dumps({"kind": "local", "location": ".", "sha256": "0" * 64}))
    return folder


Write = Callable[..., config.Settings]
SCHEMA = "from pydantic import BaseModel\n\nclass Note(BaseModel):\n    word: str\n    count: int\n"


def write_project(
    train: list[Example | str],
    test: list[Example] | None = None,
    answer: str = "label",
    sets: dict[str, list[Example]] | None = None,
    **quality: Any,
) -> config.Settings:
    """Write curated rows and evaluation sets of a label (or JSON) task here; returns its settings.

    The rows are made-up words, so no language is checked unless asked for.
    """
    name = {"label": "mail", "json": "notes"}[answer]
    folder = layout.task_folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    task: dict[str, Any] = {"name": name, "title": name, "answer": answer}
    if answer == "label":
        task["labels"] = ["ham", "spam"]
    if answer == "json":
        task["schema"] = "schema.py:Note"
        (folder / "schema.py").write_text(SCHEMA)
    (folder / "task.yaml").write_text(yaml.safe_dump(task))
    lines = [row if isinstance(row, str) else row.model_dump_json() for row in train]
    files.write_text(layout.curated(name) / "train.jsonl", "".join(line + "\n" for line in lines))
    for file in ("replay", "target", "regression"):
        files.write_rows(layout.curated(name) / f"{file}.jsonl", (sets or {}).get(file, []))
    files.write_rows(layout.examples(name) / "test.jsonl", test or [])
    files.write_rows(layout.examples(name) / "train.jsonl", [])
    return config.parse({"task": name, "quality": {"min_rows": 5, "languages": [], **quality}})


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokenizer_folder: Path) -> Write:
    """An empty project folder with a base; `write_project` fills it."""
    monkeypatch.chdir(tmp_path)
    layout.TOKENIZER.parent.mkdir()
    layout.TOKENIZER.symlink_to(tokenizer_folder)
    return write_project


def good(count: int = 10) -> list[Example | str]:
    """Rows that nothing is wrong with."""
    return [example(f"row-{n}", sentence(n), "ham" if n % 2 else "spam") for n in range(count)]
