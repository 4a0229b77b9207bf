"""The servers that are compared, each as a process of its own over the same weights."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from components import config
from tests.serving import workspace

START_SECONDS = 180
USUAL: dict[str, Any] = {"threads": config.parse({}).threads, "poll_seconds": config.parse({}).serving.poll_seconds}
"""What an installation has that changes nothing; tests take fewer threads and look at the registry more often."""
LLAMA_CPP = """
import sys, time
import xllamacpp
file, port, template, slots, threads = sys.argv[1:]
params = xllamacpp.CommonParams()
params.model.path = file
params.n_parallel, params.cont_batching = int(slots), True
params.n_ctx = int(slots) * 256
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(threads)
params.use_jinja, params.chat_template = True, template
params.hostnames, params.port, params.n_gpu_layers = ["127.0.0.1"], int(port), 0
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
time.sleep(10**6)
"""


@contextmanager
def ours(folder: Path, model: str = "intake@1") -> Iterator[tuple[str, str, int]]:
    """`python -m serving`; yields its address, model name and process."""
    service = workspace.Service(folder)
    try:
        service.start(seconds=START_SECONDS)
        assert service.process is not None
        while httpx.get(f"{service.url}/ui/", timeout=60).status_code != 200:
            time.sleep(0.2)  # the pages are made ready beside the first answers
        yield service.url, model, service.process.pid  # by the task's name its schema would be held to
    finally:
        service.stop()


@contextmanager
def peer(model: Path, *options: str) -> Iterator[tuple[str, str, int]]:
    """`transformers serve` of the same weights."""
    port = workspace.free_port()
    command = [str(Path(sys.executable).parent / "transformers"), "serve", str(model)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32", *options]
    with started(command, f"http://127.0.0.1:{port}", model.parent / "peer.log") as (url, pid):
        yield url, str(model), pid


@contextmanager
def llama_cpp(model: Path) -> Iterator[tuple[str, str, int]]:
    """llama.cpp's own server over the same weights in f16."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from components.export import gguf

    file, port = model.parent / "merged.gguf", workspace.free_port()
    tokenizer = AutoTokenizer.from_pretrained(model)
    gguf.write(AutoModelForCausalLM.from_pretrained(model), tokenizer, file)
    template = str(tokenizer.chat_template).replace("{%- generation -%}", "").replace("{%- endgeneration -%}", "")
    command = [sys.executable, "-c", LLAMA_CPP, str(file), str(port), template, "32", str(os.cpu_count())]
    with started(command, f"http://127.0.0.1:{port}", model.parent / "llama.log") as (url, pid):
        yield url, "llama", pid


@contextmanager
def started(command: list[str], url: str, log_file: Path) -> Iterator[tuple[str, int]]:
    """A server as a process, from the moment that it is healthy."""
    with log_file.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                if httpx.get(f"{url}/health", timeout=2).status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(log_file.read_text()[-600:])
            time.sleep(0.2)
        yield url, process.pid
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def memory(pid: int) -> float:
    """Megabytes that a process and its children have for themselves."""
    root = psutil.Process(pid)
    return sum(one.memory_full_info().uss for one in [root, *root.children(recursive=True)]) / 1e6
