"""OpenAI's fine-tuning format: {"messages": [{"role": …, "content": …}, …]}.

https://platform.openai.com/docs/guides/supervised-fine-tuning; content may be text or a
list of text parts. A boolean `label` (KTO data) says whether the answer is a good one:
a bad one is nothing to learn from.
"""

from __future__ import annotations

from typing import Any

from components.examples.formats.records import Unusable, example, filled, text_of
from components.schema import Example, Role

NAME = "OpenAI messages"
_ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


def matches(record: dict[str, Any]) -> bool:
    return isinstance(record.get("messages"), list)


def read(record: dict[str, Any]) -> Example:
    """One record as an example.

    Raises:
        Unusable: what is wrong, and in which message.
    """
    if record.get("label") is False:
        raise Unusable("label is false: the answer was judged bad, so there is nothing to learn from it")
    turns: list[tuple[Role, str]] = []
    for number, message in enumerate(record["messages"], 1):
        where = f"message {number}"
        if not isinstance(message, dict):
            raise Unusable(f"{where} is no object with role and content")
        role = message.get("role")
        if role is None:
            raise Unusable(f"{where} has no role")
        if not isinstance(role, str) or role not in _ROLES:
            raise Unusable(f"{where}: role {role!r} is not one of {', '.join(_ROLES)}")
        if message.get("tool_calls") or message.get("function_call"):
            raise Unusable(f"{where} calls a tool, which is not supported")
        turns.append((_ROLES[role], _content(message.get("content"), f"{where}: content")))
    return example(turns)


def _content(content: object, where: str) -> str:
    if not isinstance(content, list):
        return filled(content, where)
    texts = []
    for part in content:
        if not (isinstance(part, dict) and part.get("type") == "text"):
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            raise Unusable(f"{where} has a part of type {kind!r}; only text is supported")
        texts.append(text_of(part.get("text"), where))
    return filled("".join(texts), where)
