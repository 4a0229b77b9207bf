"""The folder that a version is: weights, tokenizer, chat template, golden prompts, manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components import golden
from components.files import write_text
from components.models import Manifest, read_base, tensor_hash, write_manifest
from components.schema import Example
from components.task import Task
from components.training import adapters, methods
from components.training.classifier import Classifier

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from components.config import TrainSettings


def write_version(
    folder: Path,
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    base: Path,
    settings: TrainSettings,
    prompts: Sequence[Example],
    context: int,
    created_by: dict[str, Any],
) -> Manifest:
    """Write a whole version into an empty folder.

    Args:
        base: the folder of the base that it stands on.
        prompts: examples whose prompts become the golden ones.
        created_by: the parameters that made it.
    """
    methods.save(model, folder)
    tokenizer.save_pretrained(folder)
    template = tokenizer.chat_template
    assert isinstance(template, str)
    write_text(folder / "chat_template.jinja", template)
    schema = task.schema_model()
    manifest = Manifest(
        task=task.name,
        base=read_base(base),
        method=settings.method,
        adapter_sha256=tensor_hash(folder),
        chat_template_sha256=hashlib.sha256(template.encode()).hexdigest(),
        system=task.system,
        answer=task.answer,
        schema=schema.model_json_schema() if schema else None,
        created_by=created_by,
    )
    write_manifest(folder, manifest)
    head = model.head if isinstance(model, Classifier) else None
    answers = adapters.served(model.policy if isinstance(model, Classifier) else model, base, folder)
    golden.write_answers(folder, answers, tokenizer, [example.prompt for example in prompts], context, head)
    return manifest


def golden_examples(examples: Sequence[Example], count: int) -> list[Example]:
    """A fixed, arbitrary choice: the examples whose ids have the smallest hashes."""
    return sorted(examples, key=lambda example: hashlib.sha256(example.id.encode()).digest())[:count]
