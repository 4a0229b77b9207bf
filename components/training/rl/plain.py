"""A copy of the model without adapter layers, which sampling is faster from and which serves as the reference."""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from transformers import PreTrainedModel


def plain(model: torch.nn.Module) -> PreTrainedModel:
    """A copy that nothing trains, with the adapter folded in where there is one (Hu et al. 2021, 4.1)."""
    copied: Any = copy.deepcopy(model)
    if hasattr(copied, "peft_config"):
        copied = copied.merge_and_unload()
    copied.requires_grad_(False)
    return cast(PreTrainedModel, copied.eval())


class Sampler:
    """What answers are sampled from: a model with an adapter has two more products a layer and token, its copy has not.

    Folding in and out again in place would round the base's weights each time. DoRA, which also scales each row of the
    base's weights, is sampled from as it is.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model
        adapters: Any = getattr(model, "peft_config", {})
        self.folds = bool(adapters) and not any(adapter.use_dora for adapter in adapters.values())
        self.plain = plain(model) if self.folds else cast(PreTrainedModel, model)

    @torch.no_grad()
    def current(self) -> PreTrainedModel:
        """The copy (or the model itself), with the weights that the model has now."""
        if self.folds:
            from peft.tuners.lora import LoraLayer

            adapted: Any = self.model
            for name, module in adapted.get_base_model().named_modules():
                if isinstance(module, LoraLayer):
                    layer: Any = module
                    target: Any = self.plain.get_submodule(name)
                    torch.add(layer.get_base_layer().weight, layer.get_delta_weight("default"), out=target.weight)
        return self.plain
