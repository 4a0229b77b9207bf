"""The embedded base's architecture: a Llama, so that every engine that serves Llamas serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components import config
from components.stage import StageError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def new_llama(shape: config.PretrainSettings, context: int, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """A Llama with random weights (Touvron et al. 2023), input and output embeddings tied.

    Raises:
        StageError: hidden_size cannot be divided among the heads.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    if shape.hidden_size % shape.heads or (shape.hidden_size // shape.heads) % 2:
        raise StageError(
            f"pretrain.hidden_size = {shape.hidden_size} must be an even multiple of pretrain.heads = {shape.heads}"
        )
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=shape.hidden_size,
            # 8/3 keeps the gated MLP's parameters at the usual 8·hidden²; a multiple of 16 keeps kernels aligned
            intermediate_size=round(shape.hidden_size * 8 / 3 / 16) * 16,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            max_position_embeddings=context,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            dtype=torch.float32,
        )
    )
    return model
