"""One tiny base and two versions on it, made once for all serving tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.serving import models

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def version_1(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.make_version(tmp_path_factory.mktemp("version-1"), base, seed=1)


@pytest.fixture(scope="session")
def version_2(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.make_version(tmp_path_factory.mktemp("version-2"), base, seed=2)
