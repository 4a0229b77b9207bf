"""The reference from above: one model, trained from the base on everything at once.

It gets the task's own training rows and every message of every turn with its true answer, each row as often as any
other, and as many steps as all turns together: no wheel could know more, and none of its people was wrong.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.wheel_workspace import copy_code, environment, outs, run_stage, set_params
from components import layout, registry
from components.files import read_rows, write_json, write_rows
from components.schema import Example

if TYPE_CHECKING:
    from benchmarks.turns.wheel import Wheel


def oracle(wheel: Wheel) -> dict[str, Any]:
    """Train it, in a folder beside the copy, and look at it as at the last version."""
    plan, folder = wheel.plan, wheel.state.folder / "oracle"
    first = registry.get("intake", wheel.state.values["build"]["version"])
    steps = plan.oracle_steps or plan.turns * wheel.settings.train.steps
    (adapter,) = outs(Path(), "train", "intake")
    began = time.perf_counter()
    if not (folder / adapter / "manifest.json").exists():
        prepare(wheel, folder, steps, registry.local_base(first))
        run_stage(folder, "train", environment(folder))
    seconds = time.perf_counter() - began
    shares = wheel.whole_of(f"oracle-{steps}", registry.local_base(first), folder / adapter)
    return {"steps": steps, "seconds": seconds, "scores": shares}


def prepare(wheel: Wheel, folder: Path, steps: int, base: Path) -> None:
    """Its inputs, in a copy of the code."""
    copy_code(Path.cwd(), folder)
    (folder / "mlruns").mkdir(exist_ok=True)
    shutil.copytree(base, folder / layout.BASE, dirs_exist_ok=True)
    write_json(folder / layout.CHAMPION / "none.json", {})
    (folder / layout.quality("intake")).mkdir(parents=True, exist_ok=True)
    taught = read_rows(wheel.examples("train"), Example)
    for number in range(1, wheel.plan.turns + 1):
        taught += wheel.messages(number)
    write_rows(folder / layout.curated("intake") / "train.jsonl", taught)
    set_params(folder, {"train.start": "base", "train.steps": steps, "train.first_steps": steps})
