"""A batch's rows end to end instead of padded, each attending to itself only.

Attention is told where each row begins and ends (`varlen_attn`, PyTorch's FlashAttention-2 for rows of any length; Dao
2023, https://arxiv.org/abs/2307.08691), so a GPU computes no padding and needs no mask, and a row's loss is what it is
alone. Only a GPU has such a kernel, and for bfloat16 only; elsewhere rows are padded (components/training/batches.py).

transformers calls attention by the name in the model's configuration and hands down what its forward is given beside
the tokens: under `NAME` stands `attention`, which goes by `cu_seq_lens_q` where that was given, and is `sdpa` where not
(as in generation).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from components.training.batches import Batch

log = logging.getLogger(__name__)

MULTIPLE = 256
"""A batch's tokens are filled up to a multiple of so many: matrix products want whole tiles, and fewer different sizes
are less to prepare."""
NAME = "sdpa_varlen"
CLOSE = 0.05
"""Most that hidden states end to end may differ from a row's alone, as a share of their length. A row that saw its
neighbour made 0.16 to 0.68 of difference in small models, rounding to bfloat16 less than this."""


@dataclass(frozen=True)
class EndToEnd:
    """A batch's tokens in one row, filled up to T."""

    ids: torch.Tensor
    """(1, T)"""
    positions: torch.Tensor
    """(1, T): of each token in its own row."""
    ends: torch.Tensor
    """(rows + 2,), int32: where each row begins, where what fills up does, which is a row of its own, and T."""
    longest: int
    answers: torch.Tensor
    """Where in T each of the batch's answer tokens is predicted."""


def laid(batch: Batch) -> EndToEnd:
    """A padded batch without its padding."""
    missing = -batch.tokens % MULTIPLE
    lengths = torch.tensor([*batch.lengths, missing])
    columns = torch.arange(batch.ids.shape[1]).expand_as(batch.ids)
    there = columns < lengths[:-1, None]
    ends = F.pad(lengths.cumsum(0), (1, 0))
    return EndToEnd(
        ids=F.pad(batch.ids[there], (0, missing))[None],
        positions=F.pad(columns[there], (0, missing))[None],
        ends=ends.to(torch.int32),
        longest=max(*batch.lengths, missing),
        answers=ends[batch.rows] + batch.positions,
    )


def adopt(model: PreTrainedModel) -> bool:
    """From now on lay this model's rows end to end wherever `applies`; whether it can be done.

    It is tried on two rows of a few tokens: an architecture whose attention is none that transformers calls by name, or
    that asks of attention what this kernel does not do, shows there.
    """
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
    from transformers.modeling_utils import AttentionInterface

    device = next(model.parameters()).device
    if not available(device):
        return False
    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    before = model.config._attn_implementation
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
        try:
            model.set_attn_implementation(NAME)
            apart = difference(model)
        except Exception as error:  # whatever an architecture of the hub may raise: padding always works
            apart, why = float("inf"), f"{type(error).__name__}: {error}"
        else:
            why = f"hidden states differ by {apart:.2g} of their length"
    if apart <= CLOSE:
        return True
    model.set_attn_implementation(before)
    log.info("rows are padded, %s cannot take them end to end (%s)", type(model).__name__, why.splitlines()[0])
    return False


def available(device: torch.device) -> bool:
    """Whether there is a kernel for it."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def difference(model: PreTrainedModel) -> float:
    """How far two short rows' hidden states end to end are from those of each row alone, as a share of their length."""
    from components.training.batches import Encoded, collate

    training = model.training
    most = min(1000, int(model.config.get_text_config().vocab_size))
    rows = [torch.arange(1, length + 1) * 37 % most for length in (9, 14)]
    batch = collate([Encoded(row.numpy(), 1) for row in rows], pad=0)
    try:
        hidden(model.train(), batch)  # which may ask for more than evaluation does
        model.eval()
        together = hidden(model, batch).float()
        body = model.get_decoder()
        ids = [row[None].to(together.device) for row in rows]
        alone = [body(input_ids=one, use_cache=False).last_hidden_state[0, :-1] for one in ids]
    finally:
        model.train(training)
    expected = torch.cat(alone).float()
    return float((together - expected).norm() / expected.norm())


def applies(model: PreTrainedModel, batch: Batch) -> bool:
    """Whether a batch's rows go end to end: the model was adopted, computes in bfloat16, and there is padding."""
    if model.config._attn_implementation != NAME or min(batch.lengths) == max(batch.lengths):
        return False
    kind = next(model.parameters()).device.type
    return torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) is torch.bfloat16


def hidden(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """The last hidden states at a batch's positions that predict an answer token: (tokens, width)."""
    device = next(model.parameters()).device
    rows = laid(batch)
    ends = rows.ends.to(device)
    out = model.get_decoder()(
        input_ids=rows.ids.to(device),
        position_ids=rows.positions.to(device),
        attention_mask=torch.empty(1, 1, 0, 0, dtype=torch.bool, device=device),  # of four dimensions: none is made
        use_cache=False,
        cu_seq_lens_q=ends,
        cu_seq_lens_k=ends,
        max_length_q=rows.longest,
        max_length_k=rows.longest,
    )
    found: torch.Tensor = out.last_hidden_state[0, rows.answers.to(device)]
    return found


def attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int = 0,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attention as transformers' `AttentionInterface` has it.

    Args:
        query: (1, heads, T, width), with rows end to end; key and value may have fewer heads.
        cu_seq_lens_q: (rows + 1,), int32; none: rows are padded, `sdpa` does it.

    Returns:
        (1, T, heads, width).

    Raises:
        NotImplementedError: this architecture asks for what the kernel does not do.
    """
    if cu_seq_lens_q is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        found: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, sliding_window=sliding_window, **others
        )
        return found
    asked = [name for name in ("softcap", "s_aux", "position_bias") if others.get(name) is not None]
    if others.get("dropout"):
        asked.append("dropout")
    if asked:
        raise NotImplementedError(f"attention with {', '.join(asked)}")
    ahead = (-1 if sliding_window is None else sliding_window - 1, 0)
    kind = torch.get_autocast_dtype(query.device.type) if torch.is_autocast_enabled(query.device.type) else value.dtype
    q, k, v = (one[0].transpose(0, 1).to(kind) for one in (query, key, value))
    return kernel(q, k, v, cu_seq_lens_q, max_length_q, scaling, ahead)[None], None


def kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    ends: torch.Tensor,
    longest: int,
    scaling: float | None,
    window: tuple[int, int],
) -> torch.Tensor:
    """Causal attention of rows end to end: (T, heads, width) each, and out."""
    from torch.nn.attention.varlen import varlen_attn

    found = varlen_attn(
        query, key, value, ends, ends, longest, longest, scale=scaling, window_size=window, enable_gqa=True
    )
    assert isinstance(found, torch.Tensor)
    return found
