"""One small world for all comparisons, trained once a session."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import torch

from components import layout
from components.files import write_json
from components.schema import Example
from components.task import Task
from tests.components.evaluation import toy


@dataclass
class World:
    root: Path
    task: Task
    base: Path
    champion: Path
    good: Path
    forgetting: Path

    def stage(self, candidate: Path, target: list[Example], regression: list[Example], champion: Path | None) -> None:
        """Lay the files out as the pipeline would before `evaluate`."""
        for folder in (layout.adapter("toy"), layout.CHAMPION, Path("reports"), Path("data")):
            shutil.rmtree(self.root / folder, ignore_errors=True)
        toy.write_data(self.root, target, regression)
        shutil.copytree(candidate, self.root / layout.adapter("toy"))
        if champion is None:
            write_json(self.root / layout.CHAMPION / "none.json", {"champion": None})
        else:
            shutil.copytree(champion, self.root / layout.CHAMPION)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Also used by the registry's tests: trained once, whoever comes first."""
    return _train(tmp_path_factory.getbasetemp())


@cache
def _train(parent: Path) -> World:
    torch.set_num_threads(1)
    root = parent / "world"
    task = toy.write_task(root)
    before = Path.cwd()
    os.chdir(root)
    try:
        base = toy.write_base(root / layout.BASE)
        old, new = toy.rows(toy.OLD, [0, 1, 2]), toy.rows(toy.NEW, [0, 1])
        wrong = toy.rows(toy.OLD, [0, 1, 2], answer=toy.truth("w0"))
        return World(
            root=root,
            task=task,
            base=base,
            champion=toy.write_adapter(root / "versions/1", base, task, old, steps=20),
            good=toy.write_adapter(root / "versions/2", base, task, old + new),
            forgetting=toy.write_adapter(root / "versions/3", base, task, wrong + new),
        )
    finally:
        os.chdir(before)


@pytest.fixture
def world(trained: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(trained.root)
    return trained
