"""What a remedy before the verdict is worth: gain on new messages against loss on old ones, point by point.

    python -m benchmarks.remedies [--seeds 61 62 63] [--keep FOLDER]

For each seed version 1 is built and one turn is made as in `benchmarks.quality`. Then, of the same champion and the
same curated rows, every remedy makes its versions:

strength       between the champion's weights and the trained ones, an adapter's factors each by itself (stage `select`)
product        the same of the product of an adapter's two factors, cut to their rank by its singular values
two seeds      another training of the same rows with another seed; the mean of both
lower rate     another training with half of the rate
near replay    80 more steps from the trained version, on corrections and own rows like the tuning rows that it broke
few old rows   the trained version of a turn that replays only 300 old rows, which forgets, and the points towards it
               (its near replay has all old rows to draw from, so it is no like for like)

All are measured on an independent draw of the generator: 3,000 messages like the first version's test (old), and 500
like the traffic that the corrections are of (target). Beside it stands what the tuning rows say, by which stage
`select` chooses; seconds are those that the remedy adds to a turn. With --keep a second run goes on from what is there.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file, save_file

from benchmarks.quality import one_seed, workspace
from components import config, layout
from components.examples.similarity import jaccard, shingles
from components.files import copy_folder, read_rows, write_rows
from components.models import load_tokenizer, read_manifest, tensor_hash, write_manifest
from components.schema import Example
from components.selection.mixing import write_between
from components.selection.tuning import Rows
from components.task import generator
from components.task import load as load_task

OLD, NEW = 3000, 500
STRENGTHS, PRODUCTS = (0.75, 0.85, 0.9, 0.95), (0.875,)
FEW, FORGETFUL = 300, "few old rows"
NEAR_STEPS, NEAR_ROWS = 80, 40
"""Of `near replay`: steps, and own rows for each broken one."""
WEIGHTS = "adapter_model.safetensors"


def between_products(folder: Path, champion: Path, trained: Path, strength: float) -> None:
    """An adapter whose product is the mixed products' best approximation of the same rank (Eckart and Young 1936)."""
    old, new = load_file(champion / WEIGHTS), load_file(trained / WEIGHTS)
    mixed = dict(new)
    for name in [name for name in new if ".lora_A." in name]:
        pair = name.replace(".lora_A.", ".lora_B.")
        down = torch.cat([old[name], new[name]])
        up = torch.cat([(1 - strength) * old[pair], strength * new[pair]], dim=1)
        q_up, r_up = torch.linalg.qr(up)
        q_down, r_down = torch.linalg.qr(down.T)
        u, s, v = torch.linalg.svd(r_up @ r_down.T)
        rank = new[name].shape[0]
        root = s[:rank].sqrt()
        mixed[name] = (root[:, None] * (v[:rank] @ q_down.T)).contiguous()
        mixed[pair] = ((q_up @ u[:, :rank]) * root).contiguous()
    write_weights(folder, trained, mixed)


def write_weights(folder: Path, like: Path, tensors: dict[str, torch.Tensor]) -> None:
    """A version like another one, with other weights."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    copy_folder(like, folder)
    for name in (WEIGHTS, "manifest.json"):
        (folder / name).unlink()
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    write_manifest(folder, read_manifest(like).model_copy(update={"adapter_sha256": tensor_hash(folder)}))


def mean(folder: Path, one: Path, other: Path) -> None:
    """The mean of two versions' weights."""
    a, b = load_file(one / WEIGHTS), load_file(other / WEIGHTS)
    write_weights(folder, one, {name: (a[name] + b[name]) / 2 for name in a})


def train(
    name: str, changes: dict[str, Any], rows: Sequence[Example] | None = None, champion: Path | None = None
) -> tuple[Path, float]:
    """Stage `train` beside the one that was made, with other settings, rows or another version to go on from."""
    here, folder = Path.cwd(), Path("remedies") / f"train {name}"
    task = config.load().task
    made = folder / layout.trained(task)
    metrics = folder / layout.training(task) / "metrics.json"
    if metrics.exists():
        return made, float(json.loads(metrics.read_text())["seconds"])
    shutil.rmtree(folder, ignore_errors=True)
    for part in (Path("components"), Path("tasks"), layout.BASE, layout.quality(task)):
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).symlink_to(here / part)
    (folder / layout.CHAMPION).symlink_to((champion or layout.CHAMPION).resolve())
    shutil.copytree(layout.curated(task), folder / layout.curated(task))
    if rows is not None:
        write_rows(folder / layout.curated(task) / "train.jsonl", rows)
    values = yaml.safe_load(layout.PARAMS.read_text())
    for key, value in changes.items():
        section = values
        *path, last = key.split(".")
        for part_of_key in path:
            section = section[part_of_key]
        section[last] = value
    (folder / layout.PARAMS).write_text(yaml.safe_dump(values, sort_keys=False))
    done = subprocess.run([sys.executable, "-m", "components", "training"], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name}: {done.stderr[-2000:]}")
    return made, float(json.loads(metrics.read_text())["seconds"])


def near_rows(broken: Sequence[Example], own: Sequence[Example]) -> list[Example]:
    """Own rows most like the broken ones by their words."""
    words = [shingles(row.question, 1) for row in own]
    chosen: set[int] = set()
    for row in broken:
        like = shingles(row.question, 1)
        ranked = sorted(range(len(own)), key=lambda i: (-jaccard(like, words[i]), i))
        chosen |= set(ranked[:NEAR_ROWS])
    return [own[i] for i in sorted(chosen)]


class Measured:
    """A seed's champion, rows and results."""

    def __init__(self, seed: int) -> None:
        self.settings = config.load()
        self.name = self.settings.task
        self.trained = layout.trained(self.name)
        self.tokenizer = load_tokenizer(layout.BASE)
        made = generator(self.name)
        assert made is not None
        sizes = {"train": 1, "test": OLD, "unseen": 0, "new": 0, "new_unseen": 0, "traffic": NEW}
        drawn = made.example_sets(seed + 1000, sizes)
        self.draw = self.rows(drawn["traffic"], drawn["test"])
        self.tuning = self.rows(*(read_rows(self.curated(f"tuning_{n}"), Example) for n in ("target", "guard")))
        self.file = Path("remedies/results.json")
        self.results: dict[str, dict[str, float]] = json.loads(self.file.read_text()) if self.file.exists() else {}

    def curated(self, name: str) -> Path:
        return layout.curated(self.name) / f"{name}.jsonl"

    def rows(self, target: Sequence[Example], guard: Sequence[Example]) -> Rows:
        threads, evaluate = self.settings.threads, self.settings.evaluate
        return Rows(load_task(self.name), target, guard, layout.BASE, self.tokenizer, evaluate, threads)

    def look(self, name: str, version: Path, seconds: float) -> None:
        """What a version does to both draws, and to the tuning rows."""
        began = time.perf_counter()
        tuned = self.tuning.means(version)
        seconds += time.perf_counter() - began
        target, old = self.draw.means(version)
        self.results[name] = {
            "target": target, "old": old, "tuning_target": tuned[0], "tuning_guard": tuned[1], "seconds": seconds,
        }  # fmt: skip
        self.file.write_text(json.dumps(self.results))

    def between(self, of: str, trained: Path, strengths: Sequence[float], products: Sequence[float] = ()) -> None:
        """Points between the champion and a version, by factors and by products."""
        for kind, strength in [*(("strength", s) for s in strengths), *(("product", s) for s in products)]:
            name = f"{of}{kind} {strength:g}"
            if name in self.results:
                continue
            folder = Path("remedies") / name
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            began = time.perf_counter()
            if kind == "strength":
                context = self.settings.model.context
                write_between(folder, layout.CHAMPION, trained, strength, layout.BASE, self.tokenizer, context)
            else:
                between_products(folder, layout.CHAMPION, trained, strength)
            self.look(name, folder, time.perf_counter() - began)

    def trainings(self) -> None:
        """Remedies that train."""
        from components.training import methods

        if "half the rate" not in self.results:
            slower, seconds = train("half the rate", {"train.lr": methods.RATES["lora"] / 2})
            self.look("half the rate", slower, seconds)
        if "mean of two seeds" not in self.results:
            other, seconds = train("other seed", {"seed": self.settings.seed + 500})
            self.look("other seed alone", other, seconds)
            mean(Path("remedies/mean"), self.trained, other)
            self.look("mean of two seeds", Path("remedies/mean"), seconds)
        self.replayed("", self.trained)

    def replayed(self, of: str, trained: Path) -> None:
        """A short training from a version, on own rows like those that it broke."""
        name = f"{of}near replay"
        if name in self.results:
            return
        rows = read_rows(self.curated("train"), Example)
        own, new = [row for row in rows if not row.of_feedback], [row for row in rows if row.of_feedback]
        before, after = (self.tuning.values(version)[1] for version in (layout.CHAMPION, trained))
        broken = [row for row, a, b in zip(self.tuning.guard, before, after, strict=True) if b < a]
        taught = [*near_rows(broken, own), *new] if broken else rows
        changes = {"train.steps": NEAR_STEPS, "train.feedback_share": 0.0}
        made, seconds = train(name, changes, taught, trained)
        self.look(name, made, seconds)

    def few_old_rows(self) -> None:
        """The same where training does forget: a turn that has only a few hundred old rows to replay."""
        rows = read_rows(self.curated("train"), Example)
        own, new = [row for row in rows if not row.of_feedback], [row for row in rows if row.of_feedback]
        forgetful, seconds = train("few old rows", {}, [*own[:FEW], *new])
        if FORGETFUL not in self.results:
            self.look(FORGETFUL, forgetful, seconds)
        self.between(f"{FORGETFUL}, ", forgetful, STRENGTHS)
        self.replayed(f"{FORGETFUL}, ", forgetful)


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in a seed's folder, with its own state."""
    before = Path.cwd()
    os.environ.update(SAQIA_HOME=str(folder / ".saqia"), MLFLOW_TRACKING_URI=f"sqlite:///{folder}/mlruns/mlflow.db")
    os.environ.pop("SAQIA_DATABASE_URL", None)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def table(results: dict[int, dict[str, dict[str, float]]]) -> Table:
    """One line a version: gain on the target, loss on old messages, by seed and in the mean."""
    shown = Table(title="against the champion, independent draw: gain on new messages / gain on old ones")
    seeds = list(results)
    for column in ("version", *(f"seed {seed}" for seed in seeds), "mean", "tuning rows", "seconds"):
        shown.add_column(column)
    for name in sorted(set.intersection(*(set(found) for found in results.values())) - {"champion"}):
        gains = [
            [results[s][name][key] - results[s]["champion"][key] for s in seeds]
            for key in ("target", "old", "tuning_target", "tuning_guard")
        ]
        cells = [f"{a:+.3f} / {b:+.4f}" for a, b in zip(gains[0], gains[1], strict=True)]
        means = [sum(values) / len(values) for values in gains]
        seconds = sum(results[s][name]["seconds"] for s in seeds) / len(seeds)
        shown.add_row(
            name, *cells, f"{means[0]:+.3f} / {means[1]:+.4f}", f"{means[2]:+.3f} / {means[3]:+.4f}", f"{seconds:.1f}"
        )
    return shown


def main() -> None:
    """Make what is not there yet, seed by seed, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[61, 62, 63])
    parser.add_argument("--keep", type=Path, help="keep the folders, the DVC cache and every result here")
    parser.add_argument("--strength-only", action="store_true", help="no remedy that trains")
    arguments = parser.parse_args()
    console = Console(highlight=False, width=150)
    kept = arguments.keep.resolve() if arguments.keep else Path(tempfile.mkdtemp(prefix="saqia-remedies-"))
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    results: dict[int, dict[str, dict[str, float]]] = {}
    try:
        for seed in arguments.seeds:
            folder = kept / f"seed-{seed}"
            if not (folder / "turn-made").exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                workspace(folder, seed, {}, kept / "cache")
                with inside(folder):
                    one_seed(seed, {}, kept / "cache", console)
                (folder / "turn-made").touch()
            with inside(folder):
                Path("remedies").mkdir(exist_ok=True)
                torch.set_num_threads(config.load().threads)
                measured = Measured(seed)
                for name, version in (("champion", layout.CHAMPION), ("trained", measured.trained)):
                    if name not in measured.results:
                        measured.look(name, version, 0.0)
                measured.between("", measured.trained, STRENGTHS, PRODUCTS)
                if not arguments.strength_only:
                    measured.few_old_rows()
                    measured.trainings()
                results[seed] = measured.results
                console.print(table({seed: measured.results}))
    finally:
        if not arguments.keep:
            shutil.rmtree(kept, ignore_errors=True)
    console.print(table(results))


if __name__ == "__main__":
    main()
