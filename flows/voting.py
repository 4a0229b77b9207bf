"""`saqia judge --arena`: a model (or the task's judge.py) votes on the arena's battles, and whether its votes count."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from components import config, task
from components.config import Places
from components.feedback import battles, voting
from components.feedback.judges import Judge, judges_of
from components.feedback.store import Store
from components.feedback.votes import Fought
from components.feedback.voting import Voted
from components.llm.client import Client
from components.schema import Message
from components.stage import StageError
from flows.judging import opened, prompts, who_judges

Tell = Callable[[str, int, int], None]
"""What is being done, how far it is, and of how many."""


def run(root: Path, places: Places, name: str | None, new: int, versions: Sequence[str]) -> None:
    """The command: a bar while it works, then the account."""
    from rich.progress import Progress

    with Progress(transient=True) as bar:
        work = bar.add_task("voting")

        def tell(what: str, done: int, of: int) -> None:
            bar.update(work, description=what, completed=done, total=of)

        for line in vote(root, places, name, new, versions, tell):
            print(line)


def vote(root: Path, places: Places, name: str | None, new: int, versions: Sequence[str], tell: Tell) -> list[str]:
    """Open `new` battles, vote on all that the judge has not voted on, and say whether its votes count.

    Raises:
        StageError: there is nobody to judge, nothing to vote on, or an endpoint failed.
    """
    os.chdir(root)
    settings = config.parse(task.parameters(name))
    described, wanted = task.load(settings.task), settings.judge
    with ExitStack() as clients, Store(places.database_url) as store:
        judge, voter = who_judges(described, wanted, places, clients)
        lines = []
        if new:
            taking_part = list(versions) or _registered(described.name)
            client = opened(clients, wanted.answers, described, wanted, places)
            rows = prompts(described, settings)
            asked = alike = 0
            answer = _answerer(client, described.name)
            for fought in voting.new_battles(store, described, rows, taking_part, answer, new):
                asked, alike = asked + 1, alike + (fought is None)
                tell("asking", asked, new)
            lines.append(f"{asked} new prompts to versions {', '.join(taking_part)}: {alike} answered alike by both")
        waiting = voting.open_for(battles.battles(store, described.name), voter)
        voted = Voted()
        for voted in voting.vote(store, waiting, judge, voter, wanted.parallel):
            tell("voting", voted.battles, len(waiting))
        every = battles.battles(store, described.name)
    if not every:
        raise StageError(
            f"{described.name} has no battle yet: vote in the arena (/ui/arena), or let versions answer new prompts "
            "(saqia judge --arena --new 50)"
        )
    return [*lines, *account(voted, voter, every, settings)]


def account(voted: Voted, voter: str, every: Sequence[Fought], settings: config.Settings) -> list[str]:
    """What came of it, in words."""
    lines = [f"{voter} has voted on every battle already"]
    if voted.battles:
        lines = [
            f"{voter} voted on {voted.battles} battles, each in both orders ({voted.votes} votes); people voted on "
            f"{voted.with_people} of them",
            f"the same in both orders: {voted.consistent} ({voted.consistent / voted.battles:.0%})",
        ]
    known: Judge | None = next((one for one in judges_of(every, settings.arena) if one.judge == voter), None)
    if known is not None:
        lines.append(f"its votes count: {known.why}" if known.trusted else f"its votes do not count yet: {known.why}")
    return lines


def _answerer(client: Client, name: str) -> voting.Answer:
    """As the arena's page asks: the likeliest answer, as long as the version wants it."""

    def answer(prompt: Sequence[Message], version: str) -> str:
        client.model = f"{name}@{version}" if version.isdigit() else version
        said = client.chat(prompt, temperature=0, user="arena")
        return said[0] if said else ""

    return answer


def _registered(name: str) -> list[str]:
    """The two newest versions.

    Raises:
        StageError: there are fewer.
    """
    from components import registry

    found = [version.version for version in registry.versions(name)]
    if len(found) < 2:
        raise StageError(f"{name} has {len(found)} version(s), and a battle needs two: a turn makes another")
    return sorted(found, key=int)[-2:]
