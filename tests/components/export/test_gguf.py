"""A merged version as a GGUF file: every weight in its place, and what has none is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGUFReader
from tokenizers import Regex, Tokenizer, pre_tokenizers
from tokenizers import models as cores
from transformers import GPT2Config, LlamaConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from components import models as base_models
from components.export import gguf, single_file
from components.export.whole import load
from components.tokenizer import bpe
from tests.serving import models

BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def split(pattern: str) -> pre_tokenizers.Split:
    return pre_tokenizers.Split(Regex(pattern), behavior="isolated")


def test_every_weight_is_there_in_half_precision_and_norms_in_full(base: Path, version_1: Path, tmp_path: Path) -> None:
    model, tokenizer = load(version_1, base)
    file = tmp_path / "deep" / "version.gguf"
    gguf.write(model, tokenizer, file)
    read = GGUFReader(file)
    tensors = {tensor.name: torch.tensor(tensor.data) for tensor in read.tensors}
    state = model.state_dict()
    assert len(tensors) == len(state) - 1  # embeddings and head are tied
    assert torch.equal(tensors["token_embd.weight"], state["model.embed_tokens.weight"].half())
    assert torch.equal(tensors["blk.1.ffn_down.weight"], state["model.layers.1.mlp.down_proj.weight"].half())
    assert torch.equal(tensors["output_norm.weight"], state["model.norm.weight"])
    query = state["model.layers.0.self_attn.q_proj.weight"]
    heads, rows = model.config.num_attention_heads, query.shape[0]
    half = rows // heads // 2
    assert torch.equal(tensors["blk.0.attn_q.weight"][1], query[half].half())  # the first head's two halves alternate
    pieces = read.fields["tokenizer.ggml.tokens"].contents()
    assert pieces == [tokenizer.convert_ids_to_tokens(id) for id in range(len(tokenizer))]
    assert [path.name for path in file.parent.iterdir()] == ["version.gguf"]


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (GPT2Config(), "a gpt2 model cannot be written"),
        (LlamaConfig(attention_bias=True), "biases"),
        (LlamaConfig(rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}), "of type linear"),
        (Qwen2Config(use_sliding_window=True), "sliding-window"),
    ],
)
def test_what_the_format_cannot_hold_is_refused_in_words(config: Any, why: str) -> None:
    with pytest.raises(gguf.NotWritable, match=why):
        gguf.check(config)


def test_a_file_that_cannot_be_finished_leaves_nothing_behind(base: Path, tmp_path: Path) -> None:
    words = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(cores.WordLevel({"a": 0}, unk_token="a")))
    with pytest.raises(gguf.NotWritable, match="WordLevel"):
        gguf.write(base_models.load_model(base), words, tmp_path / "version.gguf")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("steps", "name"),
    [
        ([pre_tokenizers.ByteLevel(add_prefix_space=False)], "gpt-2"),
        ([split(bpe.QWEN2_SPLIT), BYTES], "qwen2"),
        ([split(gguf.LLAMA3_SPLIT), BYTES], "llama-bpe"),
        ([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel()], None),
        ([split(r"\s+"), BYTES], None),
    ],
)
def test_how_text_is_split_is_named_or_refused(steps: list[Any], name: str | None) -> None:
    core = Tokenizer(cores.BPE())
    core.pre_tokenizer = steps[0] if len(steps) == 1 else pre_tokenizers.Sequence(steps)  # type: ignore[assignment]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core)
    if name is None:
        with pytest.raises(gguf.NotWritable, match="no name in GGUF"):
            gguf.split_of(tokenizer)
    else:
        assert gguf.split_of(tokenizer) == name


def test_a_qwen2_with_its_biases_answers_in_the_same_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "LlamaConfig", Qwen2Config)
    monkeypatch.setattr(models, "LlamaForCausalLM", Qwen2ForCausalLM)
    base = models.make_base(tmp_path / "base")
    model: Any = base_models.load_model(base)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(base)
    reference = base_models.BaseReference(kind="local", location=".", sha256=base_models.tensor_hash(base))
    (base / "base.json").write_text(reference.model_dump_json())
    version = models.make_version(tmp_path / "version", base, seed=1)
    assert "answers 2 of 2 golden prompts" in single_file.write(version, base, tmp_path)[1]
