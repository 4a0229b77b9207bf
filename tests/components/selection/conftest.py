"""A champion and what was trained from it, by the stages that make them; each pair is made once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from components import config, layout
from components.files import write_rows
from components.training.__main__ import main as train
from tests.components.training import conftest as training

toy, toy_template = training.toy, training.toy_template

Versions = Callable[..., config.Settings]


@cache
def _made(parent: Path, key: str) -> Path:
    """Where the versions of one pair of settings are kept for the session."""
    return parent / f"versions-{len(list(parent.glob('versions-*')))}-{abs(hash(key))}"


@pytest.fixture
def versions(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Versions:
    """Train a champion, and another version from it; returns the settings of the second training."""

    def make(champion: dict[str, Any] | None = None, **trained: Any) -> config.Settings:
        rows = training.rows(0, 40)
        write_rows(layout.curated("toy") / "tuning_target.jsonl", rows[:15])
        write_rows(layout.curated("toy") / "tuning_guard.jsonl", rows[15:])
        first = training.settings(**{"steps": 30, **(champion or {})})
        second = training.settings(**{"steps": 30, "start": "champion", **(champion or {}), **trained})
        kept = _made(tmp_path_factory.getbasetemp(), first.model_dump_json() + second.model_dump_json())
        if not kept.exists():
            train(first)
            shutil.rmtree(layout.CHAMPION)
            layout.trained("toy").rename(layout.CHAMPION)
            train(second)
            shutil.copytree("models", kept)
        shutil.rmtree("models")
        shutil.copytree(kept, "models")
        return second

    return make
