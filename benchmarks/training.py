"""How fast a training is, and in how much memory, beside TRL and LLaMA-Factory at the same lesson, in one run.

    python -m benchmarks.training [--models default 95m] [--methods lora full] [--steps 150 6] [--rounds 1]
        [--threads 2] [--llamafactory PYTHON] [--set batch_size=16 …]

The lesson (benchmarks/lessons.py): the same base, rows in batches of the same size, each seen once, learning rate,
LoRA, seed and precision. Contenders (benchmarks/contenders.py) train it one after another, each in a process of its
own, in so many rounds; the median counts. PYTHON is the interpreter of an environment with LLaMA-Factory,
which wants older libraries than this project. Printed for each: useful tokens (padding is none) a second of training
and a processor-second, seconds from its imports to the first step, most memory above that of its imports, and what was
learned: loss and exact match on held-out rows, by this project's own evaluation.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from benchmarks import contenders, footprint, lessons
from benchmarks.lessons import Lesson
from components import chat
from components.files import read_rows
from components.schema import Example

REFERENCE = "TRL"
"""Ratios are to this contender."""


@dataclass
class Result:
    """What a contender did, a value a round, and what its first round's model knows."""

    speed: list[float] = field(default_factory=list)
    """Useful tokens a second between the first step and the last."""
    work: list[float] = field(default_factory=list)
    """The same, a second of processor."""
    ready: list[float] = field(default_factory=list)
    """Seconds from the imports' end to the first step: loading, tokenising, building a trainer."""
    memory: list[float] = field(default_factory=list)
    """Most MiB above those at the imports' end."""
    imported: list[float] = field(default_factory=list)
    """MiB at the imports' end."""
    loss: float | None = None
    exact: dict[str, float] = field(default_factory=dict)


def train(lesson: Lesson, name: str, into: Path, llamafactory: str | None) -> footprint.Watched:
    """One contender's training in a process of its own; what it learned lies in `into`/trained."""
    into.mkdir(parents=True)
    marks, out = into / "marks.jsonl", into / "trained"
    environment = footprint.project_environment(lesson.settings.threads)
    if name in contenders.HERE:
        command = [sys.executable, "-m", "benchmarks.contenders", name, str(lesson.folder), str(marks), str(out)]
        return footprint.watch(command, marks, environment)
    assert llamafactory
    arguments = contenders.llamafactory(lesson.folder, into, contenders.ELSEWHERE[name])
    environment.pop("PYTHONPATH")
    command = [llamafactory, "-c", contenders.LLAMAFACTORY, str(arguments), str(marks)]
    return footprint.watch(command, marks, environment)


def measured(result: Result, seen: footprint.Watched, useful: int) -> None:
    """Add one round's figures."""
    result.speed.append(useful / seen.seconds("training", "trained"))
    result.work.append(useful / seen.processor("training", "trained"))
    result.ready.append(seen.seconds("imported", "training"))
    result.imported.append(seen.at("imported"))
    result.memory.append(seen.peak("imported", "trained") - seen.at("imported"))


def learned(lesson: Lesson, trained: Path) -> tuple[float, dict[str, float]]:
    """Mean loss of held-out answers in nats a token, and exact match by set (none where the base knew nothing)."""
    from components.evaluation.generation import answer_losses, generate
    from components.models import load_tokenizer, load_weights

    base = lesson.folder / "base"
    tokenizer = load_tokenizer(base)
    model: Any = load_weights(trained if (trained / "config.json").exists() else base, "float32")
    if (trained / "adapter_config.json").exists():
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(trained)).merge_and_unload()
    model.eval()
    nats, tokens, exact = 0.0, 0, {}
    for file in lesson.sets:
        rows = read_rows(file, Example)
        encoded = chat.examples_ids(tokenizer, [row.messages for row in rows])
        prompts, answers = [ids[:start] for ids, start in encoded], [ids[start:] for ids, start in encoded]
        for loss, count in answer_losses(model, prompts, answers, batch_size=32):
            nats, tokens = nats + loss, tokens + count
        if lesson.trained:
            said = generate(
                model,
                prompts,
                end=chat.end_of_turn_id(tokenizer),
                max_new_tokens=lesson.settings.evaluate.max_new_tokens,
                drafts=answers,
            )
            right = sum(ids == answer[:-1] for ids, answer in zip(said, answers, strict=True))
            exact[file.stem] = right / len(rows)
    return nats / tokens, exact


def compare(
    lesson: Lesson, names: Sequence[str], rounds: int, llamafactory: str | None, root: Path, told: Callable[[str], None]
) -> dict[str, Result]:
    """Every contender's figures over so many rounds, in turns."""
    results = {name: Result() for name in names}
    for number in range(rounds):
        for name in names:
            seen = train(lesson, name, root / f"{name} {number}", llamafactory)
            measured(results[name], seen, lesson.useful)
            last = results[name]
            told(
                f"round {number + 1}, {name}: {last.speed[-1]:,.0f} tokens/s, {last.work[-1]:,.0f} a processor-second, "
                f"{last.memory[-1]:,.0f} MB above its imports"
            )
    for name, result in results.items():
        result.loss, result.exact = learned(lesson, root / f"{name} 0" / "trained")
    return results


def table(title: str, results: dict[str, Result]) -> Table:
    """One line a contender, ratios to `REFERENCE` in brackets."""
    middle = {name: {key: statistics.median(getattr(one, key)) for key in _SHOWN} for name, one in results.items()}
    sets = next(iter(results.values())).exact
    shown = Table(title=title, title_justify="left")
    shown.add_column("")
    heads = ("useful tokens/s", "a processor s", "until the first step", "memory above imports", "imports", "loss")
    for head in (*heads, *sets):
        shown.add_column(head, justify="right")
    to = middle.get(REFERENCE, next(iter(middle.values())))
    for name, result in results.items():
        own = middle[name]
        shown.add_row(
            name,
            f"{own['speed']:,.0f} ({own['speed'] / to['speed']:.2f}x)",
            f"{own['work']:,.0f} ({own['work'] / to['work']:.2f}x)",
            f"{own['ready']:.1f} s",
            f"{own['memory']:,.0f} MB ({own['memory'] / to['memory']:.2f}x)",
            f"{own['imported']:,.0f} MB",
            f"{result.loss:.4f}",
            *(f"{result.exact[name]:.3f}" for name in sets),
        )
    return shown


_SHOWN = ("speed", "work", "ready", "memory", "imported")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=lessons.MODELS, default=list(lessons.MODELS))
    parser.add_argument("--methods", nargs="+", choices=("lora", "full"), default=["lora"])
    parser.add_argument("--steps", type=int, nargs="+", default=[150, 6], help="for each of the models")
    parser.add_argument("--threads", type=int, help="default: as params.yaml says")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--test-rows", type=int, default=200, help="of each held-out set")
    parser.add_argument("--contenders", nargs="+", choices=[*contenders.HERE, *contenders.ELSEWHERE])
    parser.add_argument("--llamafactory", metavar="PYTHON", help="of an environment with LLaMA-Factory")
    parser.add_argument("--set", dest="changes", nargs="*", default=[], metavar="KEY=VALUE", help="of section train")
    given = parser.parse_args()
    if len(given.steps) != len(given.models):
        parser.error(f"--steps needs a number for each of the models {', '.join(given.models)}")
    console = Console(width=190, highlight=False)
    names = given.contenders or [*contenders.HERE, *contenders.ELSEWHERE]
    if not given.llamafactory and (missing := [name for name in names if name in contenders.ELSEWHERE]):
        console.print(f"not measured, without --llamafactory: {', '.join(missing)}")
        names = [name for name in names if name in contenders.HERE]
    changes = {key: yaml.safe_load(value) for key, value in (change.split("=", 1) for change in given.changes)}
    for model, steps in zip(given.models, given.steps, strict=True):
        for method in given.methods:
            with tempfile.TemporaryDirectory(prefix="saqia-training-") as temporary:
                root = Path(temporary)
                asked = {"precision": "float32", **changes, "method": method, "steps": steps}
                lesson = lessons.prepare(root / "lesson", model, asked, given.test_rows, threads=given.threads)
                results = compare(lesson, names, given.rounds, given.llamafactory, root, console.print)
                train_ = lesson.settings.train
                title = f"{model}, {lesson.parameters / 1e6:.1f} M parameters, {method}, {steps} steps of "
                title += f"{train_.batch_size} rows, {lesson.useful:,} tokens, {lesson.settings.threads} threads"
                console.print(table(title, results))


if __name__ == "__main__":
    main()
