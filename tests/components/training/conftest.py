"""A toy task with a toy base: a one-layer Llama of hidden size 32, in a working directory of its own."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from components import chat, config, layout
from components.files import write_json, write_rows
from components.models import BaseReference, tensor_hash
from components.pretraining.llama import new_llama
from components.schema import Example, Message
from components.tokenizer.bpe import train_tokenizer

PARAMS: dict[str, Any] = {
    "task": "toy",
    "seed": 3,
    "threads": 1,
    "model": {"context": 64},
    "pretrain": {"hidden_size": 32, "layers": 2, "heads": 2},
    "instruct": {"steps": 10, "batch_size": 8},
    "train": {"steps": 10, "batch_size": 8, "golden_prompts": 3, "lora": {"r": 4, "alpha": 8}},
}
NUMBERS = ("one", "two", "three", "four", "five")


def rows(start: int = 0, count: int = 60) -> list[Example]:
    """Questions whose answer names their number."""
    return [
        Example(
            id=f"row-{n}",
            messages=(
                Message(role="system", content="Name it."),
                Message(role="user", content=f"{'please ' * (n % 4)}which is number {n % 5 + 1} of {n}?"),
                Message(role="assistant", content=NUMBERS[n % 5]),
            ),
        )
        for n in range(start, start + count)
    ]


@pytest.fixture(scope="session")
def toy_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that every test starts from."""
    root = tmp_path_factory.mktemp("toy")
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    (root / "tasks/toy").mkdir(parents=True)
    (root / "tasks/toy/task.yaml").write_text("name: toy\ntitle: Toy\nanswer: text\nsystem: Name it.\n")
    write_rows(root / layout.curated("toy") / "train.jsonl", rows())
    write_rows(root / layout.CORPUS / "instruct.jsonl", rows())
    (root / layout.CHAMPION).mkdir(parents=True)
    write_json(root / layout.CHAMPION / "none.json", {})
    tokenizer = train_tokenizer([m.content for row in rows() for m in row.messages], 320, context=64)
    torch.manual_seed(0)
    model = new_llama(config.parse(PARAMS).pretrain, 64, tokenizer)
    for folder in (root / layout.PRETRAINED, root / layout.BASE):
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    base = BaseReference(kind="local", location=".", sha256=tensor_hash(root / layout.BASE))
    write_json(root / layout.BASE / "base.json", base)
    assert tokenizer.chat_template == chat.CHAT_TEMPLATE
    return root


@pytest.fixture
def toy(toy_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory as the stages find it."""
    root = tmp_path / "toy"
    shutil.copytree(toy_template, root)
    monkeypatch.chdir(root)
    for module in [name for name in sys.modules if name.startswith("tasks.toy.")]:
        monkeypatch.delitem(sys.modules, module)  # of the test before, whose folder was another
    return root


def settings(**train: Any) -> config.Settings:
    """The toy's parameters with other values for section `train`."""
    return config.parse(PARAMS | {"train": PARAMS["train"] | train})
