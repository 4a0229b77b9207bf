"""The fast path answers exactly as the library's own generation does."""

from __future__ import annotations

import math

import pytest
import torch

from components import chat
from components.evaluation.generation import DRAFT_ROWS, answer_losses, generate, load_merged
from components.golden import greedy
from components.models import load_model, load_tokenizer
from tests.components.evaluation import toy
from tests.components.evaluation.conftest import World


@pytest.fixture(scope="module")
def prompts(trained: World) -> list[list[int]]:
    tokenizer = load_tokenizer(trained.base)
    return [chat.prompt_ids(tokenizer, e.prompt) for e in toy.rows(toy.WORDS[:12], range(4))]


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_batched_answers_are_those_of_transformers_generate(
    trained: World, prompts: list[list[int]], batch_size: int
) -> None:
    end = chat.end_of_turn_id(load_tokenizer(trained.base))
    merged = load_merged(trained.base, trained.good)
    with_adapter = load_model(trained.base, trained.good, dtype="float32")
    answers = generate(merged, prompts, end=end, max_new_tokens=24, batch_size=batch_size)
    for prompt, answer in list(zip(prompts, answers, strict=True))[::5]:
        expected = greedy(with_adapter, prompt, end, 24)
        assert answer == [token for token in expected if token != end]


def test_answers_end_at_the_limit_and_a_prompt_without_room_gets_none(trained: World, prompts: list[list[int]]) -> None:
    model = load_merged(trained.base, None)
    short = generate(model, prompts[:3], end=-1, max_new_tokens=5)
    assert [len(a) for a in short] == [5, 5, 5]
    full = [1] * 64
    seen: list[int] = []
    answers = generate(model, [full, prompts[0], [], [1] * 62], end=-1, max_new_tokens=9, progress=seen.append)
    assert [len(a) for a in answers] == [0, 9, 0, 2], "each row has the room that its own prompt leaves"
    assert sum(seen) == 4


def test_drafts_right_wrong_cut_or_missing_change_no_answer(trained: World, prompts: list[list[int]]) -> None:
    end = chat.end_of_turn_id(load_tokenizer(trained.base))
    model = load_merged(trained.base, trained.good)
    for limit in (24, 4):
        plain = generate(model, prompts, end=end, max_new_tokens=limit)
        assert any(plain)
        drafts = []
        for number, answer in enumerate(plain):
            wrong = [*answer[: number % 3], 7, *answer[number % 3 :], end]
            drafts.append([[*answer, end], wrong, answer[:2], [], [end], [*answer, 7, 7, end]][number % 6])
        seen: list[int] = []
        drafted = generate(
            model, prompts, end=end, max_new_tokens=limit, batch_size=5, drafts=drafts, progress=seen.append
        )
        assert drafted == plain
        assert sum(seen) == len(prompts)


def test_where_the_drafts_are_the_answers_nothing_is_generated(trained: World, prompts: list[list[int]]) -> None:
    end = chat.end_of_turn_id(load_tokenizer(trained.base))
    model = load_merged(trained.base, trained.good)
    plain = generate(model, prompts, end=end, max_new_tokens=24)
    passes: list[int] = []
    model.get_decoder().register_forward_hook(lambda *_: passes.append(1))
    generate(model, prompts, end=end, max_new_tokens=24, drafts=[[*answer, end] for answer in plain])
    assert len(passes) == math.ceil(len(prompts) / DRAFT_ROWS)


def test_reference_losses_are_the_plain_cross_entropy_whatever_the_padding(
    trained: World, prompts: list[list[int]]
) -> None:
    model = load_merged(trained.base, None)
    answers = [[5, 9, 11][: 1 + i % 3] for i in range(len(prompts))]
    for (found, count), prompt, answer in zip(
        answer_losses(model, prompts, answers, batch_size=9), prompts, answers, strict=True
    ):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
        expected = torch.nn.functional.cross_entropy(logits, torch.tensor(answer), reduction="sum")
        assert count == len(answer)
        assert found == pytest.approx(float(expected), rel=1e-3, abs=1e-4)
