"""One question and one answer a record: {"prompt": …, "completion": …} and its usual names."""

from __future__ import annotations

from typing import Any

from components.examples.formats.records import Unusable, example, filled, with_system
from components.schema import Example

NAME = "prompt and completion"
PROMPTS = (
    "prompt",
    "question",
    "query",
    "input",
    "text",
    "sms",
    "message",
    "source",
    "document",
    "article",
    "dialogue",
)
ANSWERS = (
    "completion",
    "response",
    "answer",
    "output",
    "label",
    "target",
    "category",
    "class",
    "summary",
    "highlights",
)


def keys_of(names: list[str]) -> tuple[str, str] | None:
    """Which names hold question and answer: the first known of each kind, if there is one of each."""
    folded = {name.strip().casefold(): name for name in reversed(names)}
    prompt = next((folded[known] for known in PROMPTS if known in folded), None)
    answer = next((folded[known] for known in ANSWERS if known in folded), None)
    return (prompt, answer) if prompt is not None and answer is not None else None


def matches(record: dict[str, Any]) -> bool:
    return keys_of(list(record)) is not None


def read(record: dict[str, Any], prompt_key: str | None = None, answer_key: str | None = None) -> Example:
    """One record as an example; the keys are found by their usual names unless they are given.

    Raises:
        Unusable: which key is missing, empty or no text.
    """
    found = keys_of(list(record))
    prompt = prompt_key or (found[0] if found else "prompt")
    answer = answer_key or (found[1] if found else "completion")
    if prompt not in record and answer not in record:
        raise Unusable(f"there is neither {prompt} nor {answer}, only {', '.join(map(str, record)) or 'nothing'}")
    question = filled(record.get(prompt), prompt)
    return example(
        with_system(record.get("system"), [("user", question), ("assistant", filled(record.get(answer), answer))])
    )
