"""A label head: one linear layer that reads the probabilities of a task's labels off a language model's body.

It stands where the model would write the first token of its answer, so that prompts, adapters, registry and serving
are those of every other version. Beside a version's weights lie `label_head.safetensors` (hashed with them) and
`labels.json` (the labels in the head's order, and the temperature that its logits are divided by).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.files import write_json
from components.models import ModelError, first_line

if TYPE_CHECKING:
    import torch

WEIGHTS, LABELS = "label_head.safetensors", "labels.json"


@dataclass(frozen=True)
class LabelHead:
    """What `labels.json` and `label_head.safetensors` hold."""

    labels: tuple[str, ...]
    weight: torch.Tensor
    """(labels, width), float32"""
    bias: torch.Tensor
    """(labels,)"""
    temperature: float = 1.0
    """Fitted on rows that nothing was taught from (Guo et al. 2017, https://arxiv.org/abs/1706.04599)."""

    def to(self, device: torch.device) -> LabelHead:
        """The same head where the model computes."""
        return LabelHead(self.labels, self.weight.to(device), self.bias.to(device), self.temperature)


def there(folder: Path | None) -> bool:
    """Whether a version answers by a label head."""
    return folder is not None and (folder / LABELS).exists()


def read(folder: Path) -> LabelHead:
    """Read a version's head.

    Raises:
        ModelError: there is none, or a file is damaged.
    """
    from safetensors.torch import load_file

    try:
        described = json.loads((folder / LABELS).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
        head = LabelHead(
            tuple(str(label) for label in described["labels"]),
            tensors["label_head.weight"],
            tensors["label_head.bias"],
            float(described["temperature"]),
        )
        if not head.weight.shape[0] == len(head.bias) == len(head.labels) >= 2 or not head.temperature > 0:
            raise ValueError("labels, weights and temperature do not fit together")
    except FileNotFoundError as error:
        raise ModelError(f"{error.filename} is missing: this is no complete version") from None
    except Exception as error:
        raise ModelError(
            f"{folder}: the label head is damaged ({first_line(error)}): fetch the version again"
        ) from None
    return head


def write(folder: Path, head: LabelHead) -> None:
    """Write the head beside a version's weights."""
    from safetensors.torch import save_file

    tensors = {"label_head.weight": head.weight, "label_head.bias": head.bias}
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS)
    write_json(folder / LABELS, {"labels": list(head.labels), "temperature": head.temperature})


def features(model: torch.nn.Module, ids: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """The body's hidden state at each prompt's last token, where the answer would begin.

    Args:
        model: a causal language model, an adapter on it or not.
        ids: (rows, length), padded on the right: a causal body never looks there.
        last: (rows,) position of each prompt's last token.

    Returns:
        (rows, width), float32.
    """
    import torch

    inner: Any = model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]
    hidden = inner.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
    return hidden[torch.arange(len(ids), device=ids.device), last].float()


def logprobs(
    model: torch.nn.Module, head: LabelHead, prompts: Sequence[Sequence[int]], batch_size: int = 64
) -> torch.Tensor:
    """Natural log-probabilities of every label after each prompt.

    Args:
        prompts: token ids, any lengths.

    Returns:
        (prompts, labels), float32, on the CPU.
    """
    import torch

    device = next(model.parameters()).device
    placed = head.to(device)
    found = torch.empty(len(prompts), len(head.labels))
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), i))
    with torch.no_grad():
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            ids, last = padded([prompts[i] for i in rows], device)
            logits = torch.nn.functional.linear(features(model, ids, last), placed.weight, placed.bias)
            found[rows] = torch.log_softmax(logits / head.temperature, dim=-1).cpu()
    return found


def padded(prompts: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Prompts as one tensor, padded on the right, and the position of each one's last token."""
    import torch

    width = max(len(prompt) for prompt in prompts)
    ids = torch.zeros((len(prompts), width), dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = torch.tensor(list(prompt))
    last = torch.tensor([len(prompt) - 1 for prompt in prompts])
    return ids.to(device), last.to(device)
