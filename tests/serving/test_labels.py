"""A version with a label head behind the API: labels with their probabilities, and plain words for the rest."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from components import chat, golden, label_head
from components import models as base_models
from components.schema import Message
from serving.engine.openvino_engine import OpenVinoEngine
from serving.engine.torch_engine import TorchEngine
from tests.serving import models
from tests.serving.live import Live, source

LABELS = ("ham", "spam", "not sure")
ASKED = {"model": "intake", "messages": [{"role": "user", "content": "My knee hurts."}]}


@pytest.fixture(scope="module")
def version(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.make_label_version(tmp_path_factory.mktemp("labels"), base, 5, LABELS)


@pytest.fixture(scope="module")
def http(base: Path, version: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    changes = {"answer": "label", "labels": LABELS, "schema_": None}
    live = Live(f"sqlite:///{tmp_path_factory.mktemp('live') / 'saqia.db'}", source("7", version, base), changes)
    with httpx.Client(base_url=live.url, timeout=60) as client:
        yield client
    live.close()


def _expected(base: Path, version: Path, text: str) -> list[float]:
    """Log-probabilities by PEFT and the head, outside any engine."""
    model, tokenizer = models.load_reference(base, version), base_models.load_tokenizer(base)
    messages = (Message(role="system", content=models.SYSTEM), Message(role="user", content=text))
    head = label_head.read(version)
    return [float(x) for x in label_head.logprobs(model, head, [chat.prompt_ids(tokenizer, messages)])[0]]


def test_the_answer_is_the_likeliest_label_with_every_labels_probability(
    http: httpx.Client, base: Path, version: Path
) -> None:
    expected = _expected(base, version, "My knee hurts.")
    body = http.post("/v1/chat/completions", json={**ASKED, "logprobs": True, "top_logprobs": 3}).json()
    (choice,) = body["choices"]
    best = max(range(3), key=expected.__getitem__)
    assert (choice["message"]["content"], choice["finish_reason"]) == (LABELS[best], "stop")
    (token,) = choice["logprobs"]["content"]
    assert token["token"] == LABELS[best]
    assert {t["token"]: t["logprob"] for t in token["top_logprobs"]} == pytest.approx(
        dict(zip(LABELS, expected, strict=True)), abs=1e-4
    )
    assert sum(math.exp(t["logprob"]) for t in token["top_logprobs"]) == pytest.approx(1, abs=1e-4)
    assert body["usage"]["completion_tokens"] == 1
    plain = http.post("/v1/chat/completions", json=ASKED).json()["choices"][0]
    assert (plain["message"]["content"], plain["logprobs"]) == (LABELS[best], None)
    ready = json.dumps(http.get("/readyz").json())
    assert "by a label head" in ready


def test_it_streams_and_draws_where_a_temperature_asks_for_it(http: httpx.Client) -> None:
    with http.stream("POST", "/v1/chat/completions", json={**ASKED, "stream": True, "logprobs": True}) as response:
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: ")]
    deltas = [json.loads(line)["choices"][0] for line in lines if line != "[DONE]"]
    assert "".join(d["delta"].get("content", "") for d in deltas) in LABELS
    assert sum(len(d["logprobs"]["content"]) for d in deltas if d["logprobs"]) == 1
    drawn = {**ASKED, "temperature": 2, "n": 24, "seed": 3}
    several = [c["message"]["content"] for c in http.post("/v1/chat/completions", json=drawn).json()["choices"]]
    assert len(set(several)) > 1
    assert several == [c["message"]["content"] for c in http.post("/v1/chat/completions", json=drawn).json()["choices"]]


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"stop": ["x"]}, "stop"),
        ({"frequency_penalty": 1}, "frequency_penalty"),
        ({"logit_bias": {"5": 10}}, "logit_bias"),
        ({"temperature": 1, "top_p": 0.5}, "top_p"),
    ],
)
def test_what_a_head_cannot_do_is_refused_in_words(asked: dict[str, Any], param: str, http: httpx.Client) -> None:
    response = http.post("/v1/chat/completions", json={**ASKED, **asked})
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["param"], error["code"]) == (param, "unsupported_by_model")
    assert "classifier (a label head) and cannot" in error["message"]


def test_a_text_completion_is_refused_too(http: httpx.Client) -> None:
    response = http.post("/v1/completions", json={"model": "intake", "prompt": "My knee", "max_tokens": 3})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "unsupported_by_model")


def test_a_head_that_says_other_probabilities_than_in_training_fails_the_proof(
    base: Path, version: Path, tmp_path: Path
) -> None:
    changed = Path(shutil.copytree(version, tmp_path / "changed"))
    head = label_head.read(changed)
    label_head.write(changed, label_head.LabelHead(head.labels, head.weight, head.bias + torch.tensor([0.1, 0, 0])))
    manifest = json.loads((changed / "manifest.json").read_text())
    (changed / "manifest.json").write_text(json.dumps(manifest | {"adapter_sha256": base_models.tensor_hash(changed)}))
    engine = TorchEngine(base, max_batch=2, max_queue=4, context=64)
    engine.load("right", version)
    engine.load("changed", changed)
    assert engine.prove("right", golden.read(version), 60).holds
    assert "label 'ham' has log-probability" in engine.prove("changed", golden.read(changed), 60).problem
    engine.close(5)
    fast = OpenVinoEngine(base, tmp_path / "files", max_batch=2, max_queue=4, context=64, threads=1)
    with pytest.raises(base_models.ModelError, match="label head, which openvino's pipelines do not have"):
        fast.load("1", version)
    fast.close(5)
