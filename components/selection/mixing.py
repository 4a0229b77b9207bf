"""A version between two others: every weight on the straight line from the champion's to the trained one's.

Weight-space ensembles of a model and what was fine-tuned from it (WiSE-FT, Wortsman et al. 2022,
https://arxiv.org/abs/2109.01903, section 3): they keep most of what was learned and give back much of what was
forgotten, without any training. An adapter's two factors are mixed each by itself, so that the rank stays: that is
near the mixed product only where one adapter was trained from the other (docs/benchmarks.md has the comparison).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components import golden, label_head
from components.files import copy_folder, write_json
from components.models import ModelError, first_line, load_model, read_manifest, tensor_hash, write_manifest
from components.selection.record import Reason

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SHAPE = ("peft_type", "r", "lora_alpha", "use_dora", "use_rslora", "target_modules", "rank_pattern", "alpha_pattern")
"""What two adapters must share in adapter_config.json for their tensors to mean the same."""
ADAPTER = "adapter_config.json"


def unlike(champion: Path, trained: Path) -> Reason | None:
    """Why there is nothing sensible between two versions; None where there is.

    Raises:
        ModelError: a version is damaged.
    """
    before, after = read_manifest(champion), read_manifest(trained)
    if before.base.sha256 != after.base.sha256:
        return "other_base"
    if before.chat_template_sha256 != after.chat_template_sha256:
        return "other_template"
    if before.adapter_sha256 == after.adapter_sha256:
        return "same_weights"
    if label_head.there(champion) != label_head.there(trained):
        return "other_labels"
    if label_head.there(trained) and label_head.read(champion).labels != label_head.read(trained).labels:
        return "other_labels"
    if _adapter(champion) != _adapter(trained) or _tensors(champion) != _tensors(trained):
        return "other_shape"
    if (trained / ADAPTER).exists() and after.created_by.get("train", {}).get("start") != "champion":
        return "other_start"
    if any(not dtype.startswith(("F", "BF")) for _, _, dtype in _tensors(trained)):
        return "not_floating"
    return None


def write_between(
    folder: Path,
    champion: Path,
    trained: Path,
    strength: float,
    base: Path,
    tokenizer: PreTrainedTokenizerBase,
    context: int,
) -> None:
    """Write the version at `strength` of the way from the champion (0) to the trained one (1) into an empty folder.

    Tokenizer, template and golden prompts are the trained version's; weights, their hash and what the golden prompts
    are answered with are new.

    Args:
        base: the folder of the base that both stand on.
        context: tokens of prompt and answer together.
    """
    import torch

    copy_folder(trained, folder)
    for file in sorted(trained.glob("*.safetensors")):
        (folder / file.name).unlink()  # it may be the same file
        _mix(champion / file.name, file, folder / file.name, strength)
    head = _mixed_head(folder, champion, trained, strength)
    manifest = read_manifest(trained)
    made_by = manifest.created_by | {"select": {"strength": strength}}
    (folder / "manifest.json").unlink()
    write_manifest(folder, manifest.model_copy(update={"adapter_sha256": tensor_hash(folder), "created_by": made_by}))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model: Any = load_model(base, folder, dtype="float32")
    prompts = [prompt.messages for prompt in golden.read(trained)]
    golden.write_answers(folder, model.to(device), tokenizer, prompts, context, head)


def _mix(before: Path, after: Path, into: Path, strength: float) -> None:
    """One safetensors file between two others with the same tensors."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    try:
        with safe_open(before, "pt") as old, safe_open(after, "pt") as new:
            mixed = {
                name: torch.lerp(old.get_tensor(name).float(), new.get_tensor(name).float(), strength)
                .to(new.get_tensor(name).dtype)
                .contiguous()
                for name in new.keys()  # noqa: SIM118, a file and no mapping
            }
            save_file(mixed, into, metadata=new.metadata())
    except OSError:
        raise
    except Exception as error:
        raise ModelError(f"{before} and {after} cannot be mixed: {first_line(error)}") from error


def _mixed_head(folder: Path, champion: Path, trained: Path, strength: float) -> label_head.LabelHead | None:
    """The label head of a version between two, written; None where labels are not read off a head."""
    if not label_head.there(trained):
        return None
    described = json.loads((trained / label_head.LABELS).read_text(encoding="utf-8"))
    old, new = label_head.read(champion).temperature, label_head.read(trained).temperature
    (folder / label_head.LABELS).unlink()
    write_json(folder / label_head.LABELS, described | {"temperature": old + strength * (new - old)})
    return label_head.read(folder)


def _adapter(version: Path) -> dict[str, Any] | None:
    """What an adapter's tensors mean; None of whole weights."""
    if not (version / ADAPTER).exists():
        return None
    values = json.loads((version / ADAPTER).read_text(encoding="utf-8"))
    return {key: sorted(values[key]) if isinstance(values.get(key), list) else values.get(key) for key in SHAPE}


def _tensors(version: Path) -> list[tuple[str, tuple[int, ...], str]]:
    """Name, shape and type of every tensor of a version."""
    return sorted(_listed(version))


def _listed(version: Path) -> Iterator[tuple[str, tuple[int, ...], str]]:
    from safetensors import safe_open

    for file in version.glob("*.safetensors"):
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118, a file and no mapping
                part = tensors.get_slice(name)
                yield f"{file.name}/{name}", tuple(part.get_shape()), str(part.get_dtype())
