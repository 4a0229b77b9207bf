"""The demo's people: new traffic over HTTP, and a simulated person who knows the right answers.

The truth comes from the task's own generator. Nothing here is a person, and every page, log
and report that shows what they said says so: their names begin with `simulated`.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from components import files
from components.config import Places
from components.schema import Example, Record
from components.stage import StageError
from components.task import Task
from flows import environment

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
CLIENTS = 32
PEOPLE = 5
PATIENTS = 100
"""Who sends the messages: many, so that a canary would get its share of them."""


class Asked(Record):
    """One message that was sent, and what came back."""

    round: str
    """`before-1` and `after-1` the first turn, and so on; `fresh` for messages that were never corrected."""
    example_id: str
    completion_id: str
    version: str
    answer: str
    right: bool


@dataclass(frozen=True)
class Diary:
    """What the demo has sent so far, so that a rerun sends nothing twice."""

    file: Path

    def asked(self, round: str, version: str | None = None) -> dict[str, Asked]:
        """Messages sent in a round (to a version), by example id; a line that a kill cut short is ignored."""
        if not self.file.exists():
            return {}
        found: dict[str, Asked] = {}
        for line in self.file.read_text(encoding="utf-8").splitlines():
            try:
                row = Asked.model_validate_json(line)
            except ValueError:
                continue
            if row.round == round and version in (None, row.version):
                found[row.example_id] = row
        return found

    def write(self, row: Asked) -> None:
        """Append one line."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as lines:
            lines.write("\n" * self._cut_short() + row.model_dump_json() + "\n")

    def _cut_short(self) -> bool:
        if not self.file.exists() or self.file.stat().st_size == 0:
            return False
        with self.file.open("rb") as content:
            content.seek(-1, 2)
            return content.read(1) != b"\n"


def traffic(places: Places, task: Task, name: str) -> list[Example]:
    """A set of the task's examples as the last build kept it.

    Raises:
        StageError: it is not there.
    """
    file = places.home / "examples" / task.name / f"{name}.jsonl"
    if not file.exists():
        raise StageError(f"{file} is missing: build the task first (saqia build)")
    return files.read_rows(file, Example)


def parts(examples: Sequence[Example], count: int) -> list[list[Example]]:
    """The messages of each turn: whole groups (symptom families), so that every turn brings kinds that are new.

    The largest groups, which are the new kinds, are dealt out first, one to each part in turn. Fewer groups than
    `count` make fewer parts.
    """
    largest = [group for group, _ in Counter(e.group or e.id for e in examples).most_common()]
    part_of = {group: position % count for position, group in enumerate(largest)}
    dealt = [[e for e in examples if part_of[e.group or e.id] == number] for number in range(count)]
    return [part for part in dealt if part]


def ask(
    places: Places,
    task: Task,
    examples: Sequence[Example],
    round: str,
    version: str,
    diary: Diary,
    tell: Callable[[str], None] = lambda _: None,
    model: str | None = None,
) -> list[Asked]:
    """Send the messages that this round has not sent to `version` yet, many at once; return the whole round in order.

    `model` is the name by which `version` is asked, where that is not the task's.

    Raises:
        StageError: the service answers with an error; its message is passed on.
    """
    import httpx

    done = diary.asked(round, version)
    missing = [e for e in examples if e.id not in done]

    async def one(client: httpx.AsyncClient, number: int, example: Example) -> None:
        body = {
            "model": model or task.name,
            "messages": [m.model_dump() for m in example.prompt],
            "temperature": 0,
            "user": f"simulated-patient-{number % PATIENTS + 1}",
        }
        answer = await client.post("/v1/chat/completions", json=body)
        if answer.is_error:
            raise StageError(f"the service does not answer the traffic: {message_of(answer.text)}")
        completion = answer.json()
        text = completion["choices"][0]["message"]["content"] or ""
        row = Asked(
            round=round,
            example_id=example.id,
            completion_id=completion["id"],
            version=answer.headers["x-saqia-version"],
            answer=text,
            right=is_right(task, example, text),
        )
        diary.write(row)
        done[example.id] = row
        tell(f"{len(done)} of {len(examples)} answered, {sum(r.right for r in done.values())} right")

    try:
        asyncio.run(_many_at_once(places, missing, one))
    except httpx.TransportError as error:
        raise StageError(f"the service does not answer the traffic: {type(error).__name__}: {error}") from error
    return [done[e.id] for e in examples]


def correct(
    places: Places,
    examples: Sequence[Example],
    asked: Sequence[Asked],
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[int, int]:
    """The simulated people praise what is right and write the right answer where it is not.

    Sending it again changes nothing (idempotency keys). Returns how many thumbs and corrections.
    """
    truth = {e.id: e for e in examples}
    said = 0

    async def one(client: httpx.AsyncClient, number: int, row: Asked) -> None:
        nonlocal said
        body: dict[str, Any] = {
            "completion_id": row.completion_id,
            "rater": f"simulated-{number % PEOPLE + 1}",
            "idempotency_key": f"demo-{row.example_id}",
            "comment": "written by a simulated person",
        }
        if row.right:
            body["thumb"] = "up"
        else:
            body |= {"thumb": "down", "correction": truth[row.example_id].answer}
        answer = await client.post("/v1/feedback", json=body)
        if answer.is_error:
            raise StageError(f"feedback was not accepted: {message_of(answer.text)}")
        said += 1
        tell(f"{said} of {len(asked)} judged")

    asyncio.run(_many_at_once(places, asked, one))
    right = sum(row.right for row in asked)
    return right, len(asked) - right


async def _many_at_once(
    places: Places, items: Sequence[T], one: Callable[[httpx.AsyncClient, int, T], Awaitable[None]]
) -> None:
    """`one(client, number, item)` for each item, CLIENTS of them at a time, each with a connection of its own.

    A pool of them looks at every connection for every request: 5 of the 8 ms that a request took here.
    """
    import httpx

    waiting = iter(enumerate(items))
    trusted = httpx.create_ssl_context()  # each client would read the certificates anew

    async def person() -> None:
        async with httpx.AsyncClient(
            base_url=environment.service_url(places),
            headers={"Authorization": f"Bearer {environment.api_key()}"},
            timeout=60,
            verify=trusted,
        ) as client:
            for number, item in waiting:
                await one(client, number, item)

    await asyncio.gather(*(person() for _ in range(min(CLIENTS, len(items)))))


def is_right(task: Task, example: Example, answer: str) -> bool:
    """Whether an answer says the same as the truth, field by field."""
    parsed = task.parse(answer)
    return parsed is not None and parsed == task.parse(example.answer)


def message_of(text: str) -> str:
    """The message inside an OpenAI error body, else its beginning."""
    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return text[:200]
