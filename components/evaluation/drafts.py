"""Greedy answers checked against the expected ones before anything is generated.

Most answers of a good model are the reference answer. One pass over prompt and reference says,
at every position at once, what the model would have chosen there: as far as both agree, that is
the greedy answer, to the token (speculative decoding with the reference as the draft; Leviathan
et al. 2023, section 2.2, at temperature 0). Only what follows the first difference has to be
generated token by token. The draft changes what an answer costs, never what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

LOGITS = 1 << 26
"""Most logits that are held at once: 256 MiB in float32."""


@dataclass(frozen=True)
class Begun:
    """The beginning of a greedy answer; `done` where it is the whole of it."""

    ids: list[int]
    done: bool


@torch.inference_mode()
def begin(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    drafts: Sequence[Sequence[int]],
    *,
    end: int,
    most: Sequence[int],
) -> list[Begun]:
    """How far the model goes along with each draft, and the token that it then chooses instead.

    Rows are right-padded: under causal attention padding then cannot be seen, and no mask is needed.

    Args:
        prompts: token ids, none of them empty.
        drafts: what each answer is expected to be, `end` included where the answer ends.
        end: the token that ends an answer; it is no part of what is returned.
        most: most tokens of each answer.
    """
    drafts = [list(draft[:limit]) for draft, limit in zip(drafts, most, strict=True)]
    width = max(len(prompt) + len(draft) for prompt, draft in zip(prompts, drafts, strict=True))
    ids = torch.full((len(prompts), width), end)
    rows: list[int] = []
    positions: list[int] = []
    for row, (prompt, draft) in enumerate(zip(prompts, drafts, strict=True)):
        ids[row, : len(prompt) + len(draft)] = torch.tensor([*prompt, *draft])
        rows += [row] * (len(draft) + 1)
        positions += range(len(prompt) - 1, len(prompt) + len(draft))
    # the head may scale or cap its logits: the largest stays the largest
    hidden = model.get_decoder()(input_ids=ids.to(model.device), use_cache=False).last_hidden_state
    hidden = hidden[torch.tensor(rows, device=model.device), torch.tensor(positions, device=model.device)]
    head = model.get_output_embeddings()
    at_once = max(1, LOGITS // int(model.config.get_text_config().vocab_size))
    chosen = torch.cat([head(part).argmax(-1) for part in hidden.split(at_once)]).tolist()
    begun, at = [], 0
    for draft, limit in zip(drafts, most, strict=True):
        begun.append(_agreed(draft, chosen[at : at + len(draft) + 1], end, limit))
        at += len(draft) + 1
    return begun


def _agreed(draft: Sequence[int], chosen: Sequence[int], end: int, most: int) -> Begun:
    """`chosen[i]` is what the model says after the first `i` tokens of the draft."""
    agreed = 0
    while agreed < len(draft) and draft[agreed] == chosen[agreed] != end:
        agreed += 1
    own = chosen[agreed]
    if own == end or agreed == most:
        return Begun(list(draft[:agreed]), done=True)
    return Begun([*draft[:agreed], own], done=agreed + 1 == most)
