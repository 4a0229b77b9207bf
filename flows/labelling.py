"""`saqia label`: a teacher, a large model behind an endpoint, answers prompts; valid answers become rows to teach."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components import config, layout, task
from components.config import Places, Settings, TeacherSettings
from components.curation.replay import sample
from components.examples import prompts, split
from components.examples.formats.records import reasons
from components.files import add_rows, read_rows, write_rows
from components.llm.client import Client
from components.llm.memory import Memory
from components.llm.teacher import Labelled
from components.llm.teacher import label as labelled
from components.llm.teacher import teacher as teaches
from components.schema import Example, Message
from components.stage import StageError
from components.task import Task

INSTRUCTION = "teacher.md"
"""What a teacher is told in place of the task's system message; a small model that is taught need not read it."""
SHOWN = 5
"""Reasons of refusals that are named on the terminal."""


@dataclass
class Account:
    """What a run found, asked and got."""

    found: prompts.Prompts
    already: int
    """Prompts that the task's rows answer."""
    later: int
    """Prompts beyond the limit."""
    told: bool
    """Does the teacher hear anything of the task?"""
    people: int
    """Rows that people answered."""
    rows: Path
    refused: Path
    labelled: Labelled = field(default_factory=Labelled)


def run(root: Path, places: Places, name: str, file: Path, column: str | None, limit: int | None) -> None:
    """The command: a bar while it works, then the account."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as bar:
        work = bar.add_task("asking")

        def tell(so_far: Labelled, all_: int) -> None:
            said = f"{len(so_far.rows)} accepted, {len(so_far.unanswered)} refused"
            bar.update(work, description=said, completed=so_far.prompts, total=all_)

        account = label(root, places, name, file, column, limit, tell)
    for line in lines(account, name):
        print(line)


def label(
    root: Path,
    places: Places,
    name: str,
    file: Path,
    column: str | None,
    limit: int | None,
    tell: Callable[[Labelled, int], None],
) -> Account:
    """Have the teacher answer the file's prompts that no row of the task answers yet, and add what is valid to them.

    Whatever ends it, what was accepted so far is added. Answers are also kept as they come, by what was asked, so that
    after a kill only the rest is asked, and a refused one not again.

    Args:
        limit: so many prompts at most; None: all.
        tell: called after each prompt with the account so far and the number of prompts.

    Raises:
        StageError: no teacher is named, there is nothing to add to, or the endpoint failed.
        DataError: the file of prompts, or the task's rows, cannot be read.
    """
    os.chdir(root)
    settings = config.parse(task.parameters(name))
    described, wanted = task.load(name), settings.teacher
    check(described, wanted)
    path, kept = layout.task_folder(name) / "examples.jsonl", places.home / "label" / name
    found = prompts.read(file, column)
    asked = list(dict.fromkeys(_own(described, prompt) for prompt in found.prompts))
    with (
        Memory(kept / "answers.jsonl") as memory,  # before the rows are read: nobody else may be adding some
        Client(wanted.base_url, wanted.model, wanted.key_env, wanted.timeout_seconds) as client,
    ):
        there = read_rows(path, Example) if path.exists() else []
        answered = {_own(described, row.prompt) for row in there}
        new = [prompt for prompt in asked if prompt not in answered]
        told, shown = _instruction(described), _shots(described, settings, there)
        account = Account(
            found=found,
            already=len(asked) - len(new),
            later=max(0, len(new) - limit) if limit is not None else 0,
            told=bool(told or described.system or shown),
            people=sum(row.source != "teacher" for row in there),
            rows=path,
            refused=kept / "refused.jsonl",
        )
        new = new[:limit]
        ask = teaches(described, client, wanted, memory, told, shown, settings.seed)
        try:
            for account.labelled in labelled(new, ask, wanted.parallel):
                tell(account.labelled, len(new))
        except StageError as error:
            if not account.labelled.rows:
                raise
            raise StageError(
                f"{error}; {len(account.labelled.rows)} rows were added to {path}: run the same command again, and "
                "only the rest is asked"
            ) from None
        finally:
            if account.labelled.rows:
                add_rows(path, account.labelled.rows)
            write_rows(account.refused, account.labelled.unanswered)
    return account


def lines(account: Account, name: str) -> list[str]:
    """What came of it, in words."""
    found, done = account.found, account.labelled
    said = [f"format: {found.format}", f"prompts: {len(found.prompts)}; not understood: {len(found.skipped)}"]
    said += reasons(found.skipped)
    said += [f"named more than once in the file: {found.repeated}"] if found.repeated else []
    said += [f"answered already by rows of {account.rows}: {account.already}"] if account.already else []
    said += [f"left for another run (--limit): {account.later}"] if account.later else []
    if not done.prompts:
        return [*said, "nothing was asked"]
    said.append(f"asked: {done.prompts}; requests: {done.requests} (what was answered before is not asked again)")
    said.append(f"accepted: {len(done.rows)}" + (f", added to {account.rows}" if done.rows else ""))
    if done.unanswered:
        said.append(f"refused: {len(done.unanswered)}, each with what was answered in {account.refused}")
        why = Counter(" ".join(row.reason.split()) for row in done.unanswered).most_common()
        said += [f"  {count}: {reason}" for reason, count in why[:SHOWN]]
        said += [f"  … and {sum(count for _, count in why[SHOWN:])} more"] if len(why) > SHOWN else []
    if not account.told:
        said.append(
            f"note: the teacher is told nothing of the task: write what is wanted into tasks/{name}/{INSTRUCTION}"
        )
    if account.people < split.MIN_ROWS:
        said.append(
            f"note: {account.rows} holds {account.people} rows that people answered: bring some, since nothing is "
            "tested with a teacher's"
        )
    return [*said, f"next: saqia run {name}"]


def check(described: Task, wanted: TeacherSettings) -> None:
    """Refuse what cannot work before anything is read.

    Raises:
        StageError: the task's rows come from a generator, or there is no teacher.
    """
    if task.generator(described.name) is not None:
        raise StageError(
            f"the rows of {described.name} come from its generator.py, so nobody would read a teacher's: make a task "
            "of your own (saqia init)"
        )
    for key in ("base_url", "model"):
        if not getattr(wanted, key):
            raise StageError(
                f"no teacher is named: write teacher.{key} into params.yaml or tasks/{described.name}/params.yaml "
                "(docs/how-to/train.md, A teacher behind an endpoint)"
            )


def _own(described: Task, prompt: Sequence[Message]) -> tuple[Message, ...]:
    """A prompt as the task's rows hold it: without the system message that is the task's anyway."""
    return tuple(prompt[1:] if prompt[0].role == "system" and prompt[0].content == described.system else prompt)


def _instruction(described: Task) -> str | None:
    file = layout.task_folder(described.name) / INSTRUCTION
    return file.read_text(encoding="utf-8") if file.exists() else None


def _shots(described: Task, settings: Settings, rows: Sequence[Example]) -> list[Example]:
    """So many rows of people as are to be shown, none of them a test."""
    if not settings.teacher.shots:
        return []
    people = [row for row in rows if row.source != "teacher"]
    sets, _ = split.split(described, people, settings.seed, settings.examples.held_out_share)
    return sample(sets["train"], settings.teacher.shots, settings.seed)
