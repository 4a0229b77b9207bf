"""A language model's body with a label head on it, trained as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from components.chat import answers_ids
from components.label_head import LabelHead, features
from components.stage import StageError
from components.training.completion import causal_model

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Classifier(torch.nn.Module):
    """`policy` is the model that `train.method` prepares; the head learns beside it, whatever the method."""

    def __init__(self, policy: torch.nn.Module, labels: tuple[str, ...]) -> None:
        super().__init__()
        self.policy = policy
        self.labels = labels
        self.temperature = 1.0
        self.label_head = torch.nn.Linear(_width(policy), len(labels))
        torch.nn.init.zeros_(self.label_head.weight)
        torch.nn.init.zeros_(self.label_head.bias)

    def forward(self, ids: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        """Logits (rows, labels) of prompts that are padded on the right and end at `last`."""
        logits: torch.Tensor = self.label_head(features(self.policy, ids, last))
        return logits

    @property
    def config(self) -> Any:
        """The language model's."""
        return self.policy.config

    @property
    def head(self) -> LabelHead:
        """The head as versions hold it."""
        layer = self.label_head
        return LabelHead(self.labels, layer.weight.detach(), layer.bias.detach(), self.temperature)

    @torch.no_grad()
    def begin_as_written(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Begin with what the language model itself would write: each label's row of the head is its first token's."""
        embeddings = causal_model(self.policy).get_output_embeddings()
        if embeddings is None:
            return
        for row, ids in enumerate(answers_ids(tokenizer, list(self.labels))):
            self.label_head.weight[row] = embeddings.weight[ids[0]].float()

    @torch.no_grad()
    def begin_at(self, head: LabelHead) -> None:
        """Go on from an earlier version's head; labels that it did not know keep what they have.

        Raises:
            StageError: it was made for a body of another width.
        """
        if head.weight.shape[1] != self.label_head.in_features:
            raise StageError("train.start: champion: the champion's label head is of another base; use start: base")
        for row, label in enumerate(self.labels):
            if label in head.labels:
                self.label_head.weight[row] = head.weight[head.labels.index(label)]
                self.label_head.bias[row] = head.bias[head.labels.index(label)]


def _width(policy: torch.nn.Module) -> int:
    described: Any = causal_model(policy).config
    return int(described.get_text_config().hidden_size)
