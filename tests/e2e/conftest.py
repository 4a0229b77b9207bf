"""One copy of the project for all tests of the whole wheel: built once, stopped at the end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.project import Project, copy, reuse


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="package")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    there = os.environ.get("SAQIA_E2E_PROJECT")  # one that an earlier run left, to work on the later tests
    made = reuse(Path(there)) if there else copy(tmp_path_factory.mktemp("e2e") / "project")
    yield made
    subprocess.run(
        [sys.executable, "-m", "flows.cli", "down"], cwd=made.root, env=made.env, check=False, capture_output=True
    )
