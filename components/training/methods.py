"""How much of a base is trained: an adapter, its top layers, or everything."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components import config
from components.models import ModelError, first_line, load_model, read_base, weights_folder
from components.stage import StageError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def prepare_model(settings: config.Settings, base: Path, champion: Path) -> torch.nn.Module:
    """The model to train, with exactly those tensors trainable that `train.method` trains.

    LoRA (Hu et al. 2021) stands on every linear layer but the head. `start: champion` goes on
    from the champion's adapter or weights; without a champion it starts at the base.

    Raises:
        ModelError: base or champion is missing, damaged, or of another base.
        StageError: the champion was made by another method, or the base has no such layers.
    """
    wanted = settings.train
    from_champion = wanted.start == "champion" and (champion / "manifest.json").exists()
    if wanted.method == "lora":
        return _lora_of_champion(wanted, base, champion) if from_champion else _new_lora(wanted, base)
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


def _new_lora(wanted: config.TrainSettings, base: Path) -> torch.nn.Module:
    from peft import LoraConfig, get_peft_model

    model = load_model(base, dtype="float32")
    reference = read_base(base)
    # PEFT would write the temporary path it was loaded from, and asks the hub about it when it saves.
    model.name_or_path = reference.location if reference.kind == "hub" else str(weights_folder(base))
    adapter = LoraConfig(
        r=wanted.lora.r,
        lora_alpha=wanted.lora.alpha,
        lora_dropout=wanted.lora.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, adapter)


def _lora_of_champion(wanted: config.TrainSettings, base: Path, champion: Path) -> torch.nn.Module:
    from peft import PeftModel

    from components.models import check_adapter

    if not (champion / "adapter_config.json").exists():
        raise StageError(
            "train.start: champion with train.method: lora: the champion holds whole weights, no adapter; "
            "use the champion's method, or start: base"
        )
    check_adapter(base, champion)
    try:
        model = PeftModel.from_pretrained(load_model(base, dtype="float32"), str(champion), is_trainable=True)
    except Exception as error:
        raise ModelError(f"{champion} holds no usable adapter: {first_line(error)}") from error
    there: Any = model.peft_config["default"]
    if (there.r, there.lora_alpha) != (wanted.lora.r, wanted.lora.alpha):
        raise StageError(
            f"train.start: champion: the champion's adapter has r={there.r}, alpha={there.lora_alpha}; "
            "set train.lora to the same, or start: base"
        )
    there.inference_mode = False
    return model


def freeze_all_but_top(model: PreTrainedModel, top: int) -> None:
    """Train the last `top` layers, the final norm and the head; tied embeddings count as the head.

    Raises:
        StageError: the model has no numbered layers, or fewer than `top`.
    """
    numbered = re.compile(r"\.(?:layers|h|blocks)\.(\d+)\.")
    found = {int(match[1]) for name, _ in model.named_parameters() if (match := numbered.search(name))}
    if not found:
        raise StageError(f"train.method: freeze: {type(model).__name__} has no numbered layers; use lora or full")
    if top > len(found):
        raise StageError(f"train.freeze_top = {top}, but the base has {len(found)} layers")
    first = len(found) - top
    head = {id(parameter) for parameter in model.get_output_embeddings().parameters()}
    for name, parameter in model.named_parameters():
        match = numbered.search(name)
        below = match is not None and int(match[1]) < first
        is_embedding = match is None and "embed" in name and id(parameter) not in head
        parameter.requires_grad_(not below and not is_embedding)


def save(model: torch.nn.Module, folder: Path) -> None:
    """Write the adapter, or the whole weights, as one safetensors file with its configuration."""
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
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, trains in counts if trains) / sum(size for size, _ in counts)
