"""What every test shares: a state of its own, quiet libraries, and a browser where one is needed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

ROOT = Path(__file__).parent.parent

TOGETHER = ("tests/e2e/", "tests/flows/")
"""Folders whose tests build on each other, or share one server; elsewhere a file's tests share what it builds."""


WITHOUT = bool(os.environ.get("SAQIA_TEST_WITHOUT"))
"""CI's second pass: only files whose tests a missing browser or a missing PostgreSQL changes, and neither is there."""
if WITHOUT:
    os.environ.pop("SAQIA_TEST_POSTGRES", None)
    os.environ.pop("SAQIA_REQUIRE_BROWSER", None)


class ByFile(LoadScopeScheduling):
    """Every file to one of the processes as a whole, and every folder of TOGETHER."""

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in TOGETHER if nodeid.startswith(folder)), nodeid.split("::", 1)[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)


def needs_what_may_be_missing(item: pytest.Item) -> bool:
    """Whether a browser or a database's URL, which may be PostgreSQL's, is among what a test asks for."""
    return not {"chromium", "url"}.isdisjoint(getattr(item, "fixturenames", ()))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes longest begins first: the other process works through the rest meanwhile."""
    if WITHOUT:
        files = {item.path for item in items if needs_what_may_be_missing(item)}
        config.hook.pytest_deselected(items=[item for item in items if item.path not in files])
        items[:] = [item for item in items if item.path in files]
    items.sort(key=lambda item: not item.nodeid.startswith(TOGETHER[0]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The seed of the order, which the head of the output would name if it were not quiet."""
    seed = config.getoption("randomly_seed", None)
    if seed is not None and config.getoption("randomly_reorganize"):
        terminalreporter.write_line(f"order: --randomly-seed={seed} (as written: -p no:randomly)")


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the developer's feedback store, registry or running services."""
    home = tmp_path / "saqia-home"
    monkeypatch.setenv("SAQIA_HOME", str(home))
    monkeypatch.setenv("SAQIA_DATABASE_URL", f"sqlite:///{home / 'saqia.db'}")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect-home"))


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium for page tests; they skip where there is none, unless CI demands one."""
    names = () if WITHOUT else ("chromium", "chromium-browser", "google-chrome")
    path = next((path for name in names if (path := shutil.which(name))), None)
    if path is None and os.environ.get("SAQIA_REQUIRE_BROWSER"):
        pytest.fail("SAQIA_REQUIRE_BROWSER is set but no Chromium is installed")
    if path is None:
        pytest.skip("no Chromium on this machine: install Debian's `chromium` to run the page tests")
    return path
