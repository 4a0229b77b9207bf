"""Choosing the next token of many rows at once, each by its own temperature, nucleus and seed.

A row draws one uniform number per token from its own generator and looks it up in the
cumulative distribution over the vocabulary in index order. So its text depends on its seed
and its logits, never on which other rows happen to share the batch.
"""

from __future__ import annotations

import torch


def distribution(logits: torch.Tensor, temperature: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """Probabilities [rows, vocabulary] after temperature and nucleus, in float64.

    The nucleus is the smallest set of most probable tokens whose mass reaches top_p
    (Holtzman et al. 2020, section 3.1); tokens as probable as its last member stay in.

    Args:
        logits: [rows, vocabulary].
        temperature: [rows], above 0. It is applied before the nucleus is cut, as OpenAI does.
        top_p: [rows], in [0, 1]; 0 leaves the most probable token.
    """
    scaled = logits.double()
    scaled = (scaled - scaled.amax(-1, keepdim=True)) / temperature.double()[:, None]
    probabilities = scaled.softmax(-1)
    if bool((top_p >= 1).all()):
        return probabilities
    ranked = probabilities.sort(-1, descending=True).values
    before = ranked.cumsum(-1) - ranked
    inside = before < top_p.double()[:, None]
    inside[:, 0] = True
    inside |= (top_p >= 1)[:, None]
    weakest = torch.where(inside, ranked, torch.inf).amin(-1, keepdim=True)
    return torch.where(probabilities >= weakest, probabilities, 0.0)


def draw(probabilities: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Token ids [rows] by inverse transform: the first token at which the cumulated mass exceeds uniform * total.

    Args:
        probabilities: [rows, vocabulary], not necessarily summing to 1.
        uniform: [rows], in [0, 1).
    """
    cumulated = probabilities.cumsum(-1)
    wanted = uniform.double()[:, None] * cumulated[:, -1:]
    found = torch.searchsorted(cumulated, wanted, right=True).squeeze(-1)
    # Rounding may leave `wanted` at the total itself; the answer is then the last token with any mass.
    last = probabilities.shape[-1] - 1 - (probabilities > 0).flip(-1).int().argmax(-1)
    return torch.minimum(found, last)
