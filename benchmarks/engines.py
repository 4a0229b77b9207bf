"""The engines beside each other, on one version and its task's own test questions: speed, and that they agree.

    python -m benchmarks.engines [--base DIR --version DIR] [--clients 1 8 32] [--questions 256]

Without folders, the registry's champion. Every client asks its next question when its last is answered, greedily,
once as free text and once held to the version's JSON schema. Prints requests/s and output tokens/s of torch and of
auto (openvino where it can), their ratio, and how many answers are the same to the letter.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from components import chat, config, registry, task
from components.models import load_tokenizer, read_manifest
from components.schema import Example
from serving.engine.grammar import json_grammar
from serving.engine.interface import Engine, Event, Finished, Request, Sampling
from serving.engine.make import EngineMaker
from serving.versions import in_taught_order

WARM_UP = 32


@dataclass(frozen=True)
class Speed:
    """What one engine did."""

    requests_s: float
    tokens_s: float
    answers: list[str]


def ask(engine: Engine, prompts: list[tuple[int, ...]], clients: int, how: Sampling) -> Speed:
    """Every prompt once, so many at a time."""
    events: queue.SimpleQueue[tuple[int, Event]] = queue.SimpleQueue()
    ends: dict[int, Finished] = {}
    began = time.monotonic()

    def submit(number: int) -> None:
        engine.submit(Request(str(number), "1", prompts[number], how, lambda event: events.put((number, event))))

    for number in range(min(clients, len(prompts))):
        submit(number)
    while len(ends) < len(prompts):
        number, event = events.get()
        assert isinstance(event, Finished), "nothing streams here"
        if event.error is not None:
            raise event.error
        ends[number] = event
        following = clients + len(ends) - 1
        if following < len(prompts):
            submit(following)
    took = time.monotonic() - began
    answers = [ends[number].text for number in range(len(prompts))]
    return Speed(len(prompts) / took, sum(len(end.ids) for end in ends.values()) / took, answers)


@contextmanager
def loaded(kind: str, base: Path, version: Path) -> Iterator[Engine]:
    """One engine with the version as `1`."""
    here = config.load()
    serving = here.serving.model_copy(update={"engine": kind})
    engine = EngineMaker(here.model_copy(update={"serving": serving}))(base)
    try:
        engine.load("1", version)
        print(f"{kind}: {engine.answers_by('1')}")
        yield engine
    finally:
        engine.close(1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base", type=Path)
    parser.add_argument("--version", type=Path)
    parser.add_argument("--rows", type=Path, help="examples as JSON lines; default the task's test set")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--questions", type=int, default=256)
    arguments = parser.parse_args()
    if arguments.base is None or arguments.version is None:
        champion = registry.champion(config.load().task)
        if champion is None:
            sys.exit("benchmarks.engines: no champion is registered; run `saqia build`, or pass --base and --version")
        arguments.base, arguments.version = registry.local_base(champion), registry.local_version(champion)
    manifest = read_manifest(arguments.version)
    rows = arguments.rows or Path("data") / manifest.task / "examples" / "test.jsonl"
    tokenizer = load_tokenizer(arguments.version)
    lines = rows.read_text(encoding="utf-8").splitlines()[: arguments.questions]
    examples = [Example.model_validate_json(line) for line in lines]
    prompts = [tuple(chat.prompt_ids(tokenizer, example.prompt)) for example in examples]
    longest = config.parse(task.parameters()).evaluate.max_new_tokens
    hows = {"free text": Sampling(longest, temperature=0)}
    if manifest.schema_ is not None:
        schema = json.dumps(in_taught_order(manifest.schema_))
        hows["schema"] = Sampling(longest, temperature=0, grammar=json_grammar(schema), schema=schema)
    found: dict[tuple[str, str, int], Speed] = {}
    with tempfile.TemporaryDirectory(prefix="saqia-bench-") as home:
        os.environ["SAQIA_HOME"] = home
        for kind in ("torch", "auto"):
            with loaded(kind, arguments.base, arguments.version) as engine:
                for name, how in hows.items():
                    ask(engine, prompts[:WARM_UP], WARM_UP, how)
                    for clients in arguments.clients:
                        found[kind, name, clients] = ask(engine, prompts, clients, how)
    report(found, list(hows), arguments.clients)
    print(f"load average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def report(found: dict[tuple[str, str, int], Speed], hows: list[str], all_clients: list[int]) -> None:
    """The table."""
    table = Table(title="engines, greedy answers")
    for column in ("clients", "answers", "torch", "auto", "ratio", "same answers"):
        table.add_column(column, justify="left" if column == "answers" else "right")
    for clients in all_clients:
        for name in hows:
            slow, fast = found["torch", name, clients], found["auto", name, clients]
            same = sum(a == b for a, b in zip(slow.answers, fast.answers, strict=True))
            table.add_row(
                str(clients),
                name,
                *(f"{speed.requests_s:.1f} requests/s, {speed.tokens_s:.0f} tokens/s" for speed in (slow, fast)),
                f"{fast.requests_s / slow.requests_s:.1f}x",
                f"{same} of {len(slow.answers)}",
            )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
