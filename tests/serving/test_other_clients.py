"""instructor and litellm, which want another openai than Saqia has, from an environment of their own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.serving.live import Live
from tests.serving.workspace import ROOT

PYTHON = ROOT / ".venv" / "clients" / "bin" / "python"
"""`make test` installs it from tests/serving/others/requirements.lock."""


def ask(library: str, live: Live) -> dict[str, Any]:
    if not PYTHON.exists():
        if os.environ.get("SAQIA_REQUIRE_CLIENTS"):
            pytest.fail(f"{PYTHON} is missing: make test installs it")
        pytest.skip(f"{PYTHON} is missing: make test installs it")
    command = [str(PYTHON), str(Path(__file__).parent / "others" / "ask.py"), library, f"{live.url}/v1"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_instructor_gets_its_object_at_once_and_growing(live: Live) -> None:
    came = ask("instructor", live)
    assert came["note"]["level"] in ("low", "high")
    assert came["grown"] == came["note"]
    assert came["model"] == "intake@1"
    assert came["openai"].split(".")[0] == "2", "an older client generation than the other tests'"


def test_litellm_asks_streams_and_understands_a_refusal(live: Live) -> None:
    came = ask("litellm", live)
    assert came["tokens"] == 12
    assert came["reason"] == "length"
    assert came["streamed"] == came["text"]
    assert "temperature" in came["refused"]
