"""Sampled answers with the probabilities they were sampled with, and what a model says of them afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from transformers import PreTrainedModel

from components.decoding import decode
from components.training.completion import causal_model


@dataclass(frozen=True)
class Rollouts:
    """Answers, one a row, right-padded: a causal model never looks right, so no attention mask is needed.

    R rows, L tokens of the longest prompt with its answer, T tokens of the longest answer.
    """

    ids: torch.Tensor
    """(R, L): prompt, answer, padding."""
    starts: torch.Tensor
    """(R,): where each answer starts."""
    mask: torch.Tensor
    """(R, T), bool: which tokens of an answer are there, the end-of-turn token included."""
    logprobs: torch.Tensor
    """(R, T): log-probability (nats) of each token when it was sampled; 0 where there is none."""

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, chosen: torch.Tensor) -> Rollouts:
        """These rows, without columns that only others need."""
        part = Rollouts(*(getattr(self, field.name)[chosen] for field in fields(self)))
        longest = int(part.mask.sum(1).max())
        width = int((part.starts + part.mask.sum(1)).max())
        return Rollouts(part.ids[:, :width], part.starts, part.mask[:, :longest], part.logprobs[:, :longest])

    @property
    def tokens(self) -> int:
        """Tokens of prompts and answers, padding left out."""
        return int(self.starts.sum() + self.mask.sum())


def sample(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    *,
    end: int,
    max_new_tokens: int,
    copies: int,
    temperature: float,
    seed: int,
) -> tuple[Rollouts, list[list[int]], list[bool]]:
    """`copies` answers to each prompt, drawn from the whole distribution at `temperature`; a prompt's come together.

    Args:
        prompts: token ids, none of them empty, each with room for an answer.
        seed: the same seed, prompts and weights give the same answers.

    Returns:
        The rollouts, the answers' token ids without `end`, and which of them ended by themselves.
    """
    device = model.device
    generator = torch.Generator(device).manual_seed(seed)
    drawn: list[list[int]] = [[] for _ in range(len(prompts) * copies)]
    said: list[list[float]] = [[] for _ in drawn]

    def draw(logits: torch.Tensor, answers: Sequence[int]) -> torch.Tensor:
        every = torch.log_softmax(logits.float() / temperature, dim=-1)
        tokens = torch.multinomial(every.exp(), 1, generator=generator)
        for row, token, value in zip(
            answers, tokens[:, 0].tolist(), every.gather(1, tokens)[:, 0].tolist(), strict=True
        ):
            drawn[row].append(token)
            said[row].append(value)
        return tokens[:, 0]

    room = int(getattr(model.config, "max_position_embeddings", 0) or 1 << 30)
    most = [max(1, min(max_new_tokens, room - len(prompt))) for prompt in prompts]
    with torch.inference_mode():
        answers = decode(model, prompts, end, most, draw, copies)
    whole = [[*prompts[row // copies], *tokens] for row, tokens in enumerate(drawn)]
    starts = torch.tensor([len(prompts[row // copies]) for row in range(len(drawn))])
    rollouts = Rollouts(
        ids=_padded(whole, torch.long).to(device),
        starts=starts.to(device),
        mask=_padded([[1] * len(tokens) for tokens in drawn], torch.bool).to(device),
        logprobs=_padded(said, torch.float32).to(device),
    )
    return rollouts, answers, [tokens[-1] == end for tokens in drawn]


def _padded(rows: Sequence[Sequence[Any]], kind: torch.dtype) -> torch.Tensor:
    out = torch.zeros((len(rows), max(map(len, rows))), dtype=kind)
    for row, values in enumerate(rows):
        out[row, : len(values)] = torch.tensor(values, dtype=kind)
    return out


@dataclass(frozen=True)
class Terms:
    """What a model says of rollouts; everything is (R, T), 0 where there is no token."""

    logprobs: torch.Tensor
    entropy: torch.Tensor
    """Nats of the whole distribution that the token was chosen from."""
    values: torch.Tensor | None
    """With a value head: what it expects of the rest of the answer before the token is chosen."""


def look(
    model: torch.nn.Module,
    rollouts: Rollouts,
    temperature: float,
    value: torch.nn.Module | None = None,
    fast: bool = True,
) -> Terms:
    """One pass over rollouts; the head is applied only where an answer's token is chosen.

    Args:
        temperature: the one that they were sampled at: it is part of the policy.
        value: hidden state → expected reward. It reads the policy's hidden states and does not shape them: on a small
            model its error, larger than what there is to gain, would drive the policy about.
        fast: run the body without its head; see `completion.head_is_separable`.
    """
    inner = causal_model(model)
    rows, columns = rollouts.mask.nonzero(as_tuple=True)
    positions = rollouts.starts[rows] + columns
    if fast:
        hidden = inner.get_decoder()(input_ids=rollouts.ids, use_cache=False).last_hidden_state[rows, positions - 1]
        logits = inner.get_output_embeddings()(hidden)
    else:
        out = inner(input_ids=rollouts.ids, use_cache=False, output_hidden_states=value is not None)
        logits = out.logits[rows, positions - 1]
        hidden = out.hidden_states[-1][rows, positions - 1] if value is not None else None
    every = torch.log_softmax(logits.float() / temperature, dim=-1)
    chosen = every.gather(1, rollouts.ids[rows, positions][:, None])[:, 0]
    empty = torch.zeros(rollouts.mask.shape, device=every.device)

    def laid_out(flat: torch.Tensor) -> torch.Tensor:
        return empty.masked_scatter(rollouts.mask, flat)

    return Terms(
        logprobs=laid_out(chosen),
        entropy=laid_out(-(every.exp() * every).sum(-1)),
        values=None if value is None else laid_out(value(hidden.detach().float())[:, 0]),
    )
