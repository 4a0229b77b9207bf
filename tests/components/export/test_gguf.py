"""A merged version as a GGUF file: every weight in its place, and what has none is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGUFReader
from tokenizers import Tokenizer
from tokenizers import models as cores
from transformers import GPT2Config, LlamaConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from components import golden
from components import models as base_models
from components.export import gguf
from serving.engine.openvino_engine import OpenVinoEngine
from serving.engine.torch_engine import load_merged, load_version_tokenizer
from tests.serving import models


def test_every_weight_is_there_in_half_precision_and_norms_in_full(base: Path, version_1: Path, tmp_path: Path) -> None:
    model: Any = load_merged(base, version_1)
    tokenizer = load_version_tokenizer(version_1)
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
    engine = OpenVinoEngine(base, tmp_path / "files", max_batch=2, max_queue=4, context=256, threads=1)
    engine.load("1", version)
    assert engine.prove("1", golden.read(version), 60).holds
    engine.close(5)
