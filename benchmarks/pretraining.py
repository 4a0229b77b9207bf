"""What pre-training is worth: the same instruction tuning from random and from pre-trained weights.

    python -m benchmarks.pretraining [--seeds 17 18]

Builds the local base twice per seed, with `pretrain.steps: 0` and as params.yaml says, in a
temporary folder, and answers the corpus task's test sets with each. A base is compared at its
own instruction tuning, and once more without pre-training but with the time that pre-training
took spent on longer instruction tuning, so that the gain is not just that of more work.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from components import chat, config, layout, task
from components.files import read_rows
from components.schema import Example

SETS = ("test", "unseen")


def build(settings: config.Settings) -> dict[str, float]:
    """Build the base in the working directory; returns seconds of work and exact match per set."""
    from components.evaluation.generation import generate, load_merged
    from components.models import load_tokenizer
    from components.pretraining.__main__ import REPORT as PRETRAIN_REPORT
    from components.pretraining.__main__ import main as pretrain
    from components.training.instruct import REPORT as INSTRUCT_REPORT
    from components.training.instruct import main as instruct

    pretrain(settings)
    instruct(settings)
    before, after = (json.loads((report / "metrics.json").read_text()) for report in (PRETRAIN_REPORT, INSTRUCT_REPORT))
    values: dict[str, float] = {
        "pretrain_seconds": before["seconds"],
        "instruct_seconds": after["seconds"],
        "bits_per_byte": before["bits_per_byte"],
    }
    described = task.load(settings.corpus.task)
    tokenizer, model = load_tokenizer(layout.BASE), load_merged(layout.BASE, None)
    for name in SETS:
        rows = read_rows(layout.examples(described.name) / f"{name}.jsonl", Example)
        answers = generate(
            model,
            [chat.prompt_ids(tokenizer, row.prompt) for row in rows],
            end=chat.end_of_turn_id(tokenizer),
            max_new_tokens=settings.evaluate.max_new_tokens,
        )
        texts = [str(tokenizer.decode(ids, skip_special_tokens=True)) for ids in answers]
        values[name] = sum(text == row.answer for text, row in zip(texts, rows, strict=True)) / len(rows)
    return values


def compare(settings: config.Settings) -> list[tuple[str, dict[str, float]]]:
    """Three bases of one seed: pre-trained, not, and not but tuned for as long as both took."""
    with_it = build(settings)
    none = settings.model_copy(update={"pretrain": settings.pretrain.model_copy(update={"steps": 0})})
    without = build(none)
    share = (with_it["pretrain_seconds"] + with_it["instruct_seconds"]) / with_it["instruct_seconds"]
    longer = settings.instruct.model_copy(update={"steps": round(settings.instruct.steps * share)})
    longer_without = build(none.model_copy(update={"instruct": longer}))
    return [
        ("pre-trained, tuned", with_it),
        ("not pre-trained, tuned", without),
        ("not pre-trained, tuned for as long as both", longer_without),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, default=layout.PARAMS)
    parser.add_argument("--seeds", type=int, nargs="+", help="default: the seed in params.yaml")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings = config.load(arguments.params)
    tasks = Path("tasks").resolve()
    results: list[tuple[int, str, dict[str, float]]] = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["SAQIA_HOME"] = folder
        shutil.copytree(tasks, "tasks")
        for seed in arguments.seeds or [settings.seed]:
            seeded = settings.model_copy(
                update={"seed": seed, "task": settings.corpus.task, "model": config.ModelSettings()}
            )
            prepare(seeded)
            results += [(seed, name, values) for name, values in compare(seeded)]
        os.chdir("/")
    Console().print(table(results))


def prepare(settings: config.Settings) -> None:
    """The stages before pre-training."""
    from components.corpus.__main__ import main as corpus
    from components.examples.__main__ import main as examples
    from components.tokenizer.__main__ import main as tokenizer

    for stage in (examples, corpus, tokenizer):
        stage(settings)


def table(results: list[tuple[int, str, dict[str, Any]]]) -> Table:
    """One line a base."""
    shown = Table("seed", "base", "pre-training s", "tuning s", "bits a byte", *(f"exact, {name}" for name in SETS))
    for seed, name, values in results:
        shown.add_row(
            str(seed),
            name,
            f"{values['pretrain_seconds']:.0f}",
            f"{values['instruct_seconds']:.0f}",
            f"{values['bits_per_byte']:.2f}",
            *(f"{values[each]:.3f}" for each in SETS),
        )
    return shown


if __name__ == "__main__":
    main()
