"""One tiny base and two versions on it, made once for all serving tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import torch
from hypothesis import settings

from tests.serving import models
from tests.serving.live import Live, source

torch.set_num_threads(1)
# On a loaded machine any single example may take long: speed is what benchmarks/ measures.
settings.register_profile("saqia", deadline=None)
settings.load_profile("saqia")


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def version_1(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.make_version(tmp_path_factory.mktemp("version-1"), base, seed=1)


@pytest.fixture(scope="session")
def version_2(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.make_version(tmp_path_factory.mktemp("version-2"), base, seed=2)


@pytest.fixture(scope="package")
def live(base: Path, version_1: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """An API that serves version 1."""
    folder = tmp_path_factory.mktemp("live")
    running = Live(f"sqlite:///{folder / 'saqia.db'}", source("1", version_1, base))
    yield running
    running.close()


@pytest.fixture
def http(live: Live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live.url, timeout=60) as client:
        yield client
