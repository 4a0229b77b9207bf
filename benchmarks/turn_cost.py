"""What a turn costs when many went before it: twenty turns of the same size, one after another.

    python -m benchmarks.turn_cost [--turns 20] [--events 900] [--seed 17]

The generator of the default task writes the messages; a simulated person corrects most answers and confirms the others.
Every turn is curated from all snapshots, as the stage does it, and what it would teach and ask is counted; nothing is
trained. Steps of training are fixed (`train.steps`), so that rows, answers and the seconds of curation are what can
grow. Seconds are this process's processor time: other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.table import Table

from components import config
from components import task as tasks
from components.curation.clean import Cleaner
from components.curation.curate import Curated, curate
from components.curation.scrub import scrubber
from components.schema import Example, FeedbackRow, Message
from components.training.mixture import mixed
from tasks.intake.generator import example_sets

CONFIRMED = 0.13
"""Share of answers that are right: as version 1 of the default task has them."""
PEOPLE = 5
AIM = 1.3


def events(rows: Sequence[Example], seed: int) -> list[FeedbackRow]:
    """What a simulated person says of an answer to each message; a wrong answer is another message's right one."""
    draw = random.Random(f"{seed}/turn cost")
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    result = []
    for number, row in enumerate(rows):
        right = draw.random() < CONFIRMED
        result.append(
            FeedbackRow(
                seq=number + 1,
                event_id=f"f-{number}",
                created_at=begin + timedelta(minutes=number),
                rater=f"simulated-{number % PEOPLE}",
                kind="thumb_up" if right else "correction",
                interaction_id=f"c-{number}",
                model_version="1",
                messages=row.prompt,
                answer=row.answer if right else rows[number - 1].answer,
                correction=None if right else row.answer,
            )
        )
    return result


def asked(curated: Curated, evaluation: Mapping[str, Sequence[Example]]) -> int:
    """Rows that both models answer."""
    own = (curated.target, curated.regression, curated.replay, *evaluation.values())
    return sum(map(len, own)) + len(curated.preferences_heldout)


def _fits(messages: Sequence[Message]) -> None:
    """Every message that the generator writes fits into the model's context."""


def main() -> int:
    """Curate every turn and print one table; 1 where the last turn costs too much more than the second."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--turns", type=int, default=20)
    arguments.add_argument("--events", type=int, default=900)
    arguments.add_argument("--seed", type=int, default=17)
    given = arguments.parse_args()
    if given.turns < 2 or given.events < 1:
        arguments.error("--turns must be 2 or more, --events 1 or more")
    settings, console = config.load(), Console(highlight=False)
    sizes = settings.examples.model_dump(exclude={"held_out_share"}) | {"traffic": given.turns * given.events}
    console.print(f"writing {sizes['traffic']:,} messages (seed {given.seed})")
    sets = example_sets(given.seed, sizes)
    own, traffic = sets.pop("train"), events(sets.pop("traffic"), given.seed)
    snapshots = [traffic[start : start + given.events] for start in range(0, len(traffic), given.events)]
    task = tasks.load("intake")
    columns = ("new", "rehearsed", "own", "in batches", "pairs", "asked", "curate s")
    table = Table("turn", *columns, title=f"{settings.train.steps} steps of training in every turn")
    costs: list[tuple[float, ...]] = []
    for turn in range(1, given.turns + 1):
        began = time.process_time()
        cleaner = Cleaner(task, scrubber(settings.curate.scrub, settings.curate.phone_regions))
        curated = curate(
            task, own, sets, snapshots[:turn], cleaner, settings.curate, settings.train.replay, settings.seed, _fits
        )
        seconds = time.process_time() - began
        new, rehearsed = sum(row.is_new for row in curated.train), sum(row.rehearsed for row in curated.train)
        in_batches = len(mixed(curated.train, settings.train.feedback_share))
        rows = (new, rehearsed, len(curated.train) - new - rehearsed, in_batches, len(curated.preferences))
        costs.append((*rows, asked(curated, sets), seconds))
        table.add_row(str(turn), *(f"{value:,.0f}" for value in costs[-1][:-1]), f"{seconds:.1f}")
        missing = set(range(1, turn)) - {int(name) for name in curated.report["asked again"]}
        missing |= set(range(1, turn)) - {int(name) for name in curated.report["rehearsed"]}
        if missing:
            console.print(f"turn {turn}: earlier turns {sorted(missing)} are not represented")
            return 1
    console.print(table)
    second, last = costs[1], costs[-1]
    ratios = {name: b / a if a else 1.0 for name, a, b in zip(columns, second, last, strict=True)}
    for name in ("in batches", "pairs", "asked", "curate s"):
        console.print(f"{name}: turn {given.turns} is {ratios[name]:.2f} times turn 2")
    console.print("every turn represented every earlier turn among what it taught and what it asked")
    return int(max(ratios["in batches"], ratios["asked"]) > AIM)


if __name__ == "__main__":
    sys.exit(main())
