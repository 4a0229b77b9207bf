"""The engine against plain transformers, one request at a time without any cache."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from components import chat, golden
from components import models as base_models
from components.models import ModelError
from components.schema import Message
from serving.engine.grammar import GrammarError, json_grammar
from serving.engine.interface import (
    DeadlineExceeded,
    Delta,
    EngineError,
    Event,
    Finished,
    QueueFull,
    Request,
    Sampling,
    Stopping,
    Unloaded,
)
from serving.engine.torch_engine import TorchEngine
from tests.serving import models

TEXTS = ["hello", "My knee hurts when I walk and it has for long", "a", "the quick brown fox", "x " * 30]


@pytest.fixture(scope="module")
def engine(base: Path, version_1: Path, version_2: Path) -> Iterator[TorchEngine]:
    engine = TorchEngine(base, max_batch=8, max_queue=1000, context=256)
    engine.load("merged", version_1, merged=True)
    engine.load("1", version_1, merged=False)
    engine.load("2", version_2, merged=False)
    yield engine
    engine.close(5)


@pytest.fixture(scope="module")
def references(base: Path, version_1: Path, version_2: Path) -> dict[str, Any]:
    one = models.load_reference(base, version_1)
    return {
        "base": models.load_reference(base, None),
        "1": one,
        "merged": one,
        "2": models.load_reference(base, version_2),
    }


@pytest.fixture(scope="module")
def prompts(base: Path) -> list[list[int]]:
    tokenizer = base_models.load_tokenizer(base)
    return [chat.prompt_ids(tokenizer, [Message(role="user", content=text)]) for text in TEXTS]


class Asked:
    """One request and what came back."""

    def __init__(self, engine: TorchEngine, model: str, prompt: list[int], *, stream: bool = False, **how: Any) -> None:
        self.events: queue.Queue[Event] = queue.Queue()
        deadline = how.pop("deadline", None)
        sampling = Sampling(**{"max_tokens": 20, "temperature": 0.0, **how})
        self.request = Request(
            "test", model, tuple(prompt), sampling, self.events.put, stream=stream, deadline=deadline
        )
        engine.submit(self.request)

    def finish(self) -> tuple[Finished, list[Delta]]:
        deltas: list[Delta] = []
        while True:
            event = self.events.get(timeout=60)
            if isinstance(event, Finished):
                return event, deltas
            deltas.append(event)

    @property
    def text(self) -> str:
        end, _ = self.finish()
        assert end.error is None, end.error
        return end.text


def test_greedy_answers_of_a_mixed_batch_are_those_of_plain_transformers(
    engine: TorchEngine, references: dict[str, Any], prompts: list[list[int]]
) -> None:
    asked = []
    for round_ in range(3):
        for model in references:
            for prompt in prompts:
                asked.append((model, prompt, Asked(engine, model, prompt, max_tokens=5 + 7 * round_)))
        time.sleep(0.01)  # so that rows join a batch that is under way
    end_ids = {chat.end_of_turn_id(base_models.load_tokenizer(engine.base)), 0}
    for model, prompt, one in asked:
        answer, _ = one.finish()
        assert answer.error is None
        expected = models.greedy(references[model], prompt, len(answer.ids), end_ids)
        assert list(answer.ids) == expected, model


def test_the_same_seed_gives_the_same_text_alone_and_in_a_crowd(engine: TorchEngine, prompts: list[list[int]]) -> None:
    how = {"temperature": 1.0, "top_p": 0.95, "seed": 42, "max_tokens": 30}
    alone = Asked(engine, "merged", prompts[0], **how).text
    crowd = [Asked(engine, "merged", prompt, temperature=1.5, max_tokens=40) for prompt in prompts]
    again = Asked(engine, "merged", prompts[0], **how).text
    other = Asked(engine, "merged", prompts[0], **{**how, "seed": 43}).text
    for one in crowd:
        one.finish()
    assert alone == again
    assert alone != other


def test_streamed_pieces_are_the_whole_text(engine: TorchEngine, prompts: list[list[int]]) -> None:
    for seed in range(8):
        how = {"temperature": 1.0, "seed": seed, "max_tokens": 40}
        whole = Asked(engine, "merged", prompts[1], **how).text
        end, deltas = Asked(engine, "merged", prompts[1], stream=True, **how).finish()
        assert "".join(delta.text for delta in deltas) == end.text == whole


def test_a_stop_string_ends_the_answer_and_is_no_part_of_it(engine: TorchEngine, prompts: list[list[int]]) -> None:
    whole = Asked(engine, "merged", prompts[0], max_tokens=30).text
    stop = whole[6:9]
    end, deltas = Asked(engine, "merged", prompts[0], max_tokens=30, stop=(stop,), stream=True).finish()
    assert end.text == whole[: whole.index(stop)]
    assert end.reason == "stop"
    assert "".join(delta.text for delta in deltas) == end.text


def test_a_penalty_of_two_stops_a_loop(engine: TorchEngine, prompts: list[list[int]]) -> None:
    token = Asked(engine, "merged", prompts[0], max_tokens=1).finish()[0].ids[0]
    forced = {"logit_bias": {token: 25.0}, "max_tokens": 40}
    looping = Asked(engine, "merged", prompts[0], **forced).finish()[0].ids
    assert set(looping) == {token}
    penalised = Asked(engine, "merged", prompts[0], frequency_penalty=2.0, **forced).finish()[0].ids
    assert penalised.count(token) < len(penalised)


def test_a_bias_of_minus_100_bans_a_token(engine: TorchEngine, prompts: list[list[int]]) -> None:
    first = Asked(engine, "1", prompts[0], max_tokens=1).finish()[0].ids[0]
    assert Asked(engine, "1", prompts[0], max_tokens=1, logit_bias={first: -100.0}).finish()[0].ids[0] != first


def test_logprobs_are_those_of_one_plain_forward_pass(
    engine: TorchEngine, references: dict[str, Any], prompts: list[list[int]]
) -> None:
    for model in ("merged", "2"):
        answer, _ = Asked(engine, model, prompts[1], max_tokens=12, top_logprobs=3).finish()
        kept = [token.id for token in answer.tokens]
        expected = golden.logprobs(references[model], prompts[1], kept)
        assert [token.logprob for token in answer.tokens] == pytest.approx(expected, abs=1e-3)
        assert all(token.top[0][1] >= (token.logprob or 0) - 1e-6 for token in answer.tokens)


def test_a_prompt_is_scored_without_generating(
    engine: TorchEngine, references: dict[str, Any], prompts: list[list[int]]
) -> None:
    answer, _ = Asked(engine, "2", prompts[1], max_tokens=0, prompt_logprobs=True).finish()
    assert answer.ids == ()
    scores = [token.logprob for token in answer.prompt_tokens]
    assert scores[0] is None
    assert scores[1:] == pytest.approx(golden.logprobs(references["2"], prompts[1][:1], prompts[1][1:]), abs=1e-3)


def test_json_follows_its_schema_whatever_the_model_wants_to_say(engine: TorchEngine, prompts: list[list[int]]) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"enum": ["x", "yes", "no"]}, "n": {"type": "integer", "minimum": 0, "maximum": 10}},
        "required": ["a", "n"],
        "additionalProperties": False,
    }
    grammar = json_grammar(json.dumps(schema))
    asked = [
        Asked(engine, model, prompts[0], temperature=2.0, seed=seed, max_tokens=60, grammar=grammar)
        for seed in range(6)
        for model in ("base", "1", "merged")
    ]
    for one in asked:
        end, _ = one.finish()
        assert end.reason == "stop"
        jsonschema.validate(json.loads(end.text), schema)


def test_a_schema_that_is_none_is_refused() -> None:
    with pytest.raises(GrammarError, match="nope"):
        json_grammar('{"type": "nope"}')


def test_a_full_queue_refuses_with_a_time_to_come_back(base: Path, prompts: list[list[int]]) -> None:
    engine = TorchEngine(base, max_batch=1, max_queue=2, context=256)
    try:
        with pytest.raises(QueueFull) as refused:
            for _ in range(50):
                Asked(engine, "base", prompts[0], max_tokens=200)
        assert refused.value.retry_after >= 1
    finally:
        engine.close(0.1)


def test_a_deadline_ends_a_request_with_its_own_error(engine: TorchEngine, prompts: list[list[int]]) -> None:
    end, _ = Asked(engine, "1", prompts[0], max_tokens=200, deadline=time.monotonic() - 1).finish()
    assert isinstance(end.error, DeadlineExceeded)


def test_a_cancelled_request_leaves_the_batch(engine: TorchEngine, prompts: list[list[int]]) -> None:
    one = Asked(engine, "2", prompts[4], max_tokens=180, stream=True, logit_bias={0: -100.0, 2: -100.0})
    one.events.get(timeout=30)
    one.request.cancelled = True
    end, _ = one.finish()
    assert end.reason == "cancelled"
    assert len(end.ids) < 180


def test_versions_come_and_go_under_load_without_a_failed_request(
    base: Path, version_1: Path, version_2: Path, prompts: list[list[int]], references: dict[str, Any]
) -> None:
    engine = TorchEngine(base, max_batch=8, max_queue=1000, context=256)
    stop, failures, answers = threading.Event(), [], []

    def ask() -> None:
        while not stop.is_set():
            end, _ = Asked(engine, "base", prompts[3], max_tokens=10).finish()
            answers.append(end.ids)
            if end.error:
                failures.append(end.error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for merged in (False, True, False):
        engine.load("a", version_1, merged=merged)
        engine.load("b", version_2, merged=False)
        running = Asked(engine, "a", prompts[0], max_tokens=30)
        engine.unload("a")
        with pytest.raises(Unloaded):
            Asked(engine, "a", prompts[0])
        engine.unload("b")
        assert running.finish()[0].error is None
        while set(engine.loaded()) != {"base"} or "a" in engine.state().rows_by_model:
            time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    engine.close(5)
    assert not failures
    assert len(set(answers)) == 1


def test_a_fully_tuned_version_is_served_as_its_own_model(base: Path, tmp_path: Path, prompts: list[list[int]]) -> None:
    version = models.make_full_version(tmp_path / "full", base, seed=3)
    engine = TorchEngine(base, max_batch=4, max_queue=10, context=256)
    engine.load("full", version)
    reference = base_models.load_model(base, version)
    end, _ = Asked(engine, "full", prompts[0], max_tokens=10).finish()
    assert list(end.ids) == models.greedy(reference, prompts[0], len(end.ids), {0, 2})
    engine.close(5)


def test_a_damaged_or_foreign_version_is_refused_and_the_rest_goes_on(
    base: Path, version_1: Path, tmp_path: Path, engine: TorchEngine, prompts: list[list[int]]
) -> None:
    damaged = models.copy_version(version_1, tmp_path / "damaged")
    weights = damaged / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-8] ^= 0xFF
    weights.write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        engine.load("damaged", damaged)
    with pytest.raises(ModelError, match="manifest"):
        engine.load("empty", tmp_path / "nothing")
    assert Asked(engine, "merged", prompts[0], max_tokens=3).finish()[0].error is None


def test_a_model_that_fails_fails_its_requests_and_not_the_engine(base: Path, prompts: list[list[int]]) -> None:
    engine = TorchEngine(base, max_batch=4, max_queue=10, context=256)
    end, _ = Asked(engine, "base", [10**9]).finish()
    assert end.error is not None
    assert Asked(engine, "base", prompts[0], max_tokens=3).finish()[0].error is None
    engine.close(5)
    with pytest.raises(Stopping):
        Asked(engine, "base", prompts[0])


def test_closing_finishes_what_runs(base: Path, prompts: list[list[int]]) -> None:
    engine = TorchEngine(base, max_batch=2, max_queue=10, context=256)
    asked = [Asked(engine, "base", prompt, max_tokens=20) for prompt in prompts]
    engine.close(30)
    assert all(one.finish()[0].reason in ("stop", "length") for one in asked)


def test_the_base_cannot_be_unloaded(engine: TorchEngine) -> None:
    with pytest.raises(EngineError, match="base"):
        engine.unload("base")
