"""Few-shot: examples as earlier turns of the conversation (Brown et al. 2020, section 2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from components.schema import Message
from components.task import Shot


def with_shots(messages: Sequence[Message], shots: Sequence[Shot]) -> tuple[Message, ...]:
    """The examples as turns between the system message and the conversation."""
    system = [message for message in messages if message.role == "system"]
    talk = [message for message in messages if message.role != "system"]
    turns = [
        turn
        for shot in shots
        for turn in (Message(role="user", content=shot.message), Message(role="assistant", content=shot.answer))
    ]
    return (*system, *turns, *talk)


def fitting(
    messages: Sequence[Message], shots: Sequence[Shot], fits: Callable[[Sequence[Message]], bool]
) -> tuple[Shot, ...]:
    """As many of the first examples as fit beside the question; it is never refused for their sake."""
    for count in range(len(shots), 0, -1):
        if fits(with_shots(messages, shots[:count])):
            return tuple(shots[:count])
    return ()
