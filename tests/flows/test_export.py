"""`saqia export` as far as no model is needed: the data of a version, and what is refused before anything is read."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dvc.repo import Repo

from components import config
from components.stage import StageError
from flows.export import write
from flows.recorded import brought_back

CURATED = Path("data/toy/curated")


@pytest.fixture
def recorded(project: Path) -> Any:
    """A version whose data is in DVC's cache and no longer in the working tree."""
    (project / "rows").mkdir()
    (project / "rows" / "train.jsonl").write_text("{}\n")
    with Repo(str(project)) as repo:
        (stage,) = repo.add(str(project / "rows"))
        digest = stage.outs[0].hash_info.value
    shutil.rmtree(project / "rows")
    lineage = SimpleNamespace(datasets={CURATED.as_posix(): digest})
    return SimpleNamespace(task="toy", version="3", lineage=lineage)


def test_the_data_of_a_version_comes_back_without_touching_the_working_tree(
    project: Path, places: config.Places, recorded: Any
) -> None:
    with brought_back(project, places, recorded, [CURATED]) as there:
        assert (there[CURATED] / "train.jsonl").read_text() == "{}\n"
    assert not (project / "rows").exists()
    assert not list((places.home / "work").iterdir())


def test_data_that_is_gone_is_named(project: Path, places: config.Places, recorded: Any) -> None:
    named = pytest.raises(StageError, match="version 3 of toy names no data/toy/examples")
    with named, brought_back(project, places, recorded, [Path("data/toy/examples")]):
        pass
    shutil.rmtree(project / ".dvc" / "cache")
    gone = pytest.raises(StageError, match="data/toy/curated of version 3 of toy: not all is in DVC's cache")
    with gone, brought_back(project, places, recorded, [CURATED]):
        pass


def test_an_unknown_format_is_refused_with_those_there_are(project: Path, places: config.Places) -> None:
    with pytest.raises(StageError, match="--format onnx: there are safetensors, gguf, ollama, llamafactory"):
        write(project, places, None, "champion", "onnx", project / "out")
