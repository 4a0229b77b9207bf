"""What pre-training is worth: the same instruction tuning from random and from pre-trained weights.

    python -m benchmarks.pretraining [--seeds 17 18] [--rows 500 2000] [--steps 400]

Builds the local base in a temporary folder, pre-trained as params.yaml says and with `pretrain.steps: 0`, and answers
the corpus task's test sets with each: once with every row of instruction tuning that params.yaml asks for, and once
with so few as `--rows` says, since few labelled rows are what pre-training is for. A base without pre-training is also
tuned for longer, by as much processor time as pre-training took, so that a gain is not just that of more work.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.exact_match import exact
from components import config, layout

SETS = ("test", "unseen")
ALL_ROWS = "instruct-all.jsonl"
"""Every row of instruction tuning; instruct.jsonl holds those of the base at hand."""


def worked(stage: Callable[[config.Settings], None], settings: config.Settings) -> float:
    """Run a stage; seconds of processor time that it took, of all its processes."""
    before = os.times()
    stage(settings)
    after = os.times()
    return sum(after[:4]) - sum(before[:4])


def tuned(settings: config.Settings, rows: int) -> dict[str, float]:
    """Tune the pre-trained weights of the working directory on so many rows; processor seconds, exact match per set."""
    from components.training.instruct import main as instruct

    lines = (layout.CORPUS / ALL_ROWS).read_text(encoding="utf-8").splitlines(keepends=True)
    chosen = random.Random(settings.seed).sample(lines, min(rows, len(lines)))
    (layout.CORPUS / "instruct.jsonl").write_text("".join(chosen), encoding="utf-8")
    values = {"rows": float(len(chosen)), "steps": float(settings.instruct.steps), "tuning": worked(instruct, settings)}
    return values | exact(settings.corpus.task, SETS, layout.BASE, None, settings.evaluate.max_new_tokens)


def compare(settings: config.Settings, sizes: Sequence[int]) -> list[tuple[str, dict[str, float]]]:
    """For each number of rows three bases of one seed: pre-trained, not, and not but tuned for as long as both."""
    from components.pretraining.__main__ import REPORT
    from components.pretraining.__main__ import main as pretrain

    found: list[tuple[str, dict[str, float]]] = []
    spent = {"pretraining": worked(pretrain, settings)}
    spent["bits"] = json.loads((REPORT / "metrics.json").read_text())["bits_per_byte"]
    found += [("pre-trained", spent | tuned(settings, rows)) for rows in sizes]
    none = settings.model_copy(update={"pretrain": settings.pretrain.model_copy(update={"steps": 0})})
    pretrain(none)
    random_weights = {"pretraining": 0.0}
    random_weights["bits"] = json.loads((REPORT / "metrics.json").read_text())["bits_per_byte"]
    for rows, (_, with_it) in zip(sizes, list(found), strict=True):
        share = 1 + with_it["pretraining"] / with_it["tuning"]
        longer = settings.instruct.model_copy(update={"steps": round(settings.instruct.steps * share)})
        found.append(("not pre-trained", random_weights | tuned(none, rows)))
        found.append(
            ("not, tuned as long as both", random_weights | tuned(none.model_copy(update={"instruct": longer}), rows))
        )
    return sorted(found, key=lambda one: one[1]["rows"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, default=layout.PARAMS)
    parser.add_argument("--seeds", type=int, nargs="+", help="default: the seed in params.yaml")
    parser.add_argument("--rows", type=int, nargs="*", default=[500], help="rows of instruction tuning, beside all")
    parser.add_argument("--steps", type=int, help="of instruction tuning; default: as params.yaml says")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings = config.load(arguments.params)
    steps = arguments.steps or settings.instruct.steps
    settings = settings.model_copy(update={"instruct": settings.instruct.model_copy(update={"steps": steps})})
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
            sizes = [*arguments.rows, seeded.corpus.instructions]
            results += [(seed, name, values) for name, values in compare(seeded, sizes)]
        os.chdir("/")
    Console(width=130).print(table(results))


def prepare(settings: config.Settings) -> None:
    """The stages before pre-training."""
    from components.corpus.__main__ import main as corpus
    from components.examples.__main__ import main as examples
    from components.tokenizer.__main__ import main as tokenizer

    for stage in (examples, corpus, tokenizer):
        stage(settings)
    (layout.CORPUS / "instruct.jsonl").rename(layout.CORPUS / ALL_ROWS)


def table(results: list[tuple[int, str, dict[str, Any]]]) -> Table:
    """One line a base."""
    columns = ("seed", "rows", "base", "steps", "processor s, pre-training", "tuning", "bits a byte")
    shown = Table(*columns, *(f"exact, {name}" for name in SETS))
    for seed, name, values in results:
        shown.add_row(
            str(seed),
            f"{values['rows']:,.0f}",
            name,
            f"{values['steps']:.0f}",
            f"{values['pretraining']:.0f}",
            f"{values['tuning']:.0f}",
            f"{values['bits']:.2f}",
            *(f"{values[each]:.3f}" for each in SETS),
        )
    return shown


if __name__ == "__main__":
    main()
