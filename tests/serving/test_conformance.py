"""One behaviour, four engines: what each must do alike, and what one of them cannot do and refuses by name."""

from __future__ import annotations

import json
import os
import queue
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

from components import chat, config, golden
from components import models as base_models
from components.schema import Message
from serving.engine.auto_engine import AutoEngine
from serving.engine.grammar import json_grammar
from serving.engine.interface import (
    DeadlineExceeded,
    Delta,
    Engine,
    Event,
    Finished,
    QueueFull,
    Request,
    Sampling,
    Stopping,
    Unloaded,
    Unsupported,
)
from serving.engine.make import EngineMaker
from serving.engine.torch_engine import TorchEngine, load_merged
from tests.serving import models
from tests.serving.live import Live

TEXTS = ["My head hurts.", "the quick brown fox", "a", "My knee hurts when I walk and it has for long"]
KINDS = ["torch", "openvino", "auto", "upstream"]
REFUSES = {
    "openvino": {
        "frequency_penalty": {"frequency_penalty": 1.0},
        "presence_penalty": {"presence_penalty": -1.0},
        "logit_bias": {"logit_bias": {5: 3.0}},
        "logprobs": {"top_logprobs": 2},
        "echo": {"prompt_logprobs": True},
        "temperature": {"temperature": 1e-4},
        "top_p": {"grammar": json_grammar('{"type": "object"}'), "temperature": 1.0, "top_p": 0.5},
    },
    "upstream": {"response_format": {"grammar": json_grammar('{"type": "object"}')}},
}
"""Kind → parameter → a request with it that this engine must refuse."""


@dataclass
class Subject:
    """An engine under test and what it must agree with."""

    kind: str
    engine: Engine
    reference: Any
    """The version by plain transformers; with the f16 weights that openvino computes with, where it answers."""


@pytest.fixture(scope="module")
def build(base: Path, version_1: Path, live: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Makes an engine of a kind with version 1 loaded; all are closed at the end."""
    made: list[Engine] = []
    home = tmp_path_factory.mktemp("home")

    def make(kind: str, version: Path = version_1, name: str = "1", **serving: Any) -> Engine:
        upstream = {"base_url": f"{live.url}/v1"}
        values = {"engine": kind, "prefix_cache_mb": 8, "upstream": upstream, **serving}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SAQIA_HOME", str(home))
            engine = EngineMaker(config.parse({"threads": 1, "serving": values}))(base)
        made.append(engine)
        engine.load(name, version)
        return engine

    yield make
    for engine in made:
        engine.close(1)


@pytest.fixture(scope="module", params=KINDS)
def subject(request: pytest.FixtureRequest, build: Callable[..., Engine], base: Path, version_1: Path) -> Subject:
    reference: Any = load_merged(base, version_1)
    if request.param in ("openvino", "auto"):
        for parameter in reference.parameters():
            if parameter.ndim > 1:
                parameter.data = parameter.data.half().float()
    return Subject(request.param, build(request.param), reference)


@pytest.fixture(scope="module")
def tokenizer(base: Path) -> Any:
    return base_models.load_tokenizer(base)


def conversation(text: str) -> tuple[Message, ...]:
    return (Message(role="system", content=models.SYSTEM), Message(role="user", content=text))


class Asked:
    """One request and what came back."""

    def __init__(self, engine: Engine, tokenizer: Any, text: str, *, stream: bool = False, **how: Any) -> None:
        self.events: queue.Queue[Event] = queue.Queue()
        messages = conversation(text)
        deadline, model = how.pop("deadline", None), how.pop("model", "1")
        self.prompt = chat.prompt_ids(tokenizer, messages)
        sampling = Sampling(**{"max_tokens": 20, "temperature": 0.0, **how})
        self.request = Request(
            "test", model, tuple(self.prompt), sampling, self.events.put, messages, stream=stream, deadline=deadline
        )
        engine.submit(self.request)

    def finish(self) -> tuple[Finished, list[Delta]]:
        deltas: list[Delta] = []
        while True:
            event = self.events.get(timeout=60)
            if isinstance(event, Finished):
                assert event.error is None or deltas == [] or event.reason == "error"
                return event, deltas
            deltas.append(event)

    @property
    def text(self) -> str:
        end, _ = self.finish()
        assert end.error is None, end.error
        return end.text


def greedily(reference: Any, tokenizer: Any, prompt: list[int], tokens: int) -> str:
    """The slow, obvious reference."""
    return str(tokenizer.decode(models.greedy(reference, prompt, tokens, {0, 2}), skip_special_tokens=True))


def test_greedy_answers_are_those_of_plain_transformers(subject: Subject, tokenizer: Any) -> None:
    for _ in range(3):  # the second and third time, their beginnings are known
        asked = [Asked(subject.engine, tokenizer, text) for text in TEXTS]
        for one in asked:
            assert one.text == greedily(subject.reference, tokenizer, one.prompt, 20)


def test_tokens_are_counted(subject: Subject, tokenizer: Any) -> None:
    one = Asked(subject.engine, tokenizer, TEXTS[0], max_tokens=7)
    end, _ = one.finish()
    assert (one.request.prompt_tokens, len(end.ids), end.reason) == (len(one.prompt), 7, "length")


def test_streamed_pieces_are_the_whole_text(subject: Subject, tokenizer: Any) -> None:
    for seed in range(4):
        how = {"temperature": 1.0, "seed": seed, "max_tokens": 40}
        whole = Asked(subject.engine, tokenizer, TEXTS[1], **how).text
        end, deltas = Asked(subject.engine, tokenizer, TEXTS[1], stream=True, **how).finish()
        assert "".join(delta.text for delta in deltas) == end.text == whole


def test_a_stop_string_ends_the_answer_and_is_no_part_of_it(subject: Subject, tokenizer: Any) -> None:
    whole = Asked(subject.engine, tokenizer, TEXTS[0], max_tokens=30).text
    for stop in (whole[6:9], whole[3:11]):
        how = {"max_tokens": 30, "stop": (stop, "never said"), "stream": True}
        end, deltas = Asked(subject.engine, tokenizer, TEXTS[0], **how).finish()
        assert end.text == whole[: whole.index(stop)]
        assert end.reason == "stop"
        assert "".join(delta.text for delta in deltas) == end.text


def test_the_same_seed_gives_the_same_text_alone_and_in_a_crowd(subject: Subject, tokenizer: Any) -> None:
    how = {"temperature": 1.0, "top_p": 0.95, "seed": 42, "max_tokens": 30}
    alone = Asked(subject.engine, tokenizer, TEXTS[0], **how).text
    crowd = [Asked(subject.engine, tokenizer, text, temperature=1.5, seed=7, max_tokens=40) for text in TEXTS]
    again = Asked(subject.engine, tokenizer, TEXTS[0], **how).text
    other = Asked(subject.engine, tokenizer, TEXTS[0], **{**how, "seed": 42 + 2**32}).text
    for one in crowd:
        assert one.text
    assert alone == again
    assert alone != other


def test_a_nucleus_of_nothing_is_the_likeliest_token(subject: Subject, tokenizer: Any) -> None:
    drawn = Asked(subject.engine, tokenizer, TEXTS[0], temperature=2.0, top_p=0.0, seed=1).text
    assert drawn == Asked(subject.engine, tokenizer, TEXTS[0]).text


def test_penalties_are_openais_formula(subject: Subject, tokenizer: Any, base: Path, version_1: Path) -> None:
    if subject.kind == "openvino":
        pytest.skip("refused: see the test of refusals")
    exact = load_merged(base, version_1)  # auto answers these by torch, in full precision
    for frequency, presence in ((0.7, 0.0), (0.0, 1.5), (-0.5, 0.5)):
        one = Asked(
            subject.engine, tokenizer, TEXTS[0], frequency_penalty=frequency, presence_penalty=presence, max_tokens=24
        )
        assert one.text == tokenizer.decode(penalised(exact, one.prompt, 24, frequency, presence))


def penalised(model: Any, prompt: list[int], tokens: int, frequency: float, presence: float) -> list[int]:
    """mu[j] - c[j] * frequency - (c[j] > 0) * presence, token by token."""
    answer: list[int] = []
    with torch.no_grad():
        for _ in range(tokens):
            logits = model(input_ids=torch.tensor([prompt + answer])).logits[0, -1]
            for token in set(answer):
                logits[token] -= answer.count(token) * frequency + presence
            answer.append(int(logits.argmax()))
    return answer


def test_logprobs_are_those_of_one_plain_forward_pass(
    subject: Subject, tokenizer: Any, base: Path, version_1: Path
) -> None:
    if subject.kind == "openvino":
        pytest.skip("refused: see the test of refusals")
    one = Asked(subject.engine, tokenizer, TEXTS[3], max_tokens=12, top_logprobs=3)
    end, _ = one.finish()
    ids = [models_id(tokenizer, token.id) for token in end.tokens]
    expected = golden.logprobs(load_merged(base, version_1), one.prompt, ids)
    assert [token.logprob for token in end.tokens] == pytest.approx(expected, abs=1e-3)
    assert all(len(token.top) == 3 and token.top[0][1] >= (token.logprob or 0) - 1e-6 for token in end.tokens)


def models_id(tokenizer: Any, token: int | bytes) -> int:
    """A token's id; an upstream server told only its bytes."""
    if isinstance(token, int):
        return token
    from serving.api.logprobs import token_bytes

    return next(id for id in range(len(tokenizer)) if token_bytes(tokenizer, id) == token)


def test_json_follows_its_schema_whatever_the_model_wants_to_say(subject: Subject, tokenizer: Any) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"enum": ["x", "yes", "no"]}, "n": {"type": "integer", "minimum": 0, "maximum": 10}},
        "required": ["a", "n"],
        "additionalProperties": False,
    }
    text = json.dumps(schema)
    how: dict[str, Any] = {"grammar": json_grammar(text), "schema": text, "max_tokens": 60}
    asked = [Asked(subject.engine, tokenizer, TEXTS[0], temperature=2.0, seed=seed, **how) for seed in range(5)]
    asked.append(Asked(subject.engine, tokenizer, TEXTS[0], stream=True, **how))
    for one in asked:
        end, deltas = one.finish()
        assert end.reason == "stop"
        assert "".join(delta.text for delta in deltas) in ("", end.text)
        jsonschema.validate(json.loads(end.text), schema)


def test_what_an_engine_cannot_do_it_refuses_by_name(subject: Subject, tokenizer: Any) -> None:
    for param, how in REFUSES.get(subject.kind, {}).items():
        with pytest.raises(Unsupported, match=f"{subject.kind} cannot") as refused:
            Asked(subject.engine, tokenizer, TEXTS[0], **how)
        assert refused.value.param == param


def test_a_cancelled_request_leaves_and_frees_its_place(subject: Subject, tokenizer: Any) -> None:
    one = Asked(subject.engine, tokenizer, TEXTS[1], max_tokens=180, temperature=2.0, seed=1, stream=True)
    one.events.get(timeout=30)
    one.request.cancelled = True
    end, _ = one.finish()
    assert end.reason == "cancelled"
    assert len(end.ids) < 180
    Live.until(lambda: subject.engine.state().running == 0)


def test_a_deadline_ends_a_request_with_its_own_error(subject: Subject, tokenizer: Any) -> None:
    end, _ = Asked(subject.engine, tokenizer, TEXTS[0], max_tokens=150, deadline=time.monotonic() - 1).finish()
    assert isinstance(end.error, DeadlineExceeded)
    assert Asked(subject.engine, tokenizer, TEXTS[0]).text


def test_a_version_that_is_not_loaded_is_refused(subject: Subject, tokenizer: Any) -> None:
    with pytest.raises(Unloaded):
        Asked(subject.engine, tokenizer, TEXTS[0], model="99")


def test_golden_prompts_are_proven(subject: Subject, version_1: Path) -> None:
    parity = subject.engine.prove("1", golden.read(version_1), 60)
    assert parity.holds, parity.problem
    assert parity.prompts == 2


@pytest.mark.parametrize("kind", ["torch", "openvino", "upstream"])
def test_a_full_queue_refuses_with_a_time_to_come_back_and_closing_finishes_what_runs(
    build: Callable[..., Engine], tokenizer: Any, kind: str
) -> None:
    engine = build(kind, max_batch=1, max_queue=2)
    asked: list[Asked] = []
    with pytest.raises(QueueFull) as refused:
        for _ in range(200):
            asked.append(Asked(engine, tokenizer, TEXTS[0], max_tokens=120))
    assert refused.value.retry_after >= 1
    engine.close(60)
    assert {one.finish()[0].reason for one in asked} <= {"stop", "length"}
    with pytest.raises((Stopping, Unloaded)):
        Asked(engine, tokenizer, TEXTS[0])


def test_where_its_process_dies_the_answer_goes_on_readiness_says_so_and_another_one_takes_its_place(
    build: Callable[..., Engine], tokenizer: Any
) -> None:
    engine = build("auto")
    assert isinstance(engine, AutoEngine)
    assert engine.answers_by("1").startswith("openvino")
    one = Asked(engine, tokenizer, TEXTS[0], max_tokens=150, temperature=2.0, seed=5, stream=True)
    one.events.get(timeout=30)
    os.kill(engine.fast.pipeline("1").pid, signal.SIGKILL)
    end, _ = one.finish()
    assert (end.reason in ("stop", "length"), end.error) == (True, None)
    Live.until(lambda: "died" in engine.answers_by("1"))
    dead = engine.fast.pipeline("1").pid
    by_torch = Asked(engine, tokenizer, TEXTS[0]).text
    assert by_torch
    Live.until(lambda: engine.fast.serves("1"))
    assert engine.fast.pipeline("1").pid != dead
    assert engine.answers_by("1").startswith("openvino")
    assert Asked(engine, tokenizer, TEXTS[0]).text == by_torch


def test_an_answer_that_nobody_watches_is_told_in_two_pieces_and_is_the_same(
    build: Callable[..., Engine], tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = build("openvino")
    assert isinstance(engine, AutoEngine)
    pipeline = engine.fast.pipeline("1")
    told: list[int] = []
    heard = pipeline._heard

    def counted(message: dict[str, Any]) -> None:
        told.extend(len(tokens) for _, tokens, _ in message["tokens"])
        heard(message)

    monkeypatch.setattr(pipeline, "_heard", counted)
    how: dict[str, Any] = {"max_tokens": 40, "temperature": 1.5, "seed": 3}
    whole, _ = Asked(engine, tokenizer, TEXTS[0], **how).finish()
    pieces, told[:] = list(told), []
    streamed, _ = Asked(engine, tokenizer, TEXTS[0], stream=True, **how).finish()
    assert (whole.text, whole.ids, whole.reason) == (streamed.text, streamed.ids, streamed.reason)
    assert len(whole.ids) > 3, "this seed's answer is too short to tell"
    assert [count for count in pieces if count] == [1, len(whole.ids) - 1]
    assert len(told) > 2


def test_a_version_that_leaves_finishes_its_answers_even_where_torch_must_go_on_with_them(
    build: Callable[..., Engine], tokenizer: Any
) -> None:
    engine = build("auto")
    text = json.dumps(models.SCHEMA)
    how: dict[str, Any] = {"grammar": json_grammar(text), "schema": text, "max_tokens": 60, "temperature": 1.0}
    asked = [Asked(engine, tokenizer, TEXTS[seed % 4], seed=seed, **how) for seed in range(12)]
    engine.unload("1")
    with pytest.raises(Unloaded):
        Asked(engine, tokenizer, TEXTS[0])
    assert {one.finish()[0].error for one in asked} == {None}
    Live.until(lambda: "1" not in engine.state().rows_by_model)


def test_a_version_that_openvino_would_answer_otherwise_is_answered_by_torch(
    build: Callable[..., Engine], tokenizer: Any, version_1: Path, base: Path, tmp_path: Path
) -> None:
    """Its golden answers are scored as in training, but are not what greedy choice gives."""
    other = models.copy_version(version_1, tmp_path / "other")
    changed = []
    exact = load_merged(base, version_1)
    for prompt in golden.read(version_1):
        answer = [*prompt.answer_ids[:5], 77 if prompt.answer_ids[5] != 77 else 78]
        scores = golden.logprobs(exact, prompt.prompt_ids, answer)
        changed.append(prompt.model_copy(update={"answer_ids": tuple(answer), "logprobs": tuple(scores)}))
    golden.write(other, changed)
    engine = build("auto", other, "other")
    assert "not openvino: golden prompt 1: answer token 5" in engine.answers_by("other")
    assert engine.prove("other", golden.read(other), 60).holds
    assert Asked(engine, tokenizer, TEXTS[0], model="other").text


def test_a_known_beginning_changes_neither_tokens_nor_logprobs(base: Path, version_1: Path, tokenizer: Any) -> None:
    answers: list[list[Finished]] = []
    engines = [
        TorchEngine(base, max_batch=8, max_queue=100, context=256, prefix_cache_bytes=size) for size in (0, 8 << 20)
    ]
    for engine in engines:
        engine.load("1", version_1, merged=False)
        found = []
        for _ in range(3):
            asked = [
                Asked(engine, tokenizer, text, model=model, top_logprobs=2) for text in TEXTS for model in ("1", "base")
            ]
            found += [one.finish()[0] for one in asked]
        answers.append(found)
    for without, known in zip(*answers, strict=True):
        assert without.ids == known.ids
        expected = [token.logprob for token in without.tokens]
        assert [token.logprob for token in known.tokens] == pytest.approx(expected, abs=1e-4)
    plain, caching = (engine.prefixes for engine in engines)
    assert (plain.tokens_saved, plain.bytes) == (0, 0)
    assert caching.tokens_saved > 100
    assert 0 < caching.bytes <= 8 << 20
    engines[1].unload("1")
    Live.until(lambda: all(prefix.model == "base" for prefix in caching.kept))  # the engine's thread lets them go
    for engine in engines:
        engine.close(1)
