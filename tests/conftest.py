"""What every test shares: a state of its own, quiet libraries, and a browser where one is needed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

ROOT = Path(__file__).parent.parent


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
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None and os.environ.get("SAQIA_REQUIRE_BROWSER"):
        pytest.fail("SAQIA_REQUIRE_BROWSER is set but no Chromium is installed")
    if path is None:
        pytest.skip("no Chromium on this machine: install Debian's `chromium` to run the page tests")
    return path
