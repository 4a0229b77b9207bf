"""A whole small world for comparing models: a task, a base that learned half of it, adapters that learned more.

Words have a kind and a colour; a message names a word in one of several phrasings. The base knows the
first ten words. Everything is real: transformers, PEFT, the training side's own version folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from components import chat, layout
from components.config import TrainSettings
from components.files import write_json, write_rows
from components.models import BaseReference, load_model, load_tokenizer, tensor_hash
from components.schema import Example, Message
from components.task import Task
from components.training.version import write_version

KINDS = ("tool", "fruit", "bird", "fish")
COLOURS = ("red", "blue")
WORDS = tuple(f"w{i}" for i in range(40))
OLD, NEW = WORDS[:10], WORDS[20:30]
PHRASINGS = ("i saw {}", "there is {} here", "what is {}", "look at {} now")

TASK_YAML = """
name: toy
title: Word to note
answer: json
schema: schema.py:Note
system: name it
sets:
  - {name: test, title: same kind, role: guard}
  - {name: unseen, title: unseen phrasings, role: shown}
simulated_people: true
"""
SCHEMA = """
from typing import Literal
from pydantic import BaseModel, ConfigDict

class Note(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["tool", "fruit", "bird", "fish"]
    colour: Literal["red", "blue"]
"""


def truth(word: str) -> str:
    number = int(word[1:])
    return f'{{"kind":"{KINDS[number * 7 % 4]}","colour":"{COLOURS[number * 5 // 3 % 2]}"}}'


def rows(words: Sequence[str], phrasings: Sequence[int], answer: str | None = None) -> list[Example]:
    found = []
    for phrasing in phrasings:
        for word in words:
            message = PHRASINGS[phrasing].format(word)
            found.append(
                Example(
                    id=message.replace(" ", "-"),
                    messages=(
                        Message(role="system", content="name it"),
                        Message(role="user", content=message),
                        Message(role="assistant", content=answer or truth(word)),
                    ),
                    group=truth(word).split('"')[3],
                )
            )
    return found


def write_task(root: Path) -> Task:
    """tasks/toy under root."""
    folder = root / layout.task_folder("toy")
    folder.mkdir(parents=True)
    (folder / "task.yaml").write_text(TASK_YAML)
    (folder / "schema.py").write_text(SCHEMA)
    from components.task import load

    return load("toy", root)


def write_data(root: Path, target: Sequence[Example], regression: Sequence[Example] = ()) -> None:
    """The sets that `evaluate` reads."""
    curated, own = root / layout.curated("toy"), root / layout.examples("toy")
    write_rows(curated / "target.jsonl", target)
    write_rows(curated / "regression.jsonl", regression)
    write_rows(curated / "replay.jsonl", rows(OLD, [2]))
    write_rows(own / "test.jsonl", rows(OLD, [0, 1]))
    write_rows(own / "unseen.jsonl", rows(OLD, [3]))


@cache
def tokenizer() -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    texts = [m.content for e in rows(WORDS, range(len(PHRASINGS))) for m in e.messages]
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=list(chat.SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    plain.train_from_iterator([*texts, "system\n", "user\n", "assistant\n"], trainer)
    whole = PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<|endoftext|>", pad_token="<|endoftext|>")
    whole.chat_template = chat.CHAT_TEMPLATE
    return whole


def teach(model: torch.nn.Module, examples: Sequence[Example], steps: int, lr: float, seed: int = 0) -> None:
    """Completion-only AdamW on whole right-padded batches."""
    torch.manual_seed(seed)
    pairs = [chat.example_ids(tokenizer(), e.messages) for e in examples]
    width = max(len(ids) for ids, _ in pairs)
    inputs = torch.zeros((len(pairs), width), dtype=torch.long)
    labels = torch.full((len(pairs), width), -100)
    for row, (ids, start) in enumerate(pairs):
        inputs[row, : len(ids)] = torch.tensor(ids)
        labels[row, start : len(ids)] = torch.tensor(ids[start:])
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr)
    model.train()
    for step in range(steps):
        chosen = torch.randint(len(pairs), (min(24, len(pairs)),))
        loss = model(input_ids=inputs[chosen], labels=labels[chosen]).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] = lr * (1 - step / steps)
    model.eval()


def write_base(folder: Path, steps: int = 220) -> Path:
    """A base that knows the old words."""
    torch.manual_seed(1)
    config = LlamaConfig(
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        vocab_size=len(tokenizer()),
        max_position_embeddings=64,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer().eos_token_id,
    )
    model = LlamaForCausalLM(config)
    teach(model, rows(OLD, range(len(PHRASINGS))), steps, 3e-3)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    write_json(folder / "base.json", BaseReference(kind="local", location=".", sha256=tensor_hash(folder)))
    return folder


def write_adapter(
    folder: Path, base: Path, task: Task, examples: Sequence[Example], steps: int = 100, seed: int = 0
) -> Path:
    """A version: LoRA on the base, taught these examples."""
    torch.manual_seed(seed)
    plain: PreTrainedModel = load_model(base, dtype="float32")
    model = get_peft_model(plain, LoraConfig(r=8, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"))
    teach(model, examples, steps, 1e-2, seed)
    folder.mkdir(parents=True)
    write_version(
        folder,
        model,
        load_tokenizer(base),
        task,
        base,
        TrainSettings(),
        examples[:2],
        64,
        {"steps": steps, "seed": seed},
    )
    return folder
