"""How much of a GPU a training uses, beside TRL with Liger's kernels: the same model, rows and precision, in one run.

    python -m benchmarks.gpu [--methods lora full] [--rows 8] [--length 2048] [--steps 16] [--lengths equal mixed]

A model of Qwen2.5-1.5B's shape with random weights, AdamW, products in bfloat16; the adapter has rank 16 on all linear
layers. `equal`: every row has `length` tokens and teaches all. `mixed`: rows of 64 to `length` tokens, whose last third
is taught; padding is no useful token. Each contender trains in a process of its own; its first steps, which
compile, do not count. Needs a GPU, and the package liger-kernel for TRL's part.

Model FLOPs utilisation (Chowdhery et al. 2022, PaLM, appendix B): the arithmetic that model and method need, over what
the card could do by its data sheet (dense bfloat16). Computing activations twice counts once. A token needs, with P
parameters in matrices (embedding apart, head counted where it is used), L layers, width d and n tokens seen before it,

    forward    2·P + 4·L·d·n                      (n is half the row on average: attention is causal)
    backward   full: twice the forward.  lora: 2·P + 8·L·d·n, since frozen weights need no gradient, and adapters 4·A

Many tools count an adapter's training as if it were a full one (6·P); "as full" is that number.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import contenders
from benchmarks.footprint import project_environment
from components import config
from components.files import write_json
from components.models import BaseReference, tensor_hash
from components.training import adapters

SHAPE = {
    "vocab_size": 151_936,
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32_768,
    "rope_parameters": {"rope_theta": 1_000_000.0, "rope_type": "default"},
    "tie_word_embeddings": True,
}
"""Of Qwen/Qwen2.5-1.5B-Instruct's config.json."""
PEAK = {"H100": 989.4e12, "H200": 989.4e12, "A100": 312e12, "L40S": 362e12, "4090": 165.2e12, "B200": 2250e12}
"""Dense bfloat16 FLOP/s by data sheet (SXM parts), by what the card's name contains."""
WARM = 5
"""Steps that are not counted: they compile, and fill caches."""
SEED = 17
DEVICE = "cuda"
THREADS = 8


@dataclass(frozen=True)
class Asked:
    """One training."""

    method: str
    lengths: str
    rows: int
    length: int
    steps: int


@dataclass
class Seen:
    """What one contender's training showed."""

    ready: float
    """Seconds until the first counted step: model, trainer, compilation, `WARM` steps."""
    seconds: float
    """Of all counted steps."""
    tokens: int
    """Useful ones in these."""
    flops: float
    """That model and method need for these."""
    as_full: float
    """The same, if every weight were trained."""
    memory: float
    """Most GiB of the card that tensors took."""
    loss: float
    """Mean of the last three steps."""


def drawn(asked: Asked) -> list[tuple[np.ndarray, int]]:
    """Every row of a training: token ids, and where what it teaches begins."""
    random = np.random.default_rng(SEED)
    count = asked.rows * asked.steps
    lengths = np.full(count, asked.length)
    if asked.lengths == "mixed":
        lengths = random.integers(64, asked.length + 1, count)
    begin = lengths * 2 // 3 if asked.lengths == "mixed" else np.ones(count, dtype=int)
    return [(random.integers(0, 150_000, n), int(b)) for n, b in zip(lengths, begin, strict=True)]


def flops(method: str, config: Any, adapters: int, length: int, taught: int) -> float:
    """What forward and backward of one row need; see the module's docstring.

    Args:
        adapters: parameters of the adapter.
        length: tokens of the row.
        taught: tokens to which the head is applied.
    """
    width, between = config.hidden_size, config.intermediate_size
    per_head = width // config.num_attention_heads
    attention = 2 * width * width + 2 * width * per_head * config.num_key_value_heads
    layers = config.num_hidden_layers
    body = layers * (attention + 3 * width * between)
    products = 2 * (body * length + width * config.vocab_size * taught)
    seen = layers * 4 * width * length * (length + 1) / 2
    if method == "full":
        return 3 * (products + seen)
    return 2 * products + 3 * seen + 6 * adapters * length


def model_of(method: str) -> Any:
    """The model on the card: float32 where it is trained itself, bfloat16 below an adapter, four bits for qlora."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(SEED)
    with torch.device(DEVICE):
        model = Qwen2ForCausalLM(Qwen2Config(**SHAPE))
    if method == "full":
        return model
    model = model.to(torch.bfloat16)
    if method == "lora":
        return model
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model.save_pretrained(folder)
        write_json(folder / "base.json", BaseReference(kind="local", location=".", sha256=tensor_hash(folder)))
        del model
        return adapters.load_in_four_bits(folder, {"": 0})


def saqia(asked: Asked, rows: list[tuple[np.ndarray, int]], done: Any, **changes: Any) -> Any:
    """What stage `train` does between its inputs and its outputs, without MLflow and checkpoints."""
    from components.optimization import loop
    from components.training.batches import Batches, Encoded

    wanted = config.TrainSettings(method=asked.method, batch_size=asked.rows, steps=asked.steps, **changes)
    loop.prepare(SEED, THREADS, wanted.deterministic)
    model: Any = model_of(asked.method)
    if asked.method == "full":
        model.requires_grad_(True)
    else:
        model = adapters.adapted(model, wanted)
    batches = Batches([Encoded(ids, begin) for ids, begin in rows], asked.rows, SEED, pad=0)

    def told(step: int, values: dict[str, float]) -> None:
        done(values["loss"], [len(rows[index][0]) for index in batches.indices(step - 1)])

    contenders.fit(model, wanted, batches, THREADS, begins=lambda: None, on_step=told)
    return model


def trl(asked: Asked, rows: list[tuple[np.ndarray, int]], done: Any, **changes: Any) -> Any:
    """TRL's SFTTrainer with Liger's kernels, at its defaults but for what `changes`."""
    from datasets import Dataset
    from peft import LoraConfig
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    class Marks(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if logs and "loss" in logs:
                done(float(logs["loss"]), None)

    words = Tokenizer(WordLevel({"<pad>": 0, "<eos>": 1}, unk_token="<pad>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>")
    lora = config.TrainSettings().lora
    adapter = LoraConfig(
        r=lora.r, lora_alpha=lora.alpha, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    lines = [{"input_ids": i.tolist(), "completion_mask": [0] * b + [1] * (len(i) - b)} for i, b in rows]
    given = {
        "output_dir": tempfile.mkdtemp(),
        "learning_rate": 1e-4,
        "per_device_train_batch_size": asked.rows,
        "num_train_epochs": 1,
        "seed": SEED,
        "bf16": True,
        "use_liger_kernel": True,
        "max_length": asked.length,
        "completion_only_loss": True,
        "save_strategy": "no",
        "report_to": "none",
        "logging_steps": 1,
    }
    if changes.get("packing"):
        mean = sum(len(ids) for ids, _ in rows) / len(rows)
        given["per_device_train_batch_size"] = max(1, round(asked.rows * mean / asked.length))
    trainer = SFTTrainer(
        model=model_of(asked.method),
        args=SFTConfig(**{**given, **changes}),
        train_dataset=Dataset.from_list(lines),
        processing_class=tokenizer,
        peft_config=adapter if asked.method == "lora" else None,
        callbacks=[Marks()],
    )
    trainer.train()
    return trainer.model


CONTENDERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "saqia": (saqia, {}),
    "saqia, not deterministic": (saqia, {"deterministic": False}),
    "saqia, not compiled": (saqia, {"compile": False}),
    "TRL, Liger": (trl, {}),
    "TRL, Liger, activations kept": (trl, {"gradient_checkpointing": False}),
    "TRL, Liger, packing, activations kept": (trl, {"gradient_checkpointing": False, "packing": True}),
}
"""What trains, and what is changed of its defaults."""


def one(name: str, asked: Asked) -> Seen:
    """One contender's training in this process."""
    import torch

    began = time.perf_counter()
    rows = drawn(asked)
    at: list[float] = []
    losses: list[float] = []
    lengths: list[list[int] | None] = []

    def done(loss: float, of: list[int] | None) -> None:
        torch.cuda.synchronize()
        at.append(time.perf_counter())
        losses.append(loss)
        lengths.append(of)

    train, changes = CONTENDERS[name]
    model = train(asked, rows, done, **changes)
    begins = {len(ids): begin for ids, begin in rows}
    counted = [n for of in lengths[WARM:] for n in of or ()]
    if not counted:  # TRL does not say which rows a step had: all of them, by the share of the steps counted
        counted = [len(ids) for ids, _ in rows]
    share = 1.0 if any(lengths) else (len(at) - WARM) / len(at)
    added = sum(p.numel() for n, p in model.named_parameters() if "lora_" in n)

    def needed(method: str) -> float:
        return share * sum(flops(method, model.config, added, n, n - begins[n]) for n in counted)

    return Seen(
        ready=at[WARM - 1] - began,
        seconds=at[-1] - at[WARM - 1],
        tokens=round(share * sum(counted)),
        flops=needed(asked.method),
        as_full=needed("full"),
        memory=torch.cuda.max_memory_allocated() / 2**30,
        loss=sum(losses[-3:]) / 3,
    )


def table(asked: Asked, seen: dict[str, Seen], card: str) -> Table:
    """One line a contender."""
    peak = next((flops for name, flops in PEAK.items() if name in card), None)
    title = f"{card}: {asked.method}, {asked.lengths} rows of up to {asked.length} tokens, {asked.rows} a step, "
    title += f"{asked.steps - WARM} of {asked.steps} steps"
    shown = Table(title=title, title_justify="left")
    for head in ("", "useful tokens/s", "TFLOP/s", "MFU", "as full", "memory", f"until step {WARM + 1}", "loss"):
        shown.add_column(head, justify="right" if head else "left")
    to = next((one for name, one in seen.items() if name.startswith("TRL")), next(iter(seen.values())))
    for name, found in seen.items():
        speed, rate = found.tokens / found.seconds, found.flops / found.seconds
        shown.add_row(
            name,
            f"{speed:,.0f} ({speed / (to.tokens / to.seconds):.2f}x)",
            f"{rate / 1e12:.0f}",
            f"{rate / peak:.1%}" if peak else "unknown card",
            f"{found.as_full / found.seconds / peak:.1%}" if peak else "",
            f"{found.memory:.1f} GiB ({found.memory / to.memory:.2f}x)",
            f"{found.ready:.0f} s",
            f"{found.loss:.3f}",
        )
    return shown


def reaches() -> tuple[str, float]:
    """The card's name, and TFLOP/s of its own product of two matrices of 8,192 by 8,192, random, in bfloat16."""
    import torch

    one, other = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        one @ other
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(20):
        one @ other
    torch.cuda.synchronize()
    return torch.cuda.get_device_name(), 20 * 2 * 8192**3 / (time.perf_counter() - began) / 1e12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=("lora", "qlora", "full"), default=["lora", "full"])
    parser.add_argument("--lengths", nargs="+", choices=("equal", "mixed"), default=["equal"])
    parser.add_argument("--rows", type=int, default=8, help="of a step")
    parser.add_argument("--length", type=int, default=2048, help="tokens of the longest row")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--contenders", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--one", nargs=2, metavar=("NAME", "TRAINING"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        name, asked = given.one
        print(json.dumps(asdict(one(name, Asked(**json.loads(asked))))))
        return
    import torch

    if not torch.cuda.is_available():
        parser.error("there is no GPU that PyTorch sees")
    console = Console(width=150, highlight=False)
    card, most = reaches()
    console.print(
        f"{card}, PyTorch {torch.__version__}: a product of 8,192 x 8,192 matrices runs at {most:.0f} TFLOP/s"
    )
    torch.cuda.empty_cache()
    for lengths in given.lengths:
        for method in given.methods:
            asked = Asked(method, lengths, given.rows, given.length, given.steps)
            seen: dict[str, Seen] = {}
            for name in given.contenders:
                if "packing" in name and lengths == "equal":
                    continue  # nothing to pack
                if method == "qlora" and not name.startswith("saqia"):
                    continue  # TRL is handed no quantised model here
                found = _apart(name, asked)
                if isinstance(found, Seen):
                    seen[name] = found
                    console.print(f"{name}: {found.tokens / found.seconds:,.0f} useful tokens/s", soft_wrap=True)
                else:
                    console.print(f"{name} failed: {found}", soft_wrap=True)
            if seen:
                console.print(table(asked, seen, card))


def _apart(name: str, asked: Asked) -> Seen | str:
    """One contender in a process of its own; what it printed last where it failed."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--one", name, json.dumps(asdict(asked))]
    ended = subprocess.run(command, env=project_environment(THREADS), capture_output=True, text=True, cwd=Path.cwd())
    if ended.returncode:
        return "\n".join(ended.stderr.strip().splitlines()[-12:])
    return Seen(**json.loads(ended.stdout.strip().splitlines()[-1]))


if __name__ == "__main__":
    main()
