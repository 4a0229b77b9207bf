"""The service as a process, with a real registry: start, swap, kill, drain."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from components.config import places
from components.feedback.store import Store
from serving.__main__ import metrics_folder
from tests.serving import workspace
from tests.serving.workspace import Service
from tests.waiting import until

ASK = {"model": "intake", "messages": [{"role": "user", "content": "My head hurts."}], "max_tokens": 8}

pytestmark = pytest.mark.slow


def test_metrics_lie_in_memory_where_a_full_disk_cannot_end_the_worker(tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    memory.mkdir()
    folder = metrics_folder(tmp_path / "home", 3000, memory)
    (folder / "counter_1.db").touch()
    assert folder.parent == memory
    assert metrics_folder(tmp_path / "home", 3000, memory) == folder
    assert list(folder.iterdir()) == [], "what an earlier service counted is gone"
    assert metrics_folder(tmp_path / "home", 3001, memory) != folder

    link = metrics_folder(tmp_path / "other", 3000, memory)
    link.rmdir()
    link.symlink_to(tmp_path)
    beside = metrics_folder(tmp_path / "other", 3000, memory)
    assert beside == tmp_path / "other" / "metrics" / "3000", "nobody else says where the service writes"
    assert metrics_folder(tmp_path / "home", 3000, tmp_path / "nowhere") == tmp_path / "home" / "metrics" / "3000"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    running = Service(workspace.make(tmp_path / "project"))
    yield running
    if running.process is not None and running.process.poll() is None:
        running.process.kill()


def test_from_no_version_to_a_swap_to_kill_9_without_losing_what_was_acknowledged(
    service: Service, base: Path, version_1: Path, version_2: Path
) -> None:
    service.start(ready=False)
    until(lambda: "saqia build" in str(service.wait(503)["reason"]), "the registry has been read")
    assert get(service, "/livez").status_code == 200
    assert get(service, "/").headers["location"].endswith("/ui/")
    assert get(service, "/favicon.ico").headers["content-type"] == "image/svg+xml"

    first = workspace.register(version_1, base)
    assert service.wait(200)["version"] == first
    answer = httpx.post(f"{service.url}/v1/chat/completions", json=ASK, timeout=30)
    assert answer.headers["x-saqia-version"] == first

    second = workspace.register(version_2, base)
    until(lambda: get(service, "/readyz").json()["version"] == second, "the new champion serves")
    assert httpx.post(f"{service.url}/v1/chat/completions", json=ASK, timeout=30).headers["x-saqia-version"] == second

    metrics = get(service, "/metrics").text
    for name in ("saqia_requests_total", "saqia_time_to_first_token_seconds", "saqia_queue_depth", "saqia_batch_rows"):
        assert name in metrics
    assert f'saqia_version_serving{{version="{second}"}} 1.0' in metrics

    acknowledged = kill_while_clients_give_feedback(service, str(answer.json()["id"]))
    with Store(places().database_url) as store:
        stored = [event.idempotency_key for event in store.feedback_for(str(answer.json()["id"]))]
    assert acknowledged
    assert set(acknowledged) <= set(stored)
    assert len(stored) == len(set(stored))

    service.start()
    repeated = give(service, str(answer.json()["id"]), acknowledged[0])
    assert repeated.json()["repeated"] is True
    drains_on_sigterm(service)


def get(service: Service, path: str) -> httpx.Response:
    return httpx.get(service.url + path, timeout=30)


def give(service: Service, id: str, key: str) -> httpx.Response:
    body = {"completion_id": id, "comment": key, "idempotency_key": key}
    return httpx.post(f"{service.url}/v1/feedback", json=body, timeout=30)


def kill_while_clients_give_feedback(service: Service, id: str) -> list[str]:
    """kill -9 of every process of the service under load; returns the keys that were acknowledged."""
    acknowledged: list[str] = []
    enough = threading.Event()

    def client(name: int) -> None:
        for k in range(10_000):
            key = f"{name}-{k}"
            try:
                if give(service, id, key).status_code == 200:
                    acknowledged.append(key)
            except httpx.HTTPError:
                return
            if len(acknowledged) >= 40:
                enough.set()

    threads = [threading.Thread(target=client, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    assert enough.wait(60)
    assert service.process is not None
    for pid in [*children(service.process.pid), service.process.pid]:
        os.kill(pid, signal.SIGKILL)
    service.process.wait(60)
    for thread in threads:
        thread.join(120)
    return acknowledged


def children(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def drains_on_sigterm(service: Service) -> None:
    """A request that is under way when SIGTERM comes is answered."""
    answers: list[Any] = []
    body = {**ASK, "max_tokens": 190, "n": 16, "temperature": 0, "logit_bias": {"0": -100, "2": -100}}
    post = lambda: answers.append(httpx.post(f"{service.url}/v1/chat/completions", json=body, timeout=120))  # noqa: E731
    thread = threading.Thread(target=post)
    thread.start()
    while 'saqia_batch_rows{version="2"} 16.0' not in get(service, "/metrics").text and thread.is_alive():
        pass
    assert service.stop() == 0
    thread.join(120)
    assert answers[0].status_code == 200


def test_a_taken_port_and_a_missing_params_file_are_one_clear_line(tmp_path: Path) -> None:
    def line(folder: Path, port: int) -> str:
        command = [sys.executable, "-m", "serving", "--port", str(port)]
        environment = {**os.environ, "PYTHONPATH": str(workspace.ROOT)}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode != 0
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        return done.stderr

    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port}" in line(workspace.make(tmp_path / "project"), port)
    assert "params.yaml" in line(tmp_path, workspace.free_port())
