"""`saqia judge`: a model (or the task's own function) compares answers, and its consistent verdicts become pairs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from components import config, layout, task
from components.config import EndpointSettings, JudgeSettings, Places
from components.files import add_rows, read_rows
from components.llm import judge as judges
from components.llm.client import Client
from components.llm.comparisons import Judged, compare
from components.schema import Example, Message
from components.stage import StageError
from components.task import Task


def run(root: Path, places: Places, name: str | None) -> None:
    """The command: a bar while it works, then the account."""
    from rich.progress import Progress

    with Progress(transient=True) as bar:
        work = bar.add_task("comparing")
        judged, path, new = judge(
            root, places, name, lambda so_far, all_: bar.update(work, completed=so_far.asked, total=all_)
        )
    for line in account(judged, path, new):
        print(line)


def account(judged: Judged, path: Path, new: int) -> list[str]:
    """What came of it, in words."""
    compared = f"{judged.asked} prompts, {judged.compared} compared in both orders"
    lines = [f"{compared}; to {judged.alike} both answers were the same" if judged.alike else compared]
    if judged.compared:
        lines += [
            f"dropped as inconsistent: {judged.inconsistent} ({judged.inconsistent_share:.0%})",
            f"undecided: {judged.undecided}",
            f"pairs: {len(judged.pairs)}, of which {new} are new in {path}",
        ]
    if judged.agreement is not None:
        lines.append(
            f"agreement with the truth: {judged.agreement:.0%} of {judged.known} pairs whose better answer is known"
        )
    if judged.alike > judged.asked / 2:
        lines.append("most answers were the same twice: raise judge.temperature in params.yaml to compare more of them")
    if judged.compared and judged.inconsistent == judged.compared:
        lines.append("every verdict changed with the order of the answers: this judge cannot judge; name another")
    return lines


def judge(
    root: Path, places: Places, name: str | None, tell: Callable[[Judged, int], None]
) -> tuple[Judged, Path, int]:
    """Compare two answers to each of some prompts; add what held in both orders to the task's preferences.jsonl.

    Args:
        tell: called after each prompt with the account so far and the number of prompts.

    Returns:
        The account, the file, and how many pairs are new in it.

    Raises:
        StageError: there is nobody to judge, nothing to ask, an endpoint failed, or the file cannot be added to.
    """
    os.chdir(root)
    settings = config.parse(task.parameters(name))
    described, wanted = task.load(settings.task), settings.judge
    rows = prompts(described, settings)[: wanted.prompts]
    path = layout.task_folder(described.name) / "preferences.jsonl"
    there = _known(path)
    with ExitStack() as clients:
        answering = opened(clients, wanted.answers, described, wanted, places)
        prefer, rater = who_judges(described, wanted, places, clients)
        judged = Judged()
        ask = _answerer(answering, wanted, settings.seed)
        for judged in compare(described, rows, ask, prefer, rater, answering.model, wanted.parallel):
            tell(judged, len(rows))
    new = [pair for pair in judged.pairs if pair.id not in there]
    if new:
        add_rows(path, new)
    return judged, path, len(new)


def opened(
    clients: ExitStack, endpoint: EndpointSettings, described: Task, wanted: JudgeSettings, places: Places
) -> Client:
    """A client of an endpoint, closed with the others; by default of this project's own service."""
    address = endpoint.base_url or f"http://{places.host}:{places.port}/v1"
    return clients.enter_context(
        Client(address, endpoint.model or described.name, endpoint.key_env, wanted.timeout_seconds)
    )


def who_judges(described: Task, wanted: JudgeSettings, places: Places, clients: ExitStack) -> tuple[judges.Judge, str]:
    """The task's own judge.py, else the model that params.yaml names; and by what name it is known.

    Raises:
        StageError: the task has neither principles.md nor judge.py.
    """
    own = judges.of_task(described)
    if own is not None:
        return own, "judge.py"
    judging = opened(clients, wanted.judge, described, wanted, places)
    return judges.of_endpoint(judging, _principles(described), wanted.constrain), f"ai:{judging.model}"


def _answerer(client: Client, wanted: JudgeSettings, seed: int) -> Callable[[Sequence[Message], int], Sequence[str]]:
    most: dict[str, int] = {} if wanted.max_tokens is None else {"max_tokens": wanted.max_tokens}

    def answer(prompt: Sequence[Message], number: int) -> Sequence[str]:
        # Two requests: not every server knows `n`.
        seeds = (seed + 2 * number, seed + 2 * number + 1)
        return [(client.chat(prompt, temperature=wanted.temperature, seed=drawn, **most) or [""])[0] for drawn in seeds]

    return answer


def prompts(described: Task, settings: config.Settings) -> list[Example]:
    """The task's rows in an order of their ids' hashes: a fixed, arbitrary choice.

    Raises:
        StageError: it has none.
    """
    file = layout.task_folder(described.name) / "examples.jsonl"
    generator = task.generator(described.name)
    if generator is not None:
        sizes = settings.examples.model_dump(exclude={"held_out_share"})
        rows = generator.example_sets(settings.seed, sizes)["train"]
    elif file.exists():
        rows = read_rows(file, Example)
    else:
        raise StageError(f"task {described.name} has neither {file} nor a generator.py: there is nothing to ask")
    return sorted(rows, key=lambda row: hashlib.sha256(row.id.encode()).digest())


def _principles(described: Task) -> str:
    file = layout.task_folder(described.name) / "principles.md"
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise StageError(
            f"{file} is missing: write by what two answers are compared (tasks/intake/principles.md is an example), "
            "or bring a judge.py with a function prefer(prompt, first, second)"
        ) from None


def _known(path: Path) -> set[str]:
    """Ids of the pairs that a file holds, whatever form its rows have.

    Raises:
        StageError: it is no JSON lines, so nothing can be added to it: to be said before an hour of judging, not after.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if text.lstrip().startswith("["):
        raise StageError(f"{path} is one JSON array and cannot be added to: make it JSON lines")
    there = set()
    for number, line in enumerate(text.splitlines(), 1):
        try:
            value = json.loads(line) if line.strip() else None
        except json.JSONDecodeError as error:
            raise StageError(f"{path}, line {number} is no JSON ({error.msg}): mend or delete it") from None
        if isinstance(value, dict):
            there.add(str(value.get("id")))
    return there
