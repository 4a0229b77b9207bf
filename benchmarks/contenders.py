"""One tool's training of a lesson, in this process: python -m benchmarks.contenders NAME FOLDER MARKS OUT

Each loads the lesson's base, trains on its rows once in batches of the lesson's size, and writes what it learned to
OUT, an adapter in PEFT's format or whole weights. Learning rate, seed, LoRA and precision are the lesson's; all else
is what the tool takes by itself. Marks: `imported`, `training` (the first step begins), `trained`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import lessons
from benchmarks.footprint import mark
from components.files import read_rows
from components.schema import Example

if TYPE_CHECKING:
    from components.config import TrainSettings
    from components.training.batches import Batches


def saqia(folder: Path, marks: Path, out: Path) -> None:
    """What stage `train` does between its inputs and its outputs, without MLflow and checkpoints."""
    from components.models import load_tokenizer
    from components.optimization import loop
    from components.training import methods
    from components.training.batches import Batches, encode

    mark("imported", marks)
    settings = lessons.of(folder)
    wanted = settings.train
    device = loop.prepare(settings.seed, settings.threads, wanted.deterministic)
    tokenizer = load_tokenizer(folder / "base")
    model = methods.prepare_model(settings, folder / "base", folder / "no champion").to(device)
    encoded = encode(tokenizer, read_rows(folder / "rows.jsonl", Example), settings.model.context)
    assert isinstance(tokenizer.pad_token_id, int)
    batches = Batches(encoded, wanted.batch_size, settings.seed, tokenizer.pad_token_id)
    chosen = fit(model, wanted, batches, settings.threads, begins=lambda: mark("training", marks))
    mark("trained", marks)
    state = [value for one in chosen for slot in one.state.values() for value in slot.values()]
    told = {
        "trainable_share": methods.trainable_share(model),
        "optimizer_mb": sum(value.numel() * value.element_size() for value in state) / 2**20,
    }
    methods.save(model, out)
    (out / "told.json").write_text(json.dumps(told))


def fit(
    model: Any,
    wanted: TrainSettings,
    batches: Batches,
    threads: int,
    begins: Callable[[], None],
    on_step: Callable[[int, dict[str, float]], None] | None = None,
) -> list[Any]:
    """The stage's loop on objective `sft`, and the optimizers when it is through.

    Args:
        begins: called before the first step.
        on_step: called after each, with its number and what is logged of it.
    """
    from components.cores import processes
    from components.optimization import loop, optimizers, precision
    from components.training import acceleration, methods
    from components.training.batches import share
    from components.training.completion import completion_loss, head_is_separable

    in_bfloat16 = precision.decide(wanted.precision, model, batches.step(0).tokens, threads) == "bfloat16"
    if in_bfloat16:
        acceleration.prepare(model, wanted)
    fast = head_is_separable(model, batches.step(0))
    replicas = processes(model, batches.size, threads)
    methods.checkpoint_activations(model, wanted.gradient_checkpointing)
    chosen = optimizers.adamw(model, methods.learning_rate(wanted, model))
    plan = loop.Plan(
        section="train",
        steps=wanted.steps,
        warmup=wanted.warmup,
        seed=batches.seed,
        batch=batches.step,
        loss=lambda model, batch: completion_loss(model, batch, fast),
        share=share,
        replicas=replicas,
        parts=loop.parts(batches.size, replicas, wanted.micro_batch_size),
        bfloat16=in_bfloat16,
        log_every=1 if on_step else wanted.steps + 1,
        on_log=on_step,
    )
    begins()
    with acceleration.compiled(model, wanted.compile if in_bfloat16 else False):
        loop.fit(model, chosen, plan)
    return chosen


def _trl(folder: Path, marks: Path, out: Path, **changes: Any) -> None:
    """TRL's SFTTrainer. It gets token ids, so that it teaches exactly the same tokens."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from components.models import load_tokenizer
    from components.training.batches import encode

    class Marks(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            mark("training", marks)

        def on_train_end(self, *_: Any, **__: Any) -> None:
            mark("trained", marks)

    mark("imported", marks)
    settings = lessons.of(folder)
    wanted, lora = settings.train, settings.train.lora
    torch.set_num_threads(settings.threads)
    tokenizer = load_tokenizer(folder / "base")
    encoded = encode(tokenizer, read_rows(folder / "rows.jsonl", Example), settings.model.context)
    rows = [
        {"input_ids": e.ids.tolist(), "completion_mask": [0] * e.prompt + [1] * (len(e.ids) - e.prompt)}
        for e in encoded
    ]
    given: dict[str, Any] = {
        "output_dir": str(out / "trainer"),
        "learning_rate": wanted.lr,
        "per_device_train_batch_size": wanted.batch_size,
        "num_train_epochs": 1,
        "seed": settings.seed,
        "bf16": wanted.precision == "bfloat16",
        "use_cpu": not torch.cuda.is_available(),
        "completion_only_loss": True,
        "save_strategy": "no",
        "report_to": "none",
    }
    if changes.get("packing"):
        mean = sum(len(e.ids) for e in encoded) / len(encoded)
        sequences = max(1, round(wanted.batch_size * mean / settings.model.context))
        changes |= {"max_length": settings.model.context, "per_device_train_batch_size": sequences}
    adapter = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules if isinstance(lora.target_modules, str) else list(lora.target_modules),
        task_type="CAUSAL_LM",
    )
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32),
        args=SFTConfig(**{**given, **changes}),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=adapter if wanted.method == "lora" else None,
        callbacks=[Marks()],
    )
    trainer.train()
    trainer.save_model(str(out))


def trl(folder: Path, marks: Path, out: Path) -> None:
    """At its defaults, which check-point activations."""
    _trl(folder, marks, out)


def trl_unchecked(folder: Path, marks: Path, out: Path) -> None:
    """Without check-pointed activations, as ours."""
    _trl(folder, marks, out, gradient_checkpointing=False)


def trl_packing(folder: Path, marks: Path, out: Path) -> None:
    """Rows packed into sequences of the context's length, so many a batch that it holds about as many rows."""
    _trl(folder, marks, out, packing=True)


LLAMAFACTORY = """
import json, os, sys, time
from llamafactory.train.tuner import run_exp
from transformers import TrainerCallback

def mark(name):
    with open(sys.argv[2], "a") as lines:
        lines.write(json.dumps({"mark": name, "at": time.time(), "processor": sum(os.times()[:4])}) + "\\n")

class Marks(TrainerCallback):
    def on_train_begin(self, *_, **__):
        mark("training")
    def on_train_end(self, *_, **__):
        mark("trained")

mark("imported")
run_exp(json.load(open(sys.argv[1])), callbacks=[Marks()])
"""
"""Runs in LLaMA-Factory's own environment, which has nothing of this project."""


def llamafactory(folder: Path, out: Path, changes: dict[str, Any]) -> Path:
    """Write what LLaMA-Factory needs to train a lesson; the file of its arguments."""
    from components.export.template import portable
    from components.models import load_tokenizer

    settings = lessons.of(folder)
    wanted, lora = settings.train, settings.train.lora
    tokenizer = load_tokenizer(folder / "base")
    assert isinstance(tokenizer.chat_template, str)
    base = out / "base"
    base.mkdir(parents=True)
    for file in (folder / "base").iterdir():
        (base / file.name).write_bytes(file.read_bytes())
    tokenizer.chat_template = portable(tokenizer.chat_template)
    tokenizer.save_pretrained(base)
    rows = read_rows(folder / "rows.jsonl", Example)
    lines = (json.dumps({"messages": [m.model_dump() for m in row.messages]}) for row in rows)
    (out / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    tags = {"role_tag": "role", "content_tag": "content"}
    tags |= {f"{role}_tag": role for role in ("user", "assistant", "system")}
    described = {"file_name": "rows.jsonl", "formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": tags}
    (out / "dataset_info.json").write_text(json.dumps({"rows": described}))
    method = {"finetuning_type": "full"}
    if wanted.method == "lora":
        target = "all" if isinstance(lora.target_modules, str) else ",".join(lora.target_modules)
        method = {"finetuning_type": "lora", "lora_rank": lora.r, "lora_alpha": lora.alpha, "lora_target": target}
    arguments = {
        "model_name_or_path": str(base),
        "stage": "sft",
        "do_train": True,
        **method,
        "dataset_dir": str(out),
        "dataset": "rows",
        "template": "chatml",
        "cutoff_len": settings.model.context + 1,  # its chatml ends an answer with one more line end
        "output_dir": str(out / "trained"),
        "save_strategy": "no",
        "report_to": "none",
        "per_device_train_batch_size": wanted.batch_size,
        "gradient_accumulation_steps": 1,
        "learning_rate": wanted.lr,
        "num_train_epochs": 1,
        "bf16": wanted.precision == "bfloat16",
        "seed": settings.seed,
        **changes,
    }
    file = out / "arguments.json"
    file.write_text(json.dumps(arguments, indent=1))
    return file


HERE: dict[str, Callable[[Path, Path, Path], None]] = {
    "saqia": saqia,
    "TRL": trl,
    "TRL, activations kept": trl_unchecked,
    "TRL, packing": trl_packing,
}
"""Those that run in this environment."""
ELSEWHERE: dict[str, dict[str, Any]] = {
    "LLaMA-Factory": {},
    "LLaMA-Factory, activations kept": {"disable_gradient_checkpointing": True},
}
"""What is changed of LLaMA-Factory's defaults."""


if __name__ == "__main__":
    name, *places = sys.argv[1:]
    HERE[name](*map(Path, places))
