"""lm-evaluation-harness scores a model over `/v1/completions` as it would score it in its own process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from components import models as real
from tests.serving import models
from tests.serving.live import Live

DOCS = [
    {"question": "My head hurts:", "choices": [" routine", " urgent"], "label": 0},
    {"question": "the quick brown", "choices": [" fox", " headache since", " dog"], "label": 0},
    {"question": "severity", "choices": ['":4', '":10', " null"], "label": 1},
]


def reference(base: Path, version: Path) -> list[list[float]]:
    """Log-likelihood of every choice by PEFT itself."""
    model, tokenizer = models.load_reference(base, version), real.load_tokenizer(base)
    scores = []
    for doc in DOCS:
        row = []
        for choice in doc["choices"]:
            context = tokenizer(doc["question"], add_special_tokens=False)["input_ids"]
            whole = tokenizer(doc["question"] + choice, add_special_tokens=False)["input_ids"]
            with torch.no_grad():
                logprobs = model(input_ids=torch.tensor([whole])).logits[0].log_softmax(-1)
            row.append(sum(float(logprobs[i - 1, whole[i]]) for i in range(len(context), len(whole))))
        scores.append(row)
    return scores


@pytest.mark.slow
def test_the_harness_gets_the_log_likelihoods_of_the_model_itself(
    live: Live, base: Path, version_1: Path, tmp_path: Path
) -> None:
    harness = pytest.importorskip("lm_eval")
    data = tmp_path / "docs.jsonl"
    data.write_text("".join(json.dumps(doc) + "\n" for doc in DOCS))
    task = {
        "task": "tiny",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}, "cache_dir": str(tmp_path / "cache")},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{label}}",
        "target_delimiter": "",
        "metric_list": [{"metric": "acc"}],
    }
    found = harness.simple_evaluate(
        model="local-completions",
        model_args={
            "model": "intake@1",
            "base_url": f"{live.url}/v1/completions",
            "tokenizer": str(version_1),
            "max_length": 256,
            "max_retries": 1,
        },
        tasks=[task],
        bootstrap_iters=0,
        log_samples=True,
    )
    samples = sorted(found["samples"]["tiny"], key=lambda sample: sample["doc_id"])
    expected = reference(base, version_1)
    for sample, row in zip(samples, expected, strict=True):
        scored = [float(response[0][0]) for response in sample["resps"]]
        assert scored == pytest.approx(row, abs=2e-3)
    right = [max(range(len(row)), key=row.__getitem__) == doc["label"] for doc, row in zip(DOCS, expected, strict=True)]
    assert found["results"]["tiny"]["acc,none"] == pytest.approx(sum(right) / len(right))
