"""Objective distill: a teacher's probabilities and answers, and that the divergence is TRL's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from components import layout
from components.files import sha256_of, write_rows
from components.models import ModelError, load_tokenizer, load_weights, read_manifest, tensor_hash
from components.schema import Message
from components.stage import StageError
from components.tokenizer.bpe import train_tokenizer
from components.training.__main__ import main
from components.training.objectives.distill import answered, divergence
from tests.components.training.conftest import NUMBERS, rows, settings

VERSION = layout.trained("toy")


@pytest.fixture
def teacher(toy: Path) -> Path:
    """The toy's base, taught all rows; the student is given twenty of them."""
    main(settings(method="full", steps=60, lr=0.01))
    folder = toy / "teacher"
    VERSION.rename(folder)
    write_rows(layout.curated("toy") / "train.jsonl", rows(0, 20))
    return folder


def metrics() -> dict[str, float]:
    found: dict[str, float] = json.loads((layout.training("toy") / "metrics.json").read_text())
    return found


def away(folder: Path, teacher: Path) -> float:
    """Mean divergence of a version from the teacher where these rows' answers are; none of them was taught to it."""
    from components.training.batches import encode, in_batches
    from components.training.completion import answer_logits

    tokenizer, total = load_tokenizer(layout.BASE), 0.0
    student, model = load_weights(folder, "float32").eval(), load_weights(teacher, "float32").eval()
    assert isinstance(tokenizer.pad_token_id, int)
    (batch,) = in_batches(encode(tokenizer, rows(30, 20), 64), tokenizer.pad_token_id)
    with torch.no_grad():
        ours, theirs = (answer_logits(each, batch, True) for each in (student, model))
        total = float(divergence(ours, theirs, 0.0, 1.0).mean())
    return total


def test_a_student_with_a_teacher_is_nearer_to_it_on_new_rows_than_one_without(teacher: Path) -> None:
    main(settings(method="full", steps=60, lr=0.01))
    alone = away(VERSION, teacher)
    distilled = settings(method="full", steps=60, lr=0.01, objective="distill", distill={"teacher": str(teacher)})
    main(distilled)
    assert away(VERSION, teacher) < 0.8 * alone
    assert read_manifest(VERSION).created_by["teacher_sha256"] == tensor_hash(teacher)
    lines = (layout.training("toy") / "loss.csv").read_text().splitlines()
    assert lines[0] == "step,loss,cross_entropy,divergence"
    first = sha256_of(VERSION)
    main(distilled)
    assert sha256_of(VERSION) == first


def test_a_teacher_answers_rows_that_nobody_did(teacher: Path) -> None:
    unanswered = [
        row.model_copy(update={"messages": (*row.prompt, Message(role="assistant", content="?"))}) for row in rows()
    ]
    write_rows(layout.curated("toy") / "train.jsonl", unanswered)
    model, tokenizer = load_weights(teacher, "float32").eval(), load_tokenizer(teacher)
    said = answered(model, tokenizer, unanswered, 8)
    assert {one.answer for one in said} <= set(NUMBERS)
    how = {"teacher": str(teacher), "answers": "teacher", "weight": 0.0}
    main(settings(method="full", steps=60, lr=0.01, objective="distill", distill=how, validation_rows=10))
    model = load_weights(VERSION, "float32").eval()
    tried = answered(model, tokenizer, unanswered, 8)
    assert sum(one.answer == truth.answer for one, truth in zip(tried, said, strict=True)) > 40
    assert metrics()["validation_loss"] < 0.5, "of rows kept out, as the teacher answers them"


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.5, 1.0])
def test_the_divergence_is_trls(beta: float) -> None:
    from trl.experimental.gkd import GKDTrainer

    torch.manual_seed(1)
    student, teacher = torch.randn(7, 11) * 3, torch.randn(7, 11) * 3
    ours = divergence(student, teacher, beta, 1.7).mean()
    theirs = GKDTrainer.generalized_jsd_loss(
        student[None], teacher[None], torch.zeros(1, 7, dtype=torch.long), beta=beta, temperature=1.7
    )
    torch.testing.assert_close(ours, theirs)


def test_a_teacher_that_cannot_be_is_refused_in_one_line(toy: Path) -> None:
    with pytest.raises(StageError, match=r"distill needs train\.distill\.teacher"):
        main(settings(objective="distill"))
    with pytest.raises(StageError, match=r"train\.distill\.teacher: there is no folder /nowhere"):
        main(settings(objective="distill", distill={"teacher": "/nowhere"}))
    (toy / "empty").mkdir()
    with pytest.raises(ModelError, match=r"train\.distill\.teacher: .*empty has no config\.json"):
        main(settings(objective="distill", distill={"teacher": "empty"}))
    other = toy / "other"
    load_weights(layout.BASE, "float32").save_pretrained(other)
    train_tokenizer(["quite another text, with other words in it"] * 30, 300, context=64).save_pretrained(other)
    with pytest.raises(StageError, match="has other tokens than the base"):
        main(settings(objective="distill", distill={"teacher": str(other)}))
