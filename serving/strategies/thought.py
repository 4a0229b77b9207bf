"""Chain of thought (Wei et al. 2022): the model thinks first, between <think> and </think>, then answers.

The two are kept apart: the answer alone is the message's content, the thoughts are its
`reasoning_content` (the name that DeepSeek's API gave it and others took over). Where the answer
has a schema or labels, a grammar makes the model keep to the form; a free text is asked nicely.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from components.schema import Message
from serving.engine.grammar import COMPACT

OPEN, CLOSE = "<think>", "</think>"


def with_instruction(messages: Sequence[Message], instruction: str) -> tuple[Message, ...]:
    """The instruction at the end of the system message, or as one."""
    if messages and messages[0].role == "system":
        told = Message(role="system", content=f"{messages[0].content}\n\n{instruction}")
        return (told, *messages[1:])
    return (Message(role="system", content=instruction), *messages)


@lru_cache(maxsize=64)
def grammar(schema: str | None, labels: tuple[str, ...], most_characters: int, opened: bool = False) -> str | None:
    """Thoughts of bounded length, then the answer: an llguidance grammar in its Lark notation; None for free text.

    schema: as JSON text. opened: the prompt itself ends with <think>.

    Raises:
        ValueError: the schema cannot be enforced.
    """
    if schema is None and not labels:
        return None
    from llguidance import LLMatcher

    if schema is not None:
        answer = "%json " + json.dumps({**json.loads(schema), "x-guidance": COMPACT})
    else:
        answer = " | ".join(json.dumps(label, ensure_ascii=False) for label in labels)
    # The end belongs to the thoughts' own token class: a greedy lexer would otherwise run past it.
    rules = (
        "start: thoughts answer" if opened else f'start: "{OPEN}" thoughts answer',
        rf"thoughts: /([^<]|<[^\/]){{0,{most_characters}}}<\/think>/",
        f"answer: {answer}",
    )
    made = str(LLMatcher.grammar_from_lark("\n".join(rules)))
    if error := LLMatcher.validate_grammar(made):
        raise ValueError(error.splitlines()[0])
    return made


@dataclass(frozen=True)
class Parted:
    """A piece of text, sorted into what was thought and what was answered."""

    reasoning: str
    content: str


class Parting:
    """Sorts a text that comes in pieces; a marker may be cut anywhere.

    opened: the prompt itself ends with <think>, as some models' chat templates have it.
    """

    def __init__(self, opened: bool = False) -> None:
        self._state = "thinking" if opened else "start"
        self._held = ""

    def push(self, text: str) -> Parted:
        """The next piece; what could still become a marker is held back."""
        self._held += text
        reasoning = ""
        if self._state == "start":
            lead = self._held.lstrip()
            if lead.startswith(OPEN):
                self._held, self._state = lead[len(OPEN) :], "thinking"
            elif OPEN.startswith(lead):
                return Parted("", "")
            else:
                self._state = "answering"
        if self._state == "thinking":
            reasoning, found, rest = self._held.partition(CLOSE)
            if not found:
                keep = _overlap(reasoning, CLOSE)
                self._held = reasoning[len(reasoning) - keep :]
                return Parted(reasoning[: len(reasoning) - keep], "")
            self._held, self._state = rest, "after"
        if self._state == "after":  # white space between thoughts and answer belongs to neither
            self._held = self._held.lstrip()
            self._state = "answering" if self._held else "after"
        content, self._held = self._held, ""
        return Parted(reasoning, content)

    def flush(self) -> Parted:
        """What was held back when the text ended: half a marker is no marker."""
        held, self._held = self._held, ""
        return Parted(held, "") if self._state == "thinking" else Parted("", held)


def part(text: str, opened: bool = False) -> Parted:
    """A whole text at once."""
    parting = Parting(opened)
    first, last = parting.push(text), parting.flush()
    return Parted(first.reasoning + last.reasoning, first.content + last.content)


def _overlap(text: str, marker: str) -> int:
    """Length of the longest end of the text that begins the marker."""
    return next((n for n in range(min(len(marker) - 1, len(text)), 0, -1) if marker.startswith(text[-n:])), 0)
