"""What a task's settings make of one conversation: the prompt that is asked, how often, under which grammar."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from components.schema import Message
from components.task import Shot, Task
from serving.engine.grammar import json_grammar
from serving.strategies import few_shot, thought
from serving.strategies.nearest import Nearest
from serving.versions import Served

log = logging.getLogger("saqia.strategies")


@dataclass(frozen=True)
class Plan:
    """How one conversation is asked. The plain one, without a task's help, asks it as it is."""

    prompt: tuple[Message, ...]
    """What is rendered; the conversation that is stored stays without examples and instructions."""
    thinks: bool = False
    samples: int = 1
    temperature: float | None = None
    """The task's own, where the client sent none."""
    shots: tuple[Shot, ...] = ()
    """The examples that stand in it before the question."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What was done, for the store."""


@dataclass(frozen=True)
class Form:
    """What an answer is held to."""

    grammar: str | None = None
    """For llguidance."""
    schema: str | None = None
    """The JSON schema behind it, where it is just that."""


@lru_cache(maxsize=64)
def label_grammar(labels: tuple[str, ...]) -> str:
    """The grammar of exactly one of these texts."""
    from llguidance import LLMatcher

    choices = " | ".join(json.dumps(label, ensure_ascii=False) for label in labels)
    return str(LLMatcher.grammar_from_lark(f"start: {choices}"))


class Strategies:
    """A task's strategies with what they need (the index of its examples)."""

    def __init__(self, task: Task, examples: Nearest | None = None) -> None:
        self._task = task
        self._examples = examples or Nearest(task.name)
        self._unenforced: set[str] = set()

    def plan(
        self,
        messages: Sequence[Message],
        fits: Callable[[Sequence[Message]], bool],
        *,
        alone: bool = True,
        think: bool = True,
    ) -> Plan:
        """The plan for a conversation that begins with the task's own system message, if it has one.

        fits: is a prompt short enough? alone: one answer is wanted (several are not voted on).
        think: the client set no form of its own for the answer, so there is room for thoughts in it.

        Raises:
            NoExamples: few-shot examples are asked for and there are none.
        """
        chosen = self._task.prompting
        notes: dict[str, Any] = {}
        prompt = tuple(messages)
        shots: tuple[Shot, ...] = ()
        thinks = think and chosen.chain_of_thought is not None
        if thinks and chosen.chain_of_thought is not None:
            prompt = thought.with_instruction(prompt, chosen.chain_of_thought.instruction)
            notes["chain_of_thought"] = True
        if chosen.few_shot is not None:
            question = next((m.content for m in reversed(messages) if m.role == "user"), "")
            shots = few_shot.fitting(prompt, self._shots(question), fits)
            prompt = few_shot.with_shots(prompt, shots)
            notes["few_shot"] = [shot.message for shot in shots]
        votes = chosen.self_consistency if alone else None
        if votes is not None:
            notes["self_consistency"] = votes.samples
        return Plan(
            prompt,
            thinks=thinks,
            samples=votes.samples if votes else 1,
            temperature=votes.temperature if votes else None,
            shots=shots,
            notes=notes,
        )

    def form(self, served: Served, plan: Plan, room: int, *, opened: bool = False) -> Form:
        """What makes the answer follow the version's schema, or be one of the labels; nothing for free text.

        room: tokens that may be generated; thoughts get at most half of them, counted as characters.
        opened: the prompt itself ends with <think>.
        A schema that no grammar can enforce is not enforced; the log says so once.
        """
        try:
            return self._form(served, plan, room, opened)
        except ValueError as error:
            if served.name not in self._unenforced:
                log.warning("%s: its schema cannot be enforced (%s); answers are free", served.name, error)
            self._unenforced.add(served.name)
            return Form()

    def _form(self, served: Served, plan: Plan, room: int, opened: bool) -> Form:
        chosen = self._task.prompting
        schema = served.schema if chosen.constrain else None
        text = None if schema is None else json.dumps(schema)
        labels = self._task.labels if chosen.constrain else ()
        if chosen.chain_of_thought is not None and plan.thinks:
            # A power of two: every length of its own would be a grammar of its own to compile.
            most = min(chosen.chain_of_thought.max_characters, 2 ** (max(2, room).bit_length() - 2))
            return Form(thought.grammar(text, tuple(labels), most, opened))
        if text is not None:
            return Form(json_grammar(text), text)
        return Form(label_grammar(tuple(labels)) if labels else None)

    def _shots(self, question: str) -> tuple[Shot, ...]:
        chosen = self._task.prompting.few_shot
        assert chosen is not None
        if chosen.choose == "nearest":
            return self._examples.nearest(question, chosen.shots)
        return chosen.examples[: chosen.shots] or self._examples.first(chosen.shots)
