"""Reading prompts that nobody has answered yet: the formats of examples, where an answer may be missing and is not
looked at, a column of a table, or plain text with a prompt on every line.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from components.examples.formats import alpaca, openai_messages, pairs, reading, sharegpt, table
from components.examples.formats.records import Record, Skipped, Unusable
from components.examples.imports import is_json
from components.files import DataError
from components.schema import Message

_ANSWER = "\x00answer"
"""A key that no record has. Each prompt is read as an example with a stand-in for its answer, so that what an example
is refused for, a prompt is refused for, too."""
_STAND_IN = "-"


@dataclass(frozen=True)
class Prompts:
    """What was understood of a file, as what, and what was not and why."""

    prompts: tuple[tuple[Message, ...], ...]
    """Each distinct one once, in the file's order."""
    format: str
    repeated: int = 0
    """Prompts that came before in the same file."""
    skipped: tuple[Skipped, ...] = ()


def read(path: Path, column: str | None = None) -> Prompts:
    """Read a file of prompts: the formats of `imports`, a table, or lines of text.

    Args:
        column: of a table, or the key of JSON objects, that asks.

    Raises:
        DataError: the file cannot be read, or holds no prompt.
    """
    reading.check(path)
    found: list[tuple[Message, ...]] = []
    skipped: list[Skipped] = []
    if is_json(path):
        array = reading.is_array(path)
        format_ = "a JSON array" if array else "JSON lines"
        records: Iterable[Record | Skipped] = reading.json_array(path) if array else reading.json_lines(path)
        for record in records:
            if isinstance(record, Skipped):
                skipped.append(record)
                continue
            try:
                found.append(_asked(record.value, column))
            except Unusable as error:
                skipped.append(Skipped(record.line, str(error)))
    elif column is not None or path.suffix.lower() in (".csv", ".tsv"):
        texts, skipped, chosen = table.asked(path, column)
        format_ = f"table ({chosen})"
        found = [(Message(role="user", content=text),) for _, text in texts]
    else:
        format_ = "text, a prompt on every line"
        for item in reading.lines(path):
            if isinstance(item, Skipped):
                skipped.append(item)
            elif item[1].strip():
                found.append((Message(role="user", content=item[1].strip()),))
    if not found:
        first = f"; first: {skipped[0]}" if skipped else ""
        raise DataError(f"{path}: none of its {len(skipped)} rows is a prompt{first}")
    once = tuple(dict.fromkeys(found))
    return Prompts(once, format_, len(found) - len(once), tuple(sorted(skipped, key=lambda row: row.line or 0)))


def _asked(value: dict[str, Any], key: str | None) -> tuple[Message, ...]:
    """One record's prompt.

    Raises:
        Unusable: why it is none.
    """
    if key is None and (openai_messages.matches(value) or isinstance(value.get("prompt"), list)):
        asked = _unanswered(value["messages"] if openai_messages.matches(value) else value["prompt"], "role")
        return openai_messages.read({"messages": [*asked, {"role": "assistant", "content": _STAND_IN}]}).prompt
    if key is None and sharegpt.matches(value):
        asked = _unanswered(sharegpt.turns(value), "from", "role")
        answer = {"from": "gpt", "value": _STAND_IN}
        return sharegpt.read({"system": value.get("system"), "conversations": [*asked, answer]}).prompt
    if key is None and "instruction" in value:
        return alpaca.read({**value, "output": _STAND_IN}).prompt
    named = key or next((k for known in pairs.PROMPTS for k in value if k.strip().casefold() == known), None)
    if named is None:
        raise Unusable(
            f"there is no prompt; its keys are {', '.join(map(str, islice(value, 12))) or 'none'} "
            "(name the one that asks with --prompt-column)"
        )
    return pairs.read({**value, _ANSWER: _STAND_IN}, named, _ANSWER).prompt


def _unanswered(turns: list[Any], *speaks: str) -> list[Any]:
    """A conversation without its answer, where it ends with one. `speaks` are the keys that may say who does."""
    last = turns[-1] if turns and isinstance(turns[-1], dict) else {}
    speaker = next((last[key] for key in speaks if key in last), None)
    return turns[:-1] if isinstance(speaker, str) and sharegpt.answers(speaker) else turns
