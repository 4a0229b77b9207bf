"""What a teacher is worth to a student with few labelled rows, on the default task.

    python -m benchmarks.distillation [--rows 300] [--unlabelled 3000] [--steps 300] [--only alone …]

Run it where a base has been built (`dvc repro instruct`; from the cache after `saqia demo`). The teacher is that base,
which was taught the task by 16,000 rows. The student is the model before that: pre-trained, and of the same tokens.
It is taught by stage `train`, every weight, for the same steps in each line:

alone             so many labelled rows (`train.objective: sft`)
probabilities     the same rows, and what the teacher thinks of every token of their answers
answers           other messages without a label, as the teacher answers them
both              the same, and what the teacher thinks of every token of its own answers

Exact match on messages of the same kind and on unseen phrasings; nothing of either is taught to anybody.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.exact_match import exact
from components import config, layout
from components.files import read_rows, write_json, write_rows
from components.models import BaseReference, tensor_hash
from components.schema import Example

SETS = ("test", "unseen")
TEACHER = Path("teacher")
LINES: dict[str, dict[str, Any]] = {
    "alone": {"objective": "sft"},
    "probabilities": {"objective": "distill", "distill": {"answers": "rows", "weight": 1.0}},
    "answers": {"objective": "distill", "distill": {"answers": "teacher", "weight": 0.0}},
    "both": {"objective": "distill", "distill": {"answers": "teacher", "weight": 1.0}},
}
LABELLED = ("alone", "probabilities")


def prepare(project: Path, name: str) -> list[Example]:
    """Teacher, student and rows in the working directory; the labelled rows that there are."""
    for source, target in (
        (Path("tasks"), Path("tasks")),
        (layout.BASE, TEACHER),
        (layout.PRETRAINED, layout.BASE),
        (layout.examples(name), layout.examples(name)),
    ):
        shutil.copytree(project / source, target)
    reference = BaseReference(kind="local", location=".", sha256=tensor_hash(layout.BASE))
    write_json(layout.BASE / "base.json", reference)
    layout.CHAMPION.mkdir(parents=True)
    return read_rows(project / layout.curated(name) / "train.jsonl", Example)


def main() -> None:
    from components.training.__main__ import main as train

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300, help="labelled rows")
    parser.add_argument("--unlabelled", type=int, default=3000, help="messages that only the teacher answers")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--lr", type=float, default=0.002)
    parser.add_argument("--only", nargs="+", choices=LINES, default=tuple(LINES))
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    settings, project = config.load(layout.PARAMS), Path.cwd()
    shown = Table("student", "rows", *(f"exact, {name}" for name in SETS))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ |= {"SAQIA_HOME": folder, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
        rows = prepare(project, settings.task)
        random.Random(settings.seed).shuffle(rows)
        values = exact(settings.task, SETS, TEACHER, None, settings.evaluate.max_new_tokens)
        shown.add_row("(the teacher)", "", *(f"{values[name]:.3f}" for name in SETS))
        for line in given.only:
            taught = rows[: given.rows] if line in LABELLED else rows[given.rows : given.rows + given.unlabelled]
            write_rows(layout.curated(settings.task) / "train.jsonl", taught)
            how = {"method": "full", "start": "base", "steps": given.steps, "first_steps": None, "lr": given.lr}
            wanted = settings.model_dump() | {"train": settings.train.model_dump() | how | LINES[line]}
            wanted["train"]["distill"]["teacher"] = str(TEACHER)
            train(config.parse(wanted))
            adapter = layout.trained(settings.task)
            values = exact(settings.task, SETS, layout.BASE, adapter, settings.evaluate.max_new_tokens)
            shown.add_row(line, f"{len(taught):,}", *(f"{values[name]:.3f}" for name in SETS))
        os.chdir(project)
    Console(width=100).print(shown)


if __name__ == "__main__":
    main()
