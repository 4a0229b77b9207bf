"""A version as one plain model folder: what `from_pretrained` of transformers, vLLM and the like load."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components import chat, golden, models
from components.export import ExportError
from components.export.template import portable

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from components.golden import GoldenPrompt


def write(version: Path, base: Path, into: Path) -> list[str]:
    """Write merged weights, tokenizer, chat template and generation settings, and try them with plain transformers.

    The weights get the base's own type. Where that rounds so much that a golden prompt is answered in other
    tokens, they stay in float32, and a line says so.

    Raises:
        ExportError: not even in float32 do the files give the golden prompts' tokens.
        ModelError: the version or its base is damaged.
    """
    import torch

    model, tokenizer = load(version, base)
    prompts = golden.read(version)
    tokenizer.save_pretrained(into)
    said = [f"model.safetensors and what belongs to it: {sum(p.numel() for p in model.parameters()):,} parameters"]
    for dtype in dict.fromkeys((dtype_of(base), torch.float32)):
        copy: Any = model if dtype == torch.float32 else _in(model, dtype)
        copy.generation_config = _generation(model, tokenizer)
        copy.save_pretrained(into)
        _name_tokenizer(into)
        differing = differences(into, prompts)
        if not differing:
            said.append(f"weights in {str(dtype).removeprefix('torch.')}")
            said.append(f"checked: transformers answers all {len(prompts)} golden prompts in the version's own tokens")
            return said
        said.append(f"{str(dtype).removeprefix('torch.')} would round too much ({differing[0]})")
    raise ExportError(f"the merged weights do not answer as the version does: {differing[0]}; nothing was written")


def load(version: Path, base: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The version as one float32 model on the CPU, and its tokenizer with a chat template that anybody renders.

    Raises:
        ModelError: missing or damaged weights, or an adapter made for another base.
    """
    if not sys.stderr.isatty():
        from transformers.utils import logging as bars

        bars.disable_progress_bar()  # its carriage returns fill a log
    merged: Any = models.load_model(base, version, dtype="float32")
    if hasattr(merged, "merge_and_unload"):
        merged = merged.merge_and_unload()
    tokenizer = models.load_tokenizer(version)
    assert isinstance(tokenizer.chat_template, str)
    tokenizer.chat_template = portable(tokenizer.chat_template)
    return merged.eval(), tokenizer


def dtype_of(base: Path) -> Any:
    """The type of the base's weights as its config.json names it; float32 where it names none."""
    import torch

    config = json.loads((models.weights_folder(base) / "config.json").read_text(encoding="utf-8"))
    found = getattr(torch, str(config.get("dtype") or config.get("torch_dtype") or "float32"), None)
    return found if isinstance(found, torch.dtype) and found.is_floating_point else torch.float32


def end_ids(tokenizer: PreTrainedTokenizerBase, generation: Any) -> list[int]:
    """Tokens that end an answer in this service: end of turn, end of text, and what the base's own settings add."""
    found = {chat.end_of_turn_id(tokenizer)}
    if isinstance(tokenizer.eos_token_id, int):
        found.add(tokenizer.eos_token_id)
    more = getattr(generation, "eos_token_id", None)
    found.update([more] if isinstance(more, int) else more or [])
    return sorted(found)


def until_end(answer: Sequence[int], ends: Sequence[int]) -> list[int]:
    """A golden answer up to the first token that ends an answer, that token included."""
    stop = next((at for at, token in enumerate(answer, 1) if token in ends), len(answer))
    return list(answer[:stop])


def differences(folder: Path, prompts: Sequence[GoldenPrompt]) -> list[str]:
    """What plain transformers, with nothing but the folder's own files, makes otherwise than the version did."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", trust_remote_code=False).eval()
    found = []
    for number, prompt in enumerate(prompts, 1):
        ids = torch.tensor([chat.prompt_ids(tokenizer, prompt.messages)])
        if ids[0].tolist() != list(prompt.prompt_ids):
            found.append(f"golden prompt {number} is rendered in other tokens")
            continue
        expected = until_end(prompt.answer_ids, end_ids(tokenizer, model.generation_config))
        with torch.inference_mode():
            out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=len(prompt.answer_ids))
        answer = out[0, ids.shape[1] :].tolist()
        if answer != expected:
            at = next((i for i, (a, b) in enumerate(zip(answer, expected, strict=False)) if a != b), len(expected))
            found.append(f"golden prompt {number} is answered otherwise from token {at + 1} on")
    return found


def _generation(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Any:
    """Greedy, as every version is taught and measured, and ended by what ends an answer."""
    from transformers import GenerationConfig

    return GenerationConfig(
        do_sample=False,
        eos_token_id=end_ids(tokenizer, model.generation_config),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=getattr(model.generation_config, "bos_token_id", None),
    )


def _in(model: PreTrainedModel, dtype: Any) -> PreTrainedModel:
    import copy

    other: Any = copy.deepcopy(model)
    return other.to(dtype)


def _name_tokenizer(folder: Path) -> None:
    """Name the tokenizer's class as transformers 4 does too, whose 5 writes a name that only it knows."""
    file = folder / "tokenizer_config.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    if settings.get("tokenizer_class") == "TokenizersBackend":
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
        file.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
