"""Parts answered by several processes are answered as by one."""

from __future__ import annotations

import os
import signal
import sys

import pytest
from transformers import PreTrainedModel

from components import chat
from components.evaluation import parts
from components.evaluation.generation import generate, load_merged
from components.evaluation.parts import How, answered, divided
from components.models import load_tokenizer
from components.stage import StageError
from tests.components.evaluation import toy
from tests.components.evaluation.conftest import World

forks = pytest.mark.skipif(sys.platform != "linux", reason="only where processes can be forked")


@pytest.fixture(scope="module")
def model(trained: World) -> PreTrainedModel:
    return load_merged(trained.base, trained.good)


@pytest.fixture(scope="module")
def asked(trained: World) -> tuple[list[list[int]], list[list[int]], How]:
    tokenizer = load_tokenizer(trained.base)
    examples = toy.rows(toy.WORDS[:12], range(4))
    prompts = [chat.prompt_ids(tokenizer, e.prompt) for e in examples]
    drafts = [chat.answer_ids(tokenizer, e.answer) for e in examples]
    return prompts, drafts, How(chat.end_of_turn_id(tokenizer), max_new_tokens=24, batch_size=8)


@pytest.mark.parametrize("threads", [1, 2])
def test_every_prompt_is_answered_once_and_as_by_generate(
    model: PreTrainedModel, asked: tuple[list[list[int]], list[list[int]], How], threads: int
) -> None:
    prompts, drafts, how = asked
    made = divided(prompts, drafts, 10)
    assert max(len(part.prompts) for part in made) == 10
    assert sorted(map(tuple, prompts)) == sorted(tuple(prompt) for part in made for prompt in part.prompts)
    pid = os.getpid()
    answers = {
        tuple(prompt): answer
        for part, given in answered(model, made, how, threads)
        for prompt, answer in zip(part.prompts, given, strict=True)
    }
    assert os.getpid() == pid
    expected = generate(model, prompts, end=how.end, max_new_tokens=24)
    assert [answers[tuple(prompt)] for prompt in prompts] == expected


@forks
def test_a_killed_process_is_one_clear_line(
    model: PreTrainedModel, asked: tuple[list[list[int]], list[list[int]], How], monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts, drafts, how = asked

    def killed(*_: object, **__: object) -> list[list[int]]:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    monkeypatch.setattr(parts, "generate", killed)
    with pytest.raises(StageError, match="was killed: run it again"):
        list(answered(model, divided(prompts, drafts, 10), how, 2))
