"""Golden prompts: what a version answered when it was made, token by token.

The training side stores, for a few prompts, the token ids of prompt and greedy answer and
the log-probability of every answer token, computed by one plain forward pass in float32.
A service that renders other ids or computes other probabilities does not serve that version.
Of a version that answers by a label head, what is stored is every label's log-probability.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from components import chat, label_head
from components.files import write_json
from components.models import ModelError
from components.schema import Message, Record

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from components.label_head import LabelHead

FILE = "golden.json"
MOST_TOKENS = 128
"""Longest golden answer: long enough for a structured one, short on a base that never stops."""
TOLERANCE = 1e-3
"""Nats by which one token's log-probability may differ between two float32 computations."""


class GoldenPrompt(Record):
    """One prompt and what the version makes of it."""

    messages: tuple[Message, ...]
    """The prompt as chat messages, the task's system message included."""
    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]
    """Greedy, the end-of-turn token included unless the length limit came first."""
    answer: str
    logprobs: tuple[float, ...]
    """One per answer token: natural logarithm, teacher-forced, float32."""
    labels: tuple[float, ...] = ()
    """One per label of a label head, in its order; then there are no answer tokens."""


def make(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    max_new_tokens: int,
    head: LabelHead | None = None,
) -> GoldenPrompt:
    """Answer one prompt greedily, or by a label head, and note the log-probabilities."""
    prompt = chat.prompt_ids(tokenizer, messages)
    if head is not None:
        scored = label_head.logprobs(model, head, [prompt])[0]
        return GoldenPrompt(
            messages=tuple(messages),
            prompt_ids=tuple(prompt),
            answer_ids=(),
            answer=head.labels[int(scored.argmax())],
            logprobs=(),
            labels=tuple(round(value, 6) for value in scored.tolist()),
        )
    answer = greedy(model, prompt, chat.end_of_turn_id(tokenizer), max(1, max_new_tokens))
    return GoldenPrompt(
        messages=tuple(messages),
        prompt_ids=tuple(prompt),
        answer_ids=tuple(answer),
        answer=str(tokenizer.decode(answer, skip_special_tokens=True)),
        logprobs=tuple(round(value, 6) for value in logprobs(model, prompt, answer)),
    )


def write_answers(
    folder: Path,
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[Message]],
    context: int,
    head: LabelHead | None = None,
) -> None:
    """Answer every prompt and write golden.json into a version's folder.

    Args:
        model: the version as it will answer.
        context: tokens of prompt and answer together.
    """
    room = [min(MOST_TOKENS, context - len(chat.prompt_ids(tokenizer, messages))) for messages in prompts]
    asked = zip(prompts, room, strict=True)
    write(folder, [make(model, tokenizer, messages, tokens, head) for messages, tokens in asked])


def greedy(model: torch.nn.Module, prompt: Sequence[int], end: int, max_new_tokens: int) -> list[int]:
    """The likeliest continuation, token by token, up to and with `end`."""
    import torch

    ids = torch.tensor([list(prompt)], device=next(model.parameters()).device)
    with torch.no_grad():
        out = model.generate(  # type: ignore[operator]
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            num_beams=1,
            max_new_tokens=max_new_tokens,
            eos_token_id=end,
            pad_token_id=end,
        )
    return [int(token) for token in out[0, len(prompt) :]]


def logprobs(model: torch.nn.Module, prompt: Sequence[int], answer: Sequence[int]) -> list[float]:
    """Log-probability (nats) of each answer token after the prompt and the answer's earlier tokens."""
    import torch

    ids = torch.tensor([[*prompt, *answer]], device=next(model.parameters()).device)
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1]
    every = torch.log_softmax(logits.float(), dim=-1)
    return [float(value) for value in every[torch.arange(len(answer)), torch.tensor(list(answer))]]


def write(folder: Path, prompts: Sequence[GoldenPrompt]) -> None:
    """Write golden.json into a version's folder."""
    write_json(folder / FILE, {"prompts": [prompt.model_dump(mode="json") for prompt in prompts]})


def read(folder: Path) -> list[GoldenPrompt]:
    """Read a version's golden prompts.

    Raises:
        ModelError: there are none, or the file is damaged.
    """
    path = folder / FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return [GoldenPrompt.model_validate(value) for value in values["prompts"]]
    except FileNotFoundError:
        raise ModelError(f"{path} is missing: this is no complete version") from None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValidationError):
        raise ModelError(f"{path} is damaged: fetch the version again") from None


def differences(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[GoldenPrompt],
    head: LabelHead | None = None,
) -> list[str]:
    """What is not as it was when the version was made; an empty list is the parity proof."""
    found = []
    for number, prompt in enumerate(prompts, 1):
        rendered = chat.prompt_ids(tokenizer, prompt.messages)
        if rendered != list(prompt.prompt_ids):
            at = next((i for i, (a, b) in enumerate(zip(rendered, prompt.prompt_ids, strict=False)) if a != b), -1)
            found.append(f"golden prompt {number}: other token ids are rendered (first at {at})")
            continue
        if (head is not None) != bool(prompt.labels):
            found.append(f"golden prompt {number}: it was {'' if prompt.labels else 'not '}answered by a label head")
            continue
        if head is not None:
            now, then = label_head.logprobs(model, head, [prompt.prompt_ids])[0].tolist(), prompt.labels
        else:
            now, then = logprobs(model, prompt.prompt_ids, prompt.answer_ids), prompt.logprobs
        worst = max((abs(a - b) for a, b in zip(now, then, strict=True)), default=0.0)
        if not worst <= TOLERANCE:
            found.append(f"golden prompt {number}: a log-probability differs by {worst:.4f} (at most {TOLERANCE})")
    return found
