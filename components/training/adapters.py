"""LoRA and its kin: a small matrix product beside each chosen layer learns, the base stays as it is.

LoRA (Hu et al. 2021, https://arxiv.org/abs/2106.09685); with `use_dora` each weight's length apart from its
direction, with `use_rslora` scaled for a large rank; `qlora` (Dettmers et al. 2023, https://arxiv.org/abs/2305.14314)
holds the base in four bits meanwhile. What comes out is an adapter in PEFT's format in every case,
and serves on the base in full precision.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components import config
from components.models import ModelError, check_adapter, first_line, load_model, read_base, weights_folder
from components.stage import StageError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

ADAPTERS = ("lora", "qlora")
"""Values of `train.method` that make an adapter."""


def new_adapter(wanted: config.TrainSettings, base: Path) -> torch.nn.Module:
    """The base with an adapter that changes nothing yet.

    Raises:
        ModelError: the base is missing or damaged.
        StageError: `target_modules` names a layer that the base does not have, or this machine can do no qlora.
    """
    model = _load(wanted, base)
    reference = read_base(base)
    # PEFT would write the temporary path it was loaded from, and asks the hub about it when it saves.
    model.name_or_path = reference.location if reference.kind == "hub" else str(weights_folder(base))
    return adapted(model, wanted)


def adapted(model: PreTrainedModel, wanted: config.TrainSettings) -> torch.nn.Module:
    """A model with an adapter on it as `train.lora` has it; only that is trainable.

    Raises:
        StageError: `target_modules` names a layer that the model does not have.
    """
    from peft import LoraConfig, get_peft_model

    layers(model, wanted.lora.target_modules)
    targets = wanted.lora.target_modules
    adapter = LoraConfig(
        r=wanted.lora.r,
        lora_alpha=wanted.lora.alpha,
        lora_dropout=wanted.lora.dropout,
        use_dora=wanted.lora.use_dora,
        use_rslora=wanted.lora.use_rslora,
        target_modules=targets if isinstance(targets, str) else list(targets),
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, adapter)


def champions_adapter(wanted: config.TrainSettings, base: Path, champion: Path) -> torch.nn.Module:
    """The base with the champion's adapter, to go on from it.

    Raises:
        ModelError: base or champion is missing, damaged, or of another base.
        StageError: the champion's adapter is of another kind than `train.lora` asks for.
    """
    from peft import PeftModel
    from peft.tuners.tuners_utils import BaseTunerLayer

    if not (champion / "adapter_config.json").exists():
        raise StageError(
            f"train.start: champion with train.method: {wanted.method}: the champion holds whole weights, no adapter; "
            "use the champion's method, or start: base"
        )
    check_adapter(base, champion)
    plain = _load(wanted, base)
    asked = layers(plain, wanted.lora.target_modules)
    try:
        model = PeftModel.from_pretrained(plain, str(champion), is_trainable=True)
    except Exception as error:
        raise ModelError(f"{champion} holds no usable adapter: {first_line(error)}") from error
    there: Any = model.peft_config["default"]
    has = {"r": there.r, "alpha": there.lora_alpha, "use_dora": there.use_dora, "use_rslora": there.use_rslora}
    if any(value != getattr(wanted.lora, name) for name, value in has.items()):
        found = ", ".join(f"{name}={str(value).lower()}" for name, value in has.items())
        raise StageError(
            f"train.start: champion: the champion's adapter has {found}; set train.lora to the same, or start: base"
        )
    stands = {name for name, module in plain.named_modules() if isinstance(module, BaseTunerLayer)}
    if stands != asked:
        raise StageError(
            "train.start: champion: the champion's adapter stands on "
            f"{', '.join(sorted({name.rpartition('.')[2] for name in stands}))}; "
            "set train.lora.target_modules to the same, or start: base"
        )
    there.lora_dropout = wanted.lora.dropout
    there.inference_mode = False
    return model


def layers(model: PreTrainedModel, targets: str | tuple[str, ...]) -> set[str]:
    """Full names of the layers that `train.lora.target_modules` means: linear ones, the head aside.

    Raises:
        StageError: one of the names is no such layer.
    """
    import torch
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    linear = {
        name
        for name, module in model.named_modules()
        if isinstance(module, (torch.nn.Linear, Conv1D)) and module is not head
    }
    if isinstance(targets, str):
        return linear
    chosen: set[str] = set()
    for target in targets:
        found = {name for name in linear if name == target or name.endswith(f".{target}")}
        if not found:
            known = ", ".join(sorted({name.rpartition(".")[2] for name in linear}))
            raise StageError(f"train.lora.target_modules: the base has no layer {target!r}; it has {known}")
        chosen |= found
    return chosen


def check_machine(method: str) -> None:
    """Whether this machine can do what the method needs.

    Raises:
        StageError: qlora without a GPU or without bitsandbytes.
    """
    if method != "qlora":
        return
    import torch

    if not torch.cuda.is_available():
        raise StageError(
            "train.method: qlora holds the base in 4 bits on a GPU, and this machine has none that PyTorch sees; "
            "use method lora (on a CPU 4 bits save memory that is no bottleneck, and cost time)"
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise StageError("train.method: qlora needs the package bitsandbytes: pip install -e '.[qlora]'")


def served(model: torch.nn.Module, base: Path, version: Path) -> torch.nn.Module:
    """The model as it will answer: what was trained, or, trained on a rounded base, its adapter on the whole one.

    Raises:
        ModelError: base or version is damaged.
    """
    if not _is_rounded(model):
        return model
    device = next(model.parameters()).device
    full: Any = load_model(base, version, dtype="float32")
    return full.to(device).eval()


def _is_rounded(model: torch.nn.Module) -> bool:
    """Whether the base below an adapter is held in four bits or in bfloat16 (components/training/acceleration.py)."""
    import torch

    return any(not p.requires_grad and p.dtype in (torch.uint8, torch.bfloat16) for p in model.parameters())


def _load(wanted: config.TrainSettings, base: Path) -> PreTrainedModel:
    check_machine(wanted.method)
    if wanted.method != "qlora":
        return load_model(base, dtype="float32")
    import torch

    return load_in_four_bits(base, {"": torch.cuda.current_device()})


def load_in_four_bits(base: Path, where: dict[str, Any]) -> PreTrainedModel:
    """The base as 4-bit NormalFloat with double quantisation, computing in bfloat16; norms and head in float32.

    Args:
        where: transformers' `device_map`.
    """
    import torch
    from peft import prepare_model_for_kbit_training
    from transformers import BitsAndBytesConfig

    four_bits = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    model = load_model(base, dtype="bfloat16", quantization_config=four_bits, device_map=where)
    prepared: PreTrainedModel = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    return prepared
