"""A merged version as one f16 GGUF file: what openvino-genai (and llama.cpp) load.

Names, metadata and the order of the rotary halves follow the GGUF specification
(https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, "Standardized tensor names"):
matrices in f16, norms and biases in f32. Adapters have no place in it: merge first.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.chat import end_of_turn_id
from components.models import ModelError
from components.tokenizer.bpe import QWEN2_SPLIT

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ARCHITECTURES = {"llama": "llama", "qwen2": "qwen2"}
"""transformers' model_type → the name of the architecture in GGUF."""

TOP = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
LAYER = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
LLAMA3_SPLIT = QWEN2_SPLIT.replace(r"\p{N}|", r"\p{N}{1,3}|", 1)
"""The pre-tokenizer pattern in Llama 3's tokenizer.json: up to three digits together."""
SPLITS = {QWEN2_SPLIT: "qwen2", LLAMA3_SPLIT: "llama-bpe"}
"""How text is split before merging → llama.cpp's name for it (`tokenizer.ggml.pre`)."""
IN_LAYER = re.compile(r"^model\.layers\.(\d+)\.(.+)\.(weight|bias)$")


class NotWritable(ModelError):
    """This model has something that the file format (or its reader) cannot hold; the message says what."""


def check(config: Any) -> str:
    """The GGUF name of a model's architecture.

    Raises:
        NotWritable: it is none of `ARCHITECTURES`, or has a part that would silently be left out.
    """
    kind = str(config.model_type)
    if kind not in ARCHITECTURES:
        raise NotWritable(f"a {kind} model cannot be written as GGUF here; only {', '.join(ARCHITECTURES)} can")
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type", "default") != "default":
        raise NotWritable(f"rotary embeddings of type {rope['rope_type']} cannot be written as GGUF here")
    if kind == "llama" and (config.attention_bias or config.mlp_bias):
        raise NotWritable("a llama model with biases cannot be written as GGUF")
    if getattr(config, "use_sliding_window", False):
        raise NotWritable("sliding-window attention cannot be written as GGUF here")
    return ARCHITECTURES[kind]


def write(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
    """Write a plain (merged) model and its tokenizer; the file appears whole or not at all.

    Raises:
        NotWritable: see `check`.
    """
    import gguf

    config: Any = model.config
    architecture = check(config)
    heads = int(config.num_attention_heads)
    groups = int(config.num_key_value_heads)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    writer = gguf.GGUFWriter(partial, architecture)
    try:
        writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
        writer.add_context_length(int(config.max_position_embeddings))
        writer.add_embedding_length(int(config.hidden_size))
        writer.add_block_count(int(config.num_hidden_layers))
        writer.add_feed_forward_length(int(config.intermediate_size))
        writer.add_head_count(heads)
        writer.add_head_count_kv(groups)
        writer.add_layer_norm_rms_eps(float(config.rms_norm_eps))
        head = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
        writer.add_rope_dimension_count(head)
        writer.add_key_length(head)
        writer.add_value_length(head)
        writer.add_rope_freq_base(float((getattr(config, "rope_parameters", None) or {}).get("rope_theta", 10_000.0)))
        writer.add_vocab_size(int(config.vocab_size))
        _add_tokenizer(writer, tokenizer, int(config.vocab_size))
        for name, tensor in model.state_dict().items():
            if name == "lm_head.weight" and config.tie_word_embeddings:
                continue
            if architecture == "llama" and name.endswith(("q_proj.weight", "k_proj.weight")):
                tensor = interleave(tensor, heads if "q_proj" in name else groups)
            matrix = tensor.ndim > 1
            values = tensor.detach().float().cpu().numpy()
            writer.add_tensor(tensor_name(name), values.astype("float16") if matrix else values)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    except BaseException:
        writer.close()
        partial.unlink(missing_ok=True)
        raise
    writer.close()
    os.replace(partial, path)


def tensor_name(name: str) -> str:
    """GGUF's name of a tensor.

    Raises:
        NotWritable: it has none, so the model is not what its config says.
    """
    if name in TOP:
        return TOP[name]
    found = IN_LAYER.match(name)
    if found is None or found[2] not in LAYER:
        raise NotWritable(f"tensor {name} has no place in a GGUF file")
    return f"blk.{found[1]}.{LAYER[found[2]]}.{found[3]}"


def interleave(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of a query or key projection from transformers' order (two halves) to GGUF's (alternating), per head."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def split_of(tokenizer: PreTrainedTokenizerBase) -> str:
    """llama.cpp's name for how a byte-level tokenizer splits text; ours are split as Qwen2's are.

    Raises:
        NotWritable: it has none here, so that programs which read the file would split text otherwise.
    """
    steps = _core(tokenizer).get("pre_tokenizer") or {}
    kinds = [(step["type"], step) for step in steps.get("pretokenizers", [steps] if steps else [])]
    if [kind for kind, _ in kinds] == ["ByteLevel"] and kinds[0][1].get("use_regex", True):
        return "gpt-2"
    if [kind for kind, _ in kinds] == ["Split", "ByteLevel"]:
        name = SPLITS.get(kinds[0][1]["pattern"].get("Regex", ""))
        if name is not None:
            return name
    raise NotWritable(
        "the tokenizer splits text in a way that has no name in GGUF here (known: qwen2, llama-bpe, gpt-2)"
    )


def _core(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """The content of tokenizer.json."""
    core: dict[str, Any] = json.loads(getattr(tokenizer, "backend_tokenizer").to_str())  # noqa: B009
    return core


def _add_tokenizer(writer: Any, tokenizer: PreTrainedTokenizerBase, size: int) -> None:
    """Byte-level BPE, which GGUF calls `gpt2` whatever it is split by.

    A split without a name is no reason to refuse here: the service itself sends token ids, never text.
    """
    import gguf

    core = _core(tokenizer)
    if core["model"]["type"] != "BPE":
        raise NotWritable(f"a {core['model']['type']} tokenizer cannot be written as GGUF here")
    pieces = [f"[PAD{id}]" for id in range(size)]
    kinds = [gguf.TokenType.UNUSED] * size
    for piece, id in tokenizer.get_vocab().items():
        if id < size:
            pieces[id], kinds[id] = piece, gguf.TokenType.NORMAL
    for added in core["added_tokens"]:
        if added["id"] < size:
            kinds[added["id"]] = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    try:
        writer.add_tokenizer_pre(split_of(tokenizer))
    except NotWritable:
        writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(pieces)
    writer.add_token_types(kinds)
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in core["model"]["merges"]])
    for add, id in (
        (writer.add_eos_token_id, tokenizer.eos_token_id),
        (writer.add_pad_token_id, tokenizer.pad_token_id),
    ):
        if isinstance(id, int):
            add(id)
    if isinstance(tokenizer.eos_token_id, int):
        writer.add_bos_token_id(tokenizer.eos_token_id)
    writer.add_eot_token_id(end_of_turn_id(tokenizer))
    writer.add_add_bos_token(False)
    if isinstance(tokenizer.chat_template, str):
        writer.add_chat_template(tokenizer.chat_template)
