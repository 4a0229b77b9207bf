"""Golden prompts prove that what serves is what was trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from components import golden
from components.config import PretrainSettings
from components.models import ModelError
from components.pretraining.llama import new_llama
from components.schema import Message
from components.tokenizer.bpe import train_tokenizer

PROMPT = (Message(role="user", content="my head hurts"),)


@pytest.fixture(scope="module")
def tokenizer():  # type: ignore[no-untyped-def]
    return train_tokenizer(["my head hurts since yesterday"] * 9, 300, context=64)


@pytest.fixture(scope="module")
def model(tokenizer) -> torch.nn.Module:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    return new_llama(PretrainSettings(hidden_size=32, layers=1, heads=2), 64, tokenizer).eval()


def test_logprobs_are_those_of_a_plain_forward_pass(model, tokenizer) -> None:  # type: ignore[no-untyped-def]
    made = golden.make(model, tokenizer, PROMPT, max_new_tokens=5)
    ids = [*made.prompt_ids, *made.answer_ids]
    with torch.no_grad():
        every = torch.log_softmax(model(torch.tensor([ids])).logits[0], dim=-1)
    expected = [every[len(made.prompt_ids) - 1 + at, token].item() for at, token in enumerate(made.answer_ids)]
    assert made.logprobs == pytest.approx(expected, abs=1e-5)
    assert made.answer_ids[0] == int(every[len(made.prompt_ids) - 1].argmax()), "the answer is greedy"


def test_the_same_model_shows_no_difference_and_survives_the_file(model, tokenizer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    golden.write(tmp_path, [golden.make(model, tokenizer, PROMPT, max_new_tokens=5)])
    assert golden.differences(model, tokenizer, golden.read(tmp_path)) == []


def test_other_weights_and_another_template_are_each_told(model, tokenizer) -> None:  # type: ignore[no-untyped-def]
    made = golden.make(model, tokenizer, PROMPT, max_new_tokens=5)
    torch.manual_seed(1)
    other = new_llama(PretrainSettings(hidden_size=32, layers=1, heads=2), 64, tokenizer).eval()
    (line,) = golden.differences(other, tokenizer, [made])
    assert "a log-probability differs" in line
    changed = train_tokenizer(["my head hurts since yesterday"] * 9, 300, context=64)
    changed.chat_template = str(changed.chat_template).replace("assistant", "helper")
    (line,) = golden.differences(model, changed, [made])
    assert "other token ids are rendered" in line


@pytest.mark.parametrize("content", ["", "{}", '{"prompts": [{"answer": 1}]}'])
def test_a_damaged_file_is_told_from_a_missing_one(content: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is missing"):
        golden.read(tmp_path)
    (tmp_path / golden.FILE).write_text(content)
    with pytest.raises(ModelError, match="is damaged"):
        golden.read(tmp_path)
