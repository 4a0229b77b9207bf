"""What each training method costs in memory and time, and what it teaches.

    python -m benchmarks.memory [--batches 1 8] [--steps 4] [--task-steps 300] [--methods full freeze lora dora rslora]

First, on a Llama of 95 million parameters with random weights and rows that fill the context: trainable share,
optimizer state, most memory above that of the imports (and as a multiple of the weights, in float32) and seconds a
step, for each method and batch size, with activations kept and check-pointed. Textbooks say that the optimizer makes
full tuning cost a multiple of the model, and that an adapter saves it: the table shows where. Then the same task by
each method in as many steps from the project's base (from random weights where nothing is built): the same figures,
and exact match on held-out rows. Each training is one of `train`'s, in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import lessons, training
from benchmarks.lessons import Lesson

METHODS: dict[str, dict[str, Any]] = {
    "full": {"method": "full"},
    "freeze": {"method": "freeze"},
    "lora": {"method": "lora"},
    "dora": {"method": "lora", "lora": {"use_dora": True}},
    "rslora": {"method": "lora", "lora": {"use_rslora": True}},
}
CONTENDER = "saqia"


@dataclass(frozen=True)
class Cost:
    """What one training took."""

    trainable: float
    """Share of all parameters."""
    optimizer: float
    """MiB of the optimizer's state."""
    memory: float
    """Most MiB above those at the imports' end."""
    step: float
    """Seconds a step, the first one included."""


def cost(lesson: Lesson, into: Path) -> Cost:
    """Train a lesson; what was learned lies in `into`/trained."""
    seen = training.train(lesson, CONTENDER, into, None)
    told = json.loads((into / "trained" / "told.json").read_text())
    return Cost(
        trainable=told["trainable_share"],
        optimizer=told["optimizer_mb"],
        memory=seen.peak("imported", "trained") - seen.at("imported"),
        step=seen.seconds("training", "trained") / lesson.settings.train.steps,
    )


def changes(method: str, lora: dict[str, Any], **others: Any) -> dict[str, Any]:
    """Section `train` for a method; the project's `lora` where the method says nothing else."""
    chosen = METHODS[method]
    return {**others, **chosen, "lora": {**lora, "use_dora": False, "use_rslora": False, **chosen.get("lora", {})}}


def cells(console: Console, methods: Sequence[str], batches: Sequence[int], steps: int) -> None:
    """Every method at every batch size, with activations kept and check-pointed, on the large model."""
    with tempfile.TemporaryDirectory(prefix="saqia-memory-") as temporary:
        root = Path(temporary)
        base = {"precision": "float32", "steps": steps, "batch_size": 1}
        first = lessons.prepare(root / "lesson", "95m", base, test_rows=1, filled=True)
        lora = first.settings.train.lora.model_dump()
        weights = first.parameters * 4 / 2**20
        length = first.useful / steps
        title = f"{first.parameters / 1e6:.1f} M parameters ({weights:,.0f} MB), rows of {length:.0f} tokens, "
        title += f"{steps} steps, {first.settings.threads} threads"
        table = _table(title, "method", "batch", "activations", *COSTS, "times the weights")
        for batch in batches:
            for method in methods:
                for kept in (True, False):
                    name = f"{method} {batch} {kept}"
                    asked = changes(method, lora, batch_size=batch, gradient_checkpointing=not kept)
                    found = cost(lessons.again(first, root / f"{name} lesson", asked), root / name)
                    row = (method, str(batch), "kept" if kept else "check-pointed", *_shown(found))
                    console.print(", ".join(row))
                    table.add_row(*row, f"{found.memory / weights:.1f}")
            table.add_section()
        console.print(table)


def task(console: Console, methods: Sequence[str], steps: int, test_rows: int) -> None:
    """The same rows by every method, from the project's base."""
    with tempfile.TemporaryDirectory(prefix="saqia-memory-") as temporary:
        root = Path(temporary)
        first = lessons.prepare(root / "lesson", "default", {"precision": "float32", "steps": steps}, test_rows)
        lora = first.settings.train.lora.model_dump()
        sets = [file.stem for file in first.sets] if first.trained else []
        title = f"{first.settings.task}, {first.parameters / 1e6:.1f} M parameters, {steps} steps of "
        title += f"{first.settings.train.batch_size} rows"
        table = _table(title, "method", "rate", *COSTS, "loss", *sets)
        before, exact = training.learned(first, first.folder / "base")
        table.add_row("(the base)", *[""] * (1 + len(COSTS)), f"{before:.4f}", *(f"{exact[name]:.3f}" for name in sets))
        for method in methods:
            lesson = lessons.again(first, root / f"{method} lesson", changes(method, lora))
            found = cost(lesson, root / method)
            loss, exact = training.learned(lesson, root / method / "trained")
            rate = f"{lesson.settings.train.lr:g}"
            row = (method, rate, *_shown(found), f"{loss:.4f}", *(f"{exact[name]:.3f}" for name in sets))
            console.print(", ".join(row))
            table.add_row(*row)
        console.print(table)


COSTS = ("trainable", "optimizer's state", "most memory", "a step")


def _shown(found: Cost) -> tuple[str, ...]:
    step = f"{found.step:.2f} s" if found.step >= 1 else f"{1000 * found.step:.0f} ms"
    return f"{found.trainable:.1%}", f"{found.optimizer:,.1f} MB", f"{found.memory:,.0f} MB", step


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 8], help="none: only the task")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--task-steps", type=int, default=300, help="0: not the task")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--test-rows", type=int, default=300, help="of each held-out set")
    given = parser.parse_args()
    console = Console(width=150, highlight=False)
    if given.batches:
        # rslora costs what lora costs: it is another factor
        cells(console, [name for name in given.methods if name != "rslora"], given.batches, given.steps)
    if given.task_steps:
        task(console, given.methods, given.task_steps, given.test_rows)


if __name__ == "__main__":
    main()
