"""Frequency and presence penalty and logit bias, by OpenAI's published formula.

    mu[j] -> mu[j] - c[j] * alpha_frequency - float(c[j] > 0) * alpha_presence

where mu are the logits and c[j] counts how often token j was *generated* so far
(https://platform.openai.com/docs/guides/text-generation, "Frequency and presence penalties").
Prompt tokens do not count.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch


def penalise(
    logits: torch.Tensor, counts: torch.Tensor, frequency: torch.Tensor, presence: torch.Tensor
) -> torch.Tensor:
    """Logits after both penalties.

    Args:
        logits: [rows, vocabulary].
        counts: [rows, vocabulary], how often each token was generated.
        frequency, presence: [rows], each in [-2, 2].
    """
    counted = counts.to(logits.dtype)
    return logits - counted * frequency[:, None] - (counted > 0).to(logits.dtype) * presence[:, None]


def bias(logits: torch.Tensor, biases: Mapping[int, float]) -> torch.Tensor:
    """One row's logits [vocabulary] with `logit_bias` added.

    -100 and 100 ban and force a token, as OpenAI documents: they are added like any other value,
    which is enough against logits of ordinary size.
    """
    if not biases:
        return logits
    ids = torch.tensor(list(biases), dtype=torch.long, device=logits.device)
    values = torch.tensor(list(biases.values()), dtype=logits.dtype, device=logits.device)
    return logits.index_add(0, ids, values)
