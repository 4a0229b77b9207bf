"""ShareGPT: {"conversations": [{"from": "human", "value": …}, {"from": "gpt", …}]}.

As LLaMA-Factory's data/README.md describes it; in its preference variant the answer that
was chosen is the one to learn.
"""

from __future__ import annotations

from typing import Any

from components.examples.formats.records import Unusable, example, filled, with_system
from components.schema import Example, Role

NAME = "ShareGPT"
_ROLES: dict[str, Role] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "system": "system",
}


def matches(record: dict[str, Any]) -> bool:
    return isinstance(turns(record), list)


def read(record: dict[str, Any]) -> Example:
    """One record as an example.

    Raises:
        Unusable: what is wrong, and in which turn.
    """
    said = [_turn(turn, f"turn {number}") for number, turn in enumerate(turns(record), 1)]
    if "chosen" in record:
        said.append(_turn(record["chosen"], "chosen"))
    return example(with_system(record.get("system"), said))


def turns(record: dict[str, Any]) -> Any:
    """A record's conversation, by either of its names."""
    return record.get("conversations", record.get("conversation"))


def answers(speaker: str) -> bool:
    """Is this one of the names for who answers?"""
    return _ROLES.get(speaker) == "assistant"


def _turn(turn: object, where: str) -> tuple[Role, str]:
    if not isinstance(turn, dict):
        raise Unusable(f"{where} is no object with from and value")
    speaker = turn.get("from", turn.get("role"))
    if speaker is None:
        raise Unusable(f"{where} does not say whom it is from")
    if not isinstance(speaker, str) or speaker not in _ROLES:
        raise Unusable(f"{where}: from {speaker!r} is not one of {', '.join(_ROLES)}")
    return _ROLES[speaker], filled(turn.get("value", turn.get("content")), f"{where}: value")
