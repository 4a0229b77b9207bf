"""Pre-training as a stage, on a toy corpus."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from components import config, layout
from components.files import DataError
from components.models import ModelError, load_tokenizer, load_weights, tensor_hash
from components.pretraining.__main__ import REPORT, main
from components.pretraining.train import heldout_loss
from components.stage import StageError
from components.tokenizer.__main__ import main as tokenizer_main

SUBJECTS = ("my head", "a knee", "her throat", "the left ear", "his back")
TEXTS = [f"{subject} hurts since {days} days." for subject in SUBJECTS for days in range(1, 60)]


def _settings(**pretrain: Any) -> config.Settings:
    tiny = {"hidden_size": 32, "layers": 1, "heads": 2, "steps": 10, "batch_tokens": 128, "window": 32}
    return config.parse(
        {
            "seed": 3,
            "threads": 1,
            "model": {"context": 64},
            "tokenizer": {"vocab_size": 320},
            "pretrain": tiny | pretrain,
        }
    )


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a corpus and its tokenizer."""
    monkeypatch.chdir(tmp_path)
    layout.CORPUS.mkdir(parents=True)
    for name, texts in (("text", TEXTS[20:]), ("heldout", TEXTS[:20])):
        (layout.CORPUS / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (layout.CORPUS / "instruct.jsonl").write_text("")
    tokenizer_main(_settings())
    return tmp_path


def _metrics() -> dict[str, Any]:
    values: dict[str, Any] = json.loads((REPORT / "metrics.json").read_text())
    return values


def test_it_learns_and_writes_a_llama_with_tied_embeddings(corpus: Path) -> None:
    main(_settings(steps=0))
    untrained = _metrics()
    main(_settings(steps=30))
    trained = _metrics()
    assert trained["bits_per_byte"] < 0.8 * untrained["bits_per_byte"]
    assert trained["tokens"] == 30 * 128
    model = load_weights(layout.PRETRAINED)
    assert model.config.model_type == "llama"
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    rows = list(csv.DictReader((REPORT / "loss.csv").open()))
    assert len(rows) == 30
    assert float(rows[-1]["heldout"]) < float(rows[0]["loss"])


def test_equal_inputs_give_equal_weights_and_another_seed_gives_others(corpus: Path) -> None:
    hashes = []
    for settings in (_settings(), _settings(), _settings().model_copy(update={"seed": 4})):
        main(settings)
        hashes.append(tensor_hash(layout.PRETRAINED))
    assert hashes[0] == hashes[1] != hashes[2]


def test_no_checkpoint_is_left_when_it_is_done(corpus: Path) -> None:
    main(_settings(checkpoint_every=2))
    assert not [path for path in config.places().home.rglob("*") if path.is_file()]


def test_heldout_loss_counts_every_token_once_and_is_log_of_the_vocabulary_for_a_uniform_model(corpus: Path) -> None:
    main(_settings(steps=0))
    model, tokenizer = load_weights(layout.PRETRAINED), load_tokenizer(layout.TOKENIZER)
    with torch.no_grad():
        model.get_input_embeddings().weight.zero_()
    nats, bits_per_byte = heldout_loss(model, tokenizer, TEXTS[:20], separator=0, context=64)
    assert nats == pytest.approx(math.log(len(tokenizer)), rel=1e-5)
    tokens = sum(len(ids) + 1 for ids in tokenizer(TEXTS[:20])["input_ids"])
    expected = tokens * math.log2(len(tokenizer)) / sum(len(text) for text in TEXTS[:20])
    assert bits_per_byte == pytest.approx(expected, rel=1e-5)


def test_heads_that_do_not_divide_the_hidden_size_are_refused(corpus: Path) -> None:
    with pytest.raises(StageError, match=r"pretrain\.hidden_size = 32 .* pretrain\.heads = 3"):
        main(_settings(heads=3))


def test_a_window_longer_than_a_batch_or_the_context_is_refused(corpus: Path) -> None:
    with pytest.raises(StageError, match=r"pretrain\.batch_tokens = 64 is less than one window of 128"):
        main(_settings(batch_tokens=64, window=128).model_copy(update={"model": config.ModelSettings(context=256)}))
    with pytest.raises(StageError, match=r"pretrain\.window = 128 is more than model\.context = 64"):
        main(_settings(window=128))


def test_a_missing_tokenizer_names_the_stage_that_makes_it(corpus: Path) -> None:
    (layout.TOKENIZER / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="dvc repro tokenizer"):
        main(_settings())


def test_a_corpus_file_in_another_encoding_is_named(corpus: Path) -> None:
    (layout.CORPUS / "text.jsonl").write_bytes('{"text": "Grüße"}\n'.encode("latin-1"))
    with pytest.raises(DataError, match=r"text\.jsonl, line 1: Invalid JSON: invalid unicode"):
        main(_settings())


def test_with_another_base_it_only_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    main(config.parse({"model": {"base": "some/model"}}))
    assert "some/model" in (layout.PRETRAINED / "not-used.json").read_text()
    assert _metrics() == {"used": False}
    assert (REPORT / "loss.csv").read_text() == "step,loss\n"
