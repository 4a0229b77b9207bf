"""How much of a base is trained: an adapter, its top layers, or everything."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components import config, label_head
from components.models import load_model
from components.stage import StageError
from components.training.adapters import ADAPTERS, champions_adapter, new_adapter
from components.training.classifier import Classifier
from components.training.completion import causal_model

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


WIDTH, WIDTH_EXPONENT = 128, 0.781
"""A wider model wants smaller steps: by this power of its width (fitted over Llama models; see `learning_rate`)."""
LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)(?=\.|$)")
"""Finds a numbered layer in a module's or a parameter's name."""
RATES = {"lora": 3e-3, "qlora": 3e-3, "full": 3e-4, "freeze": 3e-4}
"""Of AdamW at width `WIDTH`, where they were chosen; adapters take ten times what whole weights take."""


def prepare_model(settings: config.Settings, base: Path, champion: Path) -> torch.nn.Module:
    """The model to train, with exactly those tensors trainable that `train.method` trains.

    `start: champion` goes on from the champion's adapter or weights; without a champion it starts at the base.

    Raises:
        ModelError: base or champion is missing, damaged, or of another base.
        StageError: the champion was made by another method, or the base has no such layers.
    """
    wanted = settings.train
    from_champion = wanted.start == "champion" and (champion / "manifest.json").exists()
    if wanted.method in ADAPTERS:
        return champions_adapter(wanted, base, champion) if from_champion else new_adapter(wanted, base)
    if from_champion and (champion / "adapter_config.json").exists():
        raise StageError(
            f"train.start: champion with train.method: {wanted.method}: the champion is a LoRA adapter; "
            "use method lora, or start: base"
        )
    model = load_model(base, champion if from_champion else None, dtype="float32")
    if wanted.method == "freeze":
        freeze_all_but_top(model, wanted.freeze_top)
    else:
        model.requires_grad_(True)
    return model


def learning_rate(wanted: config.TrainSettings, model: torch.nn.Module) -> float:
    """`train.lr`, or what suits the method and the width of the model.

    The best rate of an adapter is about ten times that of whole weights, and both fall with the width
    (Schulman et al. 2025, LoRA Without Regret, https://thinkingmachines.ai/blog/lora/): 0.003 for an adapter
    at width 128, 0.0004 at 1,536, 0.0002 at 4,096.
    """
    return wanted.lr if wanted.lr is not None else suitable_rate(wanted.method, model)


def suitable_rate(method: str, model: torch.nn.Module, share: float = 1.0) -> float:
    """What suits the method and the width of the model; `share` of it for objectives that must tread more softly."""
    described: Any = model.config
    width = int(getattr(described.get_text_config(), "hidden_size", WIDTH))
    return float(f"{share * RATES[method] * (WIDTH / width) ** WIDTH_EXPONENT:.3g}")


def checkpoint_activations(model: torch.nn.Module, wanted: bool) -> None:
    """Keep only each layer's input on the way forward and compute the rest again on the way back, or stop doing so.

    Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost, https://arxiv.org/abs/1604.06174.

    Raises:
        StageError: this architecture cannot.
    """
    policy: Any = causal_model(model.policy if isinstance(model, Classifier) else model)
    if wanted and not policy.supports_gradient_checkpointing:
        raise StageError(f"train.gradient_checkpointing: {type(policy).__name__} cannot; set it to false")
    if wanted:
        policy.activation_checkpointing_enable({"use_reentrant": False})
    elif policy.is_activation_checkpointing:
        policy.activation_checkpointing_disable()


def freeze_all_but_top(model: PreTrainedModel, top: int) -> None:
    """Train the last `top` layers, the final norm and the head; tied embeddings count as the head.

    Raises:
        StageError: the model has no numbered layers, or fewer than `top`.
    """
    found = {int(match[1]) for name, _ in model.named_parameters() if (match := LAYER.search(name))}
    if not found:
        raise StageError(f"train.method: freeze: {type(model).__name__} has no numbered layers; use lora or full")
    if top > len(found):
        raise StageError(f"train.freeze_top = {top}, but the base has {len(found)} layers")
    first = len(found) - top
    head = {id(parameter) for parameter in model.get_output_embeddings().parameters()}
    for name, parameter in model.named_parameters():
        match = LAYER.search(name)
        below = match is not None and int(match[1]) < first
        is_embedding = match is None and "embed" in name and id(parameter) not in head
        parameter.requires_grad_(not below and not is_embedding)


def save(model: torch.nn.Module, folder: Path) -> None:
    """Write the adapter, or the whole weights, as one safetensors file with its configuration; a label head beside."""
    if isinstance(model, Classifier):
        save(model.policy, folder)
        label_head.write(folder, model.head)
        return
    saved: Any = model
    if hasattr(model, "peft_config"):
        saved.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
        _stable_adapter_config(folder / "adapter_config.json")
        (folder / "README.md").unlink(missing_ok=True)
    else:
        saved.save_pretrained(folder, max_shard_size="1TB")


def _stable_adapter_config(path: Path) -> None:
    """PEFT writes sets as lists in hash order: sort them, so that equal adapters are equal files."""
    import json

    from components.files import write_json

    values = json.loads(path.read_text(encoding="utf-8"))
    for key in ("target_modules", "modules_to_save"):
        if isinstance(values.get(key), list):
            values[key] = sorted(values[key])
    write_json(path, values)


def trainable_share(model: torch.nn.Module) -> float:
    """Trainable parameters as a share of all."""
    if hasattr(model, "get_nb_trainable_parameters"):  # PEFT's own count knows that four bits hold two a byte
        trains, every = model.get_nb_trainable_parameters()  # type: ignore[operator]
        return float(trains / every)
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, trains in counts if trains) / sum(size for size, _ in counts)
