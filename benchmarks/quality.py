"""How good the wheel makes the default task, over several seeds: before and after one turn.

    python -m benchmarks.quality [--seeds 17 18 19] [--set train.steps=400 …] [--keep FOLDER]

For each seed the whole pipeline runs with `dvc repro` in a folder of its own, other data and
other weights each time: version 1 is built and registered, the simulated person (the
generator's truth) judges its answers to the traffic set, and one turn is made of that
feedback. What differs from `make run` is only who carries the messages: here no HTTP and no
Prefect. Every test set is written by the generator and no part of it was tuned on.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.wheel_workspace import copy_project, parse_changes, set_params
from components import chat, config, layout, registry
from components.evaluation.generation import generate, load_merged
from components.feedback.store import Store
from components.files import read_rows
from components.models import load_tokenizer
from components.schema import Example, Feedback, Interaction, Verdict
from components.task import load as load_task

PEOPLE = 5


def repro() -> float:
    """`dvc repro` here; returns its seconds."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"dvc repro failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return time.perf_counter() - began


def judge_traffic(settings: config.Settings, version: str) -> dict[str, int]:
    """Answer the traffic set with a version; the simulated person confirms or corrects each answer."""
    task = load_task(settings.task)
    adapter = layout.adapter(task.name)
    tokenizer, model = load_tokenizer(layout.BASE), load_merged(layout.BASE, adapter)
    rows = read_rows(layout.examples(task.name) / "traffic.jsonl", Example)
    answers = generate(
        model,
        [chat.prompt_ids(tokenizer, row.prompt) for row in rows],
        end=chat.end_of_turn_id(tokenizer),
        max_new_tokens=settings.evaluate.max_new_tokens,
    )
    counts = {"confirmed": 0, "corrected": 0}
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with Store(config.places().database_url) as store:
        for number, (row, ids) in enumerate(zip(rows, answers, strict=True)):
            answer = str(tokenizer.decode(ids, skip_special_tokens=True))
            right = task.parse(answer) is not None and task.normalise(answer) == task.normalise(row.answer)
            store.add_interaction(
                Interaction(
                    id=f"c-{number}",
                    created_at=now,
                    task=task.name,
                    model_version=version,
                    messages=row.prompt,
                    answer=answer,
                    finish_reason="stop",
                    prompt_tokens=0,
                    completion_tokens=len(ids),
                    latency_ms=0,
                )
            )
            store.add_feedback(
                Feedback(
                    id=f"f-{number}",
                    interaction_id=f"c-{number}",
                    created_at=now,
                    rater=f"simulated-{number % PEOPLE}",
                    kind="thumb_up" if right else "correction",
                    correction=None if right else row.answer,
                )
            )
            counts["confirmed" if right else "corrected"] += 1
    return counts


def one_seed(seed: int, console: Console) -> dict[str, Any]:
    """Build version 1 and make one turn in the working directory."""
    settings = config.load()
    task = settings.task
    build_seconds = repro()
    reports = Path("reports") / task
    verdict = Verdict.model_validate_json((layout.evaluation(task) / "verdict.json").read_text())
    first = registry.register(layout.adapter(task), layout.BASE, verdict, registry.lineage_of(), reports)
    registry.promote(task, first.version)
    before = json.loads((reports / "evaluation.json").read_text())
    counts = judge_traffic(settings, first.version)
    with Store(config.places().database_url) as store:
        turn = store.open_turn(task)
        assert turn is not None
    params = yaml.safe_load(layout.PARAMS.read_text())
    params["turn"] |= {
        "snapshots": [{"through": turn.through, "sha256": turn.sha256}],
        "champion": {"version": first.version, "sha256": first.sha256},
    }
    layout.PARAMS.write_text(yaml.safe_dump(params, sort_keys=False))
    turn_seconds = repro()
    verdict = Verdict.model_validate_json((layout.evaluation(task) / "verdict.json").read_text())
    console.print(f"seed {seed}: {verdict.decision}; build {build_seconds:.0f} s, turn {turn_seconds:.0f} s; {counts}")
    for c in verdict.table:
        console.print(
            f"  {c.set:12} {c.role:10} n={c.examples:4} {c.champion:.3f} -> {c.candidate:.3f}  "
            f"gain {c.gain:+.3f} [{c.lower:+.3f}, {c.upper:+.3f}]"
        )
    after = json.loads((reports / "evaluation.json").read_text())
    return {
        "seed": seed,
        "verdict": verdict,
        "before": before,
        "after": after,
        "build": build_seconds,
        "turn": turn_seconds,
    }


def main() -> None:
    """Run every seed and print one table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seeds", type=int, nargs="+", default=[17, 18, 19])
    arguments.add_argument("--set", dest="changes", nargs="*", default=[], metavar="KEY=VALUE")
    arguments.add_argument("--keep", type=Path, help="keep the folders and the DVC cache here")
    given = arguments.parse_args()
    changes = parse_changes(given.changes)
    console = Console(highlight=False)
    home = Path.cwd()
    kept = given.keep.resolve() if given.keep else Path(tempfile.mkdtemp(prefix="saqia-quality-"))
    results = []
    try:
        for seed in given.seeds:
            folder = kept / f"seed-{seed}"
            shutil.rmtree(folder, ignore_errors=True)
            os.chdir(home)
            folder.mkdir(parents=True)
            copy_project(folder, kept / "cache")
            set_params(folder, {"seed": seed, **changes})
            os.environ.update(
                SAQIA_HOME=str(folder / ".saqia"), MLFLOW_TRACKING_URI=f"sqlite:///{folder}/mlruns/mlflow.db"
            )
            os.environ.pop("SAQIA_DATABASE_URL", None)
            os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            os.chdir(folder)
            results.append(one_seed(seed, console))
    finally:
        os.chdir(home)
        if not given.keep:
            shutil.rmtree(kept, ignore_errors=True)
    table = Table(title="exact match, version 1 → after one turn (corrections by a simulated person)")
    names = [c.set for c in results[0]["verdict"].comparisons]
    for column in ("seed", *names, "verdict"):
        table.add_column(column)
    for r in results:
        cells = [f"{c.champion:.3f} → {c.candidate:.3f}" for c in r["verdict"].comparisons]
        table.add_row(str(r["seed"]), *cells, r["verdict"].decision)
    console.print(table)


if __name__ == "__main__":
    main()
