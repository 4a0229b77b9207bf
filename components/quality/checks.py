"""What can be wrong with one row beside its answer (`Task.fault`): the fault in words, or None."""

from __future__ import annotations

from components.schema import Example


def roles(example: Example) -> str | None:
    """System first if at all, then user and assistant in turn, nobody silent; the answer's text is not looked at."""
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
