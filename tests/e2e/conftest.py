"""One copy of the project for all tests of the whole wheel: built once, stopped at the end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.project import Project, copy, reuse


@pytest.hookimpl(trylast=True)  # after -k, --lf, a random order and the like
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of a file here build on each other, in order: whoever chooses one gets those before it, too.

    On a project that an earlier run left (SAQIA_E2E_PROJECT) what was chosen runs alone.
    """
    chosen = {item.nodeid: item for item in items if Path(__file__).parent in item.path.parents}
    modules = sorted({item.parent for item in chosen.values() if item.parent is not None}, key=lambda m: m.nodeid)
    whole: list[pytest.Item] = []
    for module in modules:
        assert isinstance(module, pytest.Module)
        story = [each for each in module.collect() if isinstance(each, pytest.Item)]  # as written, whatever the order
        last = max(number for number, each in enumerate(story) if each.nodeid in chosen)
        for each in story[: last + 1]:
            if each.nodeid in chosen or not os.environ.get("SAQIA_E2E_PROJECT"):
                whole.append(chosen.get(each.nodeid, each))
    for item in whole:
        item.add_marker(pytest.mark.slow)
    items[:] = whole + [item for item in items if item.nodeid not in chosen]


@pytest.fixture(scope="package")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    there = os.environ.get("SAQIA_E2E_PROJECT")  # one that an earlier run left, to work on the later tests
    made = reuse(Path(there)) if there else copy(tmp_path_factory.mktemp("e2e") / "project")
    yield made
    subprocess.run(
        [sys.executable, "-m", "flows.cli", "down"], cwd=made.root, env=made.env, check=False, capture_output=True
    )
