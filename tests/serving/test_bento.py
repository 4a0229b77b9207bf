"""The bento: built once, it starts elsewhere from nothing but its own files, and lets nobody in without a key."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from components.config import places
from components.feedback import keys
from components.feedback.store import Store
from tests.serving import workspace
from tests.serving.workspace import ROOT, Service

pytestmark = pytest.mark.slow

WATCH = """
import os, sys
root, seen = os.environ["NOT_HERE"], os.environ["SEEN"]
def look(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(root):
        if not arguments[0].startswith(sys.prefix):
            with os.fdopen(os.open(seen, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "a") as out:
                out.write(arguments[0] + "\\n")
sys.addaudithook(look)
"""
"""Imported by every Python that the bento starts: what it opens of the project's own folder is written down."""
TEXT = "My left elbow hurts since Whitsun."


class Bento(Service):
    """`bentoml serve TAG` in an empty folder."""

    def __init__(self, folder: Path, tag: str, environment: dict[str, str]) -> None:
        super().__init__(folder)
        self._tag = tag
        self._environment = environment

    def start(self, *, ready: bool = True, seconds: float = 180) -> Service:
        command = [sys.executable, "-m", "bentoml", "serve", self._tag, "--host", "127.0.0.1", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        self.wait(200 if ready else 503, seconds)
        return self


@pytest.fixture
def bento(tmp_path: Path) -> Iterator[Bento]:
    watch = tmp_path / "watch"
    watch.mkdir()
    (watch / "sitecustomize.py").write_text(WATCH)
    environment = {
        **os.environ,
        "BENTOML_HOME": str(tmp_path / "bentoml"),
        "OMP_NUM_THREADS": "1",
        "SAQIA_HOST": "0.0.0.0",  # as a container binds it
        "NOT_HERE": str(ROOT),
        "SEEN": str(tmp_path / "seen"),
    }
    build = [sys.executable, "-m", "bentoml", "build", str(ROOT), "--output", "tag"]
    built = subprocess.run(build, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    tag = built.stdout.strip().splitlines()[-1].removeprefix("__tag__:")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    running = Bento(elsewhere, tag, {**environment, "PYTHONPATH": str(watch)})
    yield running
    if running.process is not None and running.process.poll() is None:
        running.stop()


def test_a_bento_starts_elsewhere_with_its_own_files_and_asks_for_keys(
    bento: Bento, base: Path, version_1: Path, tmp_path: Path
) -> None:
    version = workspace.register(version_1, base)
    with Store(places().database_url) as store:
        _, secret = keys.create(store.engine, "ward app", ["use"])
    bento.start()
    body = {"model": "intake", "messages": [{"role": "user", "content": TEXT}], "max_tokens": 8, "store": True}
    body["temperature"] = 0  # a drawn answer may end before its eighth token
    ask = f"{bento.url}/v1/chat/completions"

    assert httpx.post(ask, json=body, timeout=30).status_code == 401
    page = httpx.get(f"{bento.url}/ui/", timeout=30)
    assert page.status_code == 401
    assert page.headers["www-authenticate"].startswith("Basic realm=")
    assert httpx.get(f"{bento.url}/ui/", auth=("ana", secret), timeout=30).status_code in (200, 503)
    answer = httpx.post(ask, json=body, headers={"Authorization": f"Bearer {secret}"}, timeout=30)
    assert answer.headers["x-saqia-version"] == version
    generated = answer.json()["usage"]["completion_tokens"]
    assert generated > 1  # else there is no time between tokens

    metrics = httpx.get(f"{bento.url}/metrics", timeout=30).text
    seen = "\n".join(line for line in metrics.splitlines() if line.startswith("saqia_") and "_bucket" not in line)
    for name in (
        f'saqia_requests_total{{endpoint="/v1/chat/completions",status="200",version="{version}"}} 1.0',
        f'saqia_prompt_tokens_total{{version="{version}"}}',
        f'saqia_completion_tokens_total{{version="{version}"}} {generated:.1f}',
        f'saqia_time_to_first_token_seconds_count{{version="{version}"}} 1.0',
        f'saqia_inter_token_seconds_count{{version="{version}"}} 1.0',
        f'saqia_structured_answers_total{{outcome="invalid",version="{version}"}} 1.0',
        f'saqia_batch_rows{{version="{version}"}}',
        "saqia_queue_depth",
    ):
        assert name in metrics, f"{name} is not in\n{seen}"

    bento.stop()
    written = bento.log.read_text()
    lines = [json.loads(line) for line in written.splitlines() if line.startswith("{")]
    assert [line["status"] for line in lines if line.get("path") == "/v1/chat/completions"] == [401, 200]
    assert TEXT not in written
    assert secret[12:] not in written
    opened = tmp_path / "seen"
    assert not opened.exists(), opened.read_text()[:2000]
