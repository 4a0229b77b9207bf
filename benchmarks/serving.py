"""How fast the service answers, beside its peers with the same weights, in one run.

    python -m benchmarks.serving [--models small 100m] [--clients 1 8 32] [--seconds 5] [--tokens 32] [--no-peers]

Two Llamas with random weights: one about as small as the default base (hidden 128, 4 layers), and one of 98 million
parameters. Each is served by `python -m serving` (store included), by `transformers serve`, by `transformers serve
--continuous-batching`, and by llama.cpp's server (package xllamacpp, f16 like the service's own file). The same
streamed chat requests go to each, one server at a time. Prints requests/s, output tokens/s and the time to the first
token, each as a ratio to plain `transformers serve`, the memory, what HTTP and the store add to asking the engine
directly, and what it costs to hold the answer to a JSON schema: on the engine that the service chooses and on the torch
engine, for a model that was taught its schema and for one that writes anything. Every client sends its next
request when its last is answered; a level runs for `--seconds`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import queue
import statistics
import tempfile
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks.servers import USUAL, llama_cpp, memory, ours, peer
from components import config
from tests.serving import models, workspace

QUESTIONS = ["My head hurts.", "My knee hurts when I walk and paracetamol did not help at all.", "the quick brown fox"]
TRUSTED = httpx.create_ssl_context()
"""Each client has a connection of its own: a pool looks at all of them for every request, longer than the small
model takes to answer."""
SHAPES = {
    "small": {"hidden": 128, "layers": 4},
    "100m": {"hidden": 1024, "layers": 11, "heads": 16, "groups": 4, "spread": 0.05},
}


@dataclass(frozen=True)
class Level:
    """What one server did for one number of clients."""

    requests_s: float
    tokens_s: float
    first_p50: float
    first_p95: float
    whole_p50: float
    failed: int


async def level(url: str, model: str, clients: int, seconds: float, tokens: int) -> Level:
    """Keep `clients` requests under way for so long."""
    firsts: list[float] = []
    wholes: list[float] = []
    generated = failed = 0
    began = time.monotonic()
    end = began + seconds

    async def client(number: int) -> None:
        async with httpx.AsyncClient(timeout=120, verify=TRUSTED) as http:
            while time.monotonic() < end:
                # llama.cpp's server closes a connection after a hundred requests; clients then try again on another
                with suppress(httpx.RemoteProtocolError):
                    await request(number, http)

    async def request(number: int, http: httpx.AsyncClient) -> None:
        nonlocal generated, failed
        # The system message is sent along: without one the service adds its task's, and would have more to read.
        messages = [{"role": "system", "content": models.SYSTEM}]
        messages += [{"role": "user", "content": QUESTIONS[number % len(QUESTIONS)]}]
        body = {"model": model, "messages": messages, "stream": True, "max_tokens": tokens, "temperature": 0}
        asked, first = time.monotonic(), None
        async with http.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
            if response.status_code != 200:
                failed += 1
                await response.aread()
                await asyncio.sleep(0.05)
                return
            text = ""
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    choices = json.loads(line[6:]).get("choices") or [{}]
                    piece = choices[0].get("delta", {}).get("content") or ""
                    if piece and first is None:
                        first = time.monotonic()
                    text += piece
        wholes.append(time.monotonic() - asked)
        firsts.append((first or time.monotonic()) - asked)
        # Servers differ in what a chunk is; the same greedy text is the same number of tokens.
        generated += count(text)

    await asyncio.gather(*(client(number) for number in range(clients)))
    took = time.monotonic() - began
    if not wholes:
        return Level(0, 0, 0, 0, 0, failed)
    ordered = sorted(firsts)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return Level(
        len(wholes) / took, generated / took, statistics.median(firsts), p95, statistics.median(wholes), failed
    )


def endless(tokens: int) -> dict[str, Any]:
    """A JSON schema that no `tokens` tokens can fulfil, so that every answer has as many."""
    text = {"type": "string", "minLength": 20 * tokens}
    return {"type": "object", "properties": {"text": text}, "required": ["text"], "additionalProperties": False}


async def per_token(
    url: str, model: str, clients: int, seconds: float, tokens: int, schema: Mapping[str, Any] | None
) -> float:
    """Seconds of one client's wait for a token, answers free or held to a schema."""
    form = {"type": "json_schema", "json_schema": {"name": "note", "strict": True, "schema": schema}}
    held = {"response_format": form} if schema else {}
    end = time.monotonic() + seconds
    waits: list[float] = []

    async def client(number: int) -> None:
        content = QUESTIONS[number % len(QUESTIONS)]
        body = {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": tokens}
        body["temperature"] = 0
        async with httpx.AsyncClient(timeout=120, verify=TRUSTED) as http:
            while time.monotonic() < end:
                asked = time.monotonic()
                answer = await http.post(f"{url}/v1/chat/completions", json=body | held)
                answer.raise_for_status()
                waits.append((time.monotonic() - asked) / answer.json()["usage"]["completion_tokens"])

    await asyncio.gather(*(client(number) for number in range(clients)))
    return statistics.median(waits)


TOKENIZER: list = []


def count(text: str) -> int:
    """Tokens of a text."""
    return len(TOKENIZER[0](text, add_special_tokens=False)["input_ids"])


@dataclass(frozen=True)
class Overhead:
    """Median seconds of one and the same request, one at a time."""

    engine: float
    """Put to the engine itself."""
    whole: float
    """Over HTTP, its answer at once; it is on disk by then."""
    streamed: float

    def __str__(self) -> str:
        by_http = (f"{1000 * one:.1f} ms ({1000 * (one - self.engine):+.1f})" for one in (self.whole, self.streamed))
        return f"engine alone {1000 * self.engine:.1f} ms; over HTTP, answer stored, {', streamed '.join(by_http)}"


def overhead(url: str, model: str, base: Path, version: Path, tokens: int, rounds: int = 40) -> Overhead:
    """The three ways in turns, so that whatever else the machine does meets all of them alike."""
    from components import chat
    from components.schema import Message
    from serving.engine.interface import Event, Finished, Request, Sampling
    from serving.engine.make import EngineMaker

    engine = EngineMaker(config.parse({}))(base)
    engine.load("1", version)
    messages = (Message(role="system", content=models.SYSTEM), Message(role="user", content=QUESTIONS[0]))
    prompt = tuple(chat.prompt_ids(TOKENIZER[0], messages))
    body = {"model": model, "messages": [{"role": "user", "content": QUESTIONS[0]}]}
    body |= {"max_tokens": tokens, "temperature": 0}

    def by_engine() -> None:
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        engine.submit(Request("direct", "1", prompt, Sampling(tokens, temperature=0), events.put, stream=True))
        while not isinstance(events.get(), Finished):
            pass

    def by_http(http: httpx.Client, *, stream: bool) -> None:
        http.post(f"{url}/v1/chat/completions", json=body | {"stream": stream}).raise_for_status()

    times: list[list[float]] = [[], [], []]
    with httpx.Client(timeout=120, verify=TRUSTED) as http:
        ways = (by_engine, lambda: by_http(http, stream=False), lambda: by_http(http, stream=True))
        for _ in range(rounds + 3):
            for way, found in zip(ways, times, strict=True):
                began = time.monotonic()
                way()
                found.append(time.monotonic() - began)
    engine.close(1)
    return Overhead(*(statistics.median(found[3:]) for found in times))


def main() -> None:
    """Measure and print."""
    from transformers.utils import logging as bars

    bars.disable_progress_bar()
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--no-peers", action="store_true", help="measure the service alone")
    arguments = parser.parse_args()
    console = Console(width=150)
    for name in arguments.models:
        with tempfile.TemporaryDirectory(prefix="saqia-bench-") as temporary:
            measure(console, Path(temporary), name, arguments)
    console.print(f"load average while measuring: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def measure(console: Console, root: Path, shape: str, arguments: argparse.Namespace) -> None:
    """One model behind every server."""
    os.environ.update(
        SAQIA_HOME=str(root / "home"),
        SAQIA_DATABASE_URL=f"sqlite:///{root / 'saqia.db'}",
        MLFLOW_TRACKING_URI=f"sqlite:///{root / 'mlflow.db'}",
        HF_HUB_OFFLINE="1",
    )
    from serving.engine.torch_engine import load_merged, load_version_tokenizer

    base = models.make_base(root / "base", **SHAPES[shape])
    version = models.make_version(root / "version", base, seed=1, spread=0.6 * SHAPES[shape].get("spread", 0.33))
    TOKENIZER[:] = [load_version_tokenizer(version)]
    project = workspace.make(root / "project", **USUAL)
    workspace.register(version, base)
    merged = load_merged(base, version)
    size = sum(parameter.numel() for parameter in merged.parameters())
    merged.save_pretrained(root / "merged")
    TOKENIZER[0].save_pretrained(root / "merged")

    servers = {"saqia": lambda: ours(project)}
    if not arguments.no_peers:
        servers["transformers serve"] = lambda: peer(root / "merged")
        servers["transformers serve, continuous"] = lambda: peer(root / "merged", "--continuous-batching")
        servers["llama.cpp"] = lambda: llama_cpp(root / "merged")
    found: dict[tuple[str, int], Level] = {}
    held: dict[str, float] = {}
    added: Overhead | None = None
    for name, start in servers.items():
        try:
            with start() as (url, model, pid):
                asyncio.run(level(url, model, 2, 1.0, arguments.tokens))
                for clients in arguments.clients:
                    found[name, clients] = asyncio.run(level(url, model, clients, arguments.seconds, arguments.tokens))
                    console.print(f"{name}, {clients} clients: {found[name, clients].requests_s:.1f} requests/s")
                held[name] = memory(pid)
                if name == "saqia":
                    constrained(console, "auto, writes anything", url, model, endless(arguments.tokens), arguments)
                    added = overhead(url, model, base, version, arguments.tokens)
        except (RuntimeError, AssertionError, httpx.HTTPError) as error:
            console.print(f"{name}: not measured: {str(error).strip().splitlines()[-1:]}")
    with ours(workspace.make(root / "torch", engine="torch", **USUAL)) as (url, model, _):
        constrained(console, "torch, writes anything", url, model, endless(arguments.tokens), arguments)
    report(console, f"{shape}, {size / 1e6:.1f} million parameters", found, arguments.clients, list(servers))
    for name, megabytes in held.items():
        console.print(f"memory of {name}: {megabytes:,.0f} MB")
    if added is not None:
        console.print(f"one request of {arguments.tokens} tokens: {added}; medians")
    if shape == "small":
        taught(console, root, arguments)


def constrained(
    console: Console, what: str, url: str, model: str, schema: Mapping[str, Any], arguments: argparse.Namespace
) -> None:
    """What a JSON schema costs, beside free text in turns."""
    for clients in arguments.clients:
        waits: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(3):
            for held, found in waits.items():
                part = per_token(url, model, clients, arguments.seconds / 3, arguments.tokens, schema if held else None)
                found.append(asyncio.run(part))
        free, bound = statistics.median(waits[False]), statistics.median(waits[True])
        console.print(
            f"saqia ({what}), {clients} clients: a token of an answer held to a schema takes {1000 * bound:.2f} ms, "
            f"of a free one {1000 * free:.2f} ms: {bound / free:.2f}x"
        )


def taught(console: Console, root: Path, arguments: argparse.Namespace) -> None:
    """The same for a small model that was taught a schema: it writes the same answer, held to it or not."""
    base = models.make_base(root / "taught" / "base", **SHAPES["small"], spread=0.05)
    version = models.make_taught_version(root / "taught" / "version", base, QUESTIONS)
    number = workspace.register(version, base)
    for engine in ("auto", "torch"):
        project = workspace.make(root / "taught" / engine, engine=engine, **USUAL)
        with ours(project, f"intake@{number}") as (url, model, _):
            constrained(console, f"{engine}, taught its schema", url, model, models.SCHEMA, arguments)


def report(
    console: Console, title: str, found: dict[tuple[str, int], Level], clients: list[int], servers: list[str]
) -> None:
    """The table, ratios to plain `transformers serve` in brackets."""
    table = Table(title=f"streamed chat completions, {title}")
    for column in ("clients", "server", "requests/s", "tokens/s", "first token p50", "p95", "whole p50", "failed"):
        table.add_column(column, justify="left" if column == "server" else "right")
    for number in clients:
        plain = found.get(("transformers serve", number))
        for server in servers:
            if (row := found.get((server, number))) is None:
                continue
            ratio = f" ({row.requests_s / plain.requests_s:.1f}x)" if plain and plain.requests_s else ""
            table.add_row(
                str(number),
                server,
                f"{row.requests_s:.1f}{ratio}",
                f"{row.tokens_s:.0f}",
                f"{1000 * row.first_p50:.0f} ms",
                f"{1000 * row.first_p95:.0f} ms",
                f"{1000 * row.whole_p50:.0f} ms",
                str(row.failed),
            )
    console.print(table)


if __name__ == "__main__":
    main()
