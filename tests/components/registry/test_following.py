"""Whoever looks at the aliases again and again reads them anew only where something was written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from components import config, registry
from components.registry import catalog, following
from components.registry.following import Following, Marks
from tests.components.evaluation.conftest import World
from tests.components.registry.test_versions import FIRST, PROMOTE, register


def share(canary: registry.Version | None) -> float | None:
    return canary.trial.share if canary is not None and canary.trial is not None else None


def test_aliases_are_read_again_only_where_somebody_wrote_and_then_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    read = catalog.aliased

    def counted(task: str, alias: catalog.Alias) -> registry.Version | None:
        reads.append(alias)
        return read(task, alias)

    monkeypatch.setattr(following, "aliased", counted)
    look = Following("toy")
    assert look("champion") is None
    register(world, world.champion, FIRST)
    for _ in range(3):
        assert look("candidate") is not None
        assert look("champion") is None
    assert reads == ["champion", "candidate", "champion"]
    registry.promote("toy", "1")
    for _ in range(3):
        champion, candidate = look("champion"), look("candidate")
        assert (champion and champion.version, candidate) == ("1", None)
    register(world, world.good, PROMOTE)
    registry.try_out("toy", "2", 0.1)
    assert share(look("canary")) == 0.1
    registry.try_out("toy", "2", 0.5)  # the alias stays where it was, the trial is another
    assert share(look("canary")) == 0.5


def test_a_store_that_is_replaced_or_gone_or_a_server_is_read_every_time(world: World, tmp_path: Path) -> None:
    register(world, world.champion, FIRST)
    uri = str(config.places().tracking_uri)
    file = Path(uri.removeprefix("sqlite:///"))
    marks = Marks(uri)
    first = marks.now()
    assert first is not None
    assert marks.now() == first
    shutil.copy(file, tmp_path / "copy.db")
    os.replace(tmp_path / "copy.db", file)
    assert marks.now() not in (first, None)
    file.unlink()
    assert marks.now() is None
    assert Marks("http://127.0.0.1:9").now() is None
