"""What can be wrong with one row: each check returns the fault in words, or None."""

from __future__ import annotations

from pydantic import ValidationError

from components.schema import Example
from components.task import Task


def roles(example: Example) -> str | None:
    """System first if at all, then user and assistant in turn, nobody silent; the answer's text is for `answer`."""
    said = list(example.messages)
    if said[0].role == "system":
        said = said[1:]
    for position, message in enumerate(said):
        expected = "user" if position % 2 == 0 else "assistant"
        if message.role != expected:
            return f"message {position + 1} is the {message.role}'s where the {expected}'s is due"
        if not message.content.strip() and position < len(said) - 1:
            return f"the {message.role}'s message {position + 1} is empty"
    return None


def answer(example: Example, task: Task) -> str | None:
    """The answer is one that the task allows: valid JSON of its schema, a known label, or some text."""
    if not example.answer.strip():
        return "the answer is empty"
    if task.parse(example.answer) is not None:
        return None
    model = task.schema_model()
    if model is None:
        return f"{example.answer[:60]!r} is none of the labels {', '.join(task.labels)}"
    try:
        model.model_validate_json(example.answer)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where + ': ' if where else ''}{first['msg']}"[:200]
    return "the answer is not valid"
