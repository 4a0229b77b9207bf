"""Real, tiny models for the serving tests: a random Llama, adapters on it, whole version folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers import models as bpe
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from components import chat, golden, label_head, models
from components.schema import Message

TEXT = [
    "I have had a headache since yesterday, it is about 4 out of 10.",
    '{"symptom":"headache","site":"head","duration":"2 days","severity":4,"medication":null,"urgency":"routine"}',
    "My knee hurts when I walk and paracetamol did not help at all.",
    "the quick brown fox jumps over the lazy dog 0123456789",
]
SYSTEM = "Write the intake note."
SCHEMA = {
    "type": "object",
    "properties": {"symptom": {"type": "string"}, "severity": {"type": "integer", "minimum": 0, "maximum": 10}},
    "required": ["symptom", "severity"],
    "additionalProperties": False,
}


def make_base(
    folder: Path,
    *,
    hidden: int = 32,
    layers: int = 2,
    heads: int = 4,
    groups: int = 2,
    context: int = 256,
    spread: float = 0.3,
) -> Path:
    """A random Llama with a byte-level tokenizer and ChatML, beside its base.json.

    spread: standard deviation of its weights; too much of it in a wide model, and rounding changes what it says.
    """
    core = Tokenizer(bpe.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=list(chat.SPECIAL_TOKENS), initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    core.train_from_iterator(TEXT, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|endoftext|>", pad_token="<|endoftext|>", chat_template=chat.CHAT_TEMPLATE
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=spread,
    )
    model = LlamaForCausalLM(config)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    reference = models.BaseReference(kind="local", location=".", sha256=models.tensor_hash(folder))
    (folder / "base.json").write_text(reference.model_dump_json())
    return folder


def make_version(folder: Path, base: Path, seed: int, spread: float = 0.2, **manifest: Any) -> Path:
    """A LoRA adapter with random weights as a whole version: tokenizer, template, golden.json, manifest.json."""
    torch.manual_seed(seed)
    model = models.load_model(base)
    tokenizer = models.load_tokenizer(base)
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=16, target_modules="all-linear"))
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=spread)
    adapted.eval()
    folder.mkdir(parents=True, exist_ok=True)
    adapted.save_pretrained(str(folder))
    finish_version(folder, base, adapted, tokenizer, method="lora", **manifest)
    return folder


def make_full_version(folder: Path, base: Path, seed: int, **manifest: Any) -> Path:
    """A fully tuned model as a version (train.method: full)."""
    torch.manual_seed(seed)
    model = models.load_model(base)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    finish_version(folder, base, model, models.load_tokenizer(base), method="full", **manifest)
    return folder


def make_label_version(folder: Path, base: Path, seed: int, labels: tuple[str, ...], **manifest: Any) -> Path:
    """A LoRA version that answers by a random label head (train.objective: classify)."""
    make_version(folder, base, seed)
    width = models.load_model(base).config.hidden_size
    label_head.write(
        folder, label_head.LabelHead(labels, torch.randn(len(labels), width), torch.randn(len(labels)), 2.0)
    )
    adapted, tokenizer = models.load_model(base, None), models.load_tokenizer(base)
    adapted = PeftModel.from_pretrained(adapted, str(folder)).eval()
    finish_version(folder, base, adapted, tokenizer, method="lora", **{"answer": "label", **manifest})
    return folder


def finish_version(folder: Path, base: Path, model: Any, tokenizer: Any, *, method: str, **manifest: Any) -> None:
    """Tokenizer, template, golden prompts and manifest as the training side writes them."""
    tokenizer.save_pretrained(folder)
    values = {
        "task": "intake",
        "base": models.read_base(base).model_dump(),
        "method": method,
        "adapter_sha256": models.tensor_hash(folder),
        "chat_template_sha256": "",
        "system": SYSTEM,
        "answer": "json",
        "schema": None,
        "created_by": {},
    }
    (folder / "manifest.json").write_text(json.dumps({**values, **manifest}))
    prompts = []
    for text in ("My head hurts.", "the quick brown fox"):
        messages = (Message(role="system", content=SYSTEM), Message(role="user", content=text))
        head = label_head.read(folder) if label_head.there(folder) else None
        prompts.append(golden.make(model, tokenizer, messages, 24, head))
    golden.write(folder, prompts)


def greedy(model: Any, prompt: list[int], tokens: int, end: set[int]) -> list[int]:
    """The slow, obvious reference: the whole sequence again for every token."""
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(tokens):
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] in end:
                break
    return ids[len(prompt) :]


def load_reference(base: Path, version: Path | None) -> Any:
    """A version by PEFT itself, unmerged, outside any engine."""
    model = models.load_model(base)
    if version is not None:
        model = PeftModel.from_pretrained(model, str(version)).eval()
    return model


def copy_version(version: Path, to: Path) -> Path:
    """A version to be damaged without harm to the others."""
    return Path(shutil.copytree(version, to))
