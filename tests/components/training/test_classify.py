"""Objective `classify`: a label head, its calibration, and the report beside a linear model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from components import chat, golden, label_head, layout
from components.evaluation.__main__ import main as evaluate
from components.evaluation.generation import load_merged
from components.evaluation.report import write_report
from components.files import DataError, sha256_of, write_rows
from components.models import ModelError, check_adapter, load_model, load_tokenizer, read_manifest, tensor_hash
from components.registry.pyfunc import Answers
from components.stage import StageError
from components.training.__main__ import main
from components.training.classifier import Classifier
from tests.components.training.conftest import NUMBERS, rows, settings

VERSION = layout.trained("toy")
HOW: dict[str, Any] = {
    "objective": "classify", "method": "full", "steps": 80, "lr": 0.01, "calibration_share": 0.2
}  # fmt: skip


@pytest.fixture
def labels(toy: Path) -> Path:
    """The toy, as a task with labels."""
    (toy / "tasks/toy/task.yaml").write_text("name: toy\ntitle: Toy\nanswer: label\nsystem: Name it.\n")
    return toy


def test_a_head_learns_the_labels_and_every_later_part_takes_the_version(labels: Path) -> None:
    main(settings(**HOW))
    head, tokenizer = label_head.read(VERSION), load_tokenizer(layout.BASE)
    assert set(head.labels) == set(NUMBERS)
    assert read_manifest(VERSION).adapter_sha256 == tensor_hash(VERSION)
    merged = load_merged(layout.BASE, VERSION)
    assert golden.differences(merged, tokenizer, golden.read(VERSION), head) == []
    assert golden.differences(merged, tokenizer, golden.read(VERSION)) != [], "without its head it is another model"

    asked = rows(count=60)
    scores = label_head.logprobs(merged, head, chat.prompts_ids(tokenizer, [e.prompt for e in asked]))
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(60))
    given = [head.labels[at] for at in scores.argmax(1).tolist()]
    assert sum(a == e.answer for a, e in zip(given, asked, strict=True)) > 50
    assert Answers(layout.BASE, VERSION).predict([e.question for e in asked[:4]]) == given[:4]
    metrics = json.loads((layout.training("toy") / "metrics.json").read_text())
    assert metrics["calibration_rows"] == 12
    assert metrics["calibration_nll"] <= metrics["calibration_nll_before"]
    assert metrics["temperature"] == head.temperature

    before = sha256_of(VERSION)
    _evaluated(labels)
    main(settings(**HOW))
    assert sha256_of(VERSION) == before, "equal inputs, equal files"
    weights = VERSION / label_head.WEIGHTS
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    with pytest.raises(ModelError, match=r"label_head\.safetensors"):
        check_adapter(layout.BASE, VERSION)


def _evaluated(root: Path) -> None:
    """The evaluation of the version, and its page."""
    curated, own = layout.curated("toy"), layout.examples("toy")
    for file in (curated / f"{name}.jsonl" for name in ("target", "regression", "replay", "preferences_heldout")):
        write_rows(file, [])
    write_rows(own / "test.jsonl", rows(start=1000, count=30))
    shutil.copytree(VERSION, layout.adapter("toy"))
    evaluate(settings())
    folder = layout.evaluation("toy")
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["test.exact"] > 0.5
    for name in ("exact", "macro_f1", "ece", "nll"):
        assert metrics[f"test.{name}.baseline"] >= 0
        assert metrics[f"test.{name}"] >= 0
    assert "test.ece.before" not in metrics, "the bare base has no head"
    believed = json.loads((folder / "calibration.json").read_text())
    assert sum(part["rows"] for part in believed["candidate"]["test"]["bins"]) == 30
    page = write_report(root / "reports/toy", "toy", root / "page").read_text()
    assert "linear model on character n-grams" in page
    assert page.count('class="reliability"') == 2


def test_an_adapter_carries_the_head_and_a_turn_goes_on_from_both(labels: Path) -> None:
    wanted = settings(objective="classify", steps=4, start="champion")
    main(wanted)
    head = label_head.read(VERSION)
    for model in (load_model(layout.BASE, VERSION, "float32"), load_merged(layout.BASE, VERSION)):
        assert golden.differences(model, load_tokenizer(layout.BASE), golden.read(VERSION), head) == []
    assert (VERSION / "adapter_model.safetensors").exists()
    (layout.CHAMPION / "none.json").unlink()
    layout.CHAMPION.rmdir()
    VERSION.rename(layout.CHAMPION)
    main(wanted.model_copy(update={"train": wanted.train.model_copy(update={"lr": 1e-9})}))
    torch.testing.assert_close(label_head.read(VERSION).weight, head.weight)


def test_a_head_begins_with_what_the_model_would_write_or_with_the_champions(toy: Path) -> None:
    tokenizer = load_tokenizer(layout.BASE)
    model = Classifier(load_model(layout.BASE, dtype="float32"), ("one", "two", "three"))
    model.begin_as_written(tokenizer)
    prompt = chat.prompt_ids(tokenizer, rows(count=1)[0].prompt)
    first = [ids[0] for ids in chat.answers_ids(tokenizer, ["one", "two", "three"])]
    with torch.no_grad():
        logits = model(torch.tensor([prompt]), torch.tensor([len(prompt) - 1]))[0]
        written = model.policy(input_ids=torch.tensor([prompt])).logits[0, -1, first]
    torch.testing.assert_close(logits, written)
    champions = label_head.LabelHead(("three", "one"), torch.randn(2, 32), torch.randn(2))
    model.begin_at(champions)
    assert torch.equal(model.label_head.weight[2], champions.weight[0])
    assert torch.equal(model.label_head.bias[[0, 2]], champions.bias[[1, 0]])
    with pytest.raises(StageError, match="of another base"):
        model.begin_at(label_head.LabelHead(("three", "one"), torch.randn(2, 8), torch.randn(2)))


def test_what_cannot_be_classified_is_refused_in_words(toy: Path) -> None:
    with pytest.raises(StageError, match=r"task\.yaml says `answer: text`: use objective sft"):
        main(settings(**HOW))
    described = "name: toy\ntitle: Toy\nanswer: label\nlabels: [one, two, three, four]\n"
    (toy / "tasks/toy/task.yaml").write_text(described)
    with pytest.raises(DataError, match=r"example row-4: 'five' is none of the task's labels \(one, two, three"):
        main(settings(**HOW))
    (toy / "tasks/toy/task.yaml").write_text("name: toy\ntitle: Toy\nanswer: label\n")
    write_rows(layout.curated("toy") / "train.jsonl", [row for row in rows() if row.answer == "one"])
    with pytest.raises(StageError, match=r"at least two labels; this task has one"):
        main(settings(**HOW))
