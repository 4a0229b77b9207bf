"""Who says which of two answers is better: a model with written principles, or the task's own function.

A judge sees two answers in an order. Models lean to the first (or the second) whatever stands there (Zheng et al. 2023,
arXiv:2306.05685, 3.3), so `comparisons` asks in both orders and believes only what does not change with it. Principles
in place of people's labels are Constitutional AI's (Bai et al. 2022, arXiv:2212.08073, 4; Lee et al. 2023,
arXiv:2309.00267).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Literal

from components.llm.client import Client
from components.schema import Message
from components.stage import StageError
from components.task import Task, own_judge

Choice = Literal["first", "second", "neither"]
Judge = Callable[[Sequence[Message], str, str], Choice]
"""(prompt, first answer, second answer) → which is better."""

SCHEMA = {
    "type": "object",
    "properties": {"better": {"type": "string", "enum": ["A", "B", "neither"]}},
    "required": ["better"],
    "additionalProperties": False,
}
CHOICES: dict[str, Choice] = {"A": "first", "B": "second"}


def of_task(task: Task) -> Judge | None:
    """The function `prefer` of the task's judge.py, or None where there is no such file.

    Raises:
        TaskError: the file cannot be imported, or defines no such function.
        StageError: by the judge: the function failed.
    """
    function = own_judge(task.name)
    if function is None:
        return None

    def judge(prompt: Sequence[Message], first: str, second: str) -> Choice:
        try:
            said = function(tuple(prompt), first, second)
        except Exception as error:
            where = f"tasks/{task.name}/judge.py on the prompt {prompt[-1].content[:60]!r}"
            raise StageError(f"{where}: {type(error).__name__}: {error}") from error
        return said if said in ("first", "second") else "neither"  # type: ignore[return-value]

    return judge


def of_endpoint(client: Client, principles: str, constrain: bool = True) -> Judge:
    """A model that is asked by the principles; what it says without a clear choice is `neither`.

    Args:
        constrain: hold the verdict to a JSON schema by `response_format`.
    """
    form = {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": SCHEMA}}
    more = {"response_format": form} if constrain else {}

    def judge(prompt: Sequence[Message], first: str, second: str) -> Choice:
        said = client.chat(question(principles, prompt, first, second), temperature=0, **more)
        return read(said[0]) if said else "neither"

    return judge


def question(principles: str, prompt: Sequence[Message], first: str, second: str) -> list[Message]:
    """What a judging model is asked."""
    conversation = "\n".join(f"[{message.role}]\n{message.content}" for message in prompt)
    asked = (
        f"Conversation:\n{conversation}\n\nAnswer A:\n{first}\n\nAnswer B:\n{second}\n\nWhich answer is better by the "
        'principles? Say {"better":"A"}, {"better":"B"} or {"better":"neither"} and nothing else.'
    )
    return [Message(role="system", content=principles.strip()), Message(role="user", content=asked)]


def read(said: str) -> Choice:
    """The choice in a model's words: its JSON, or a lone letter."""
    text = said.strip()
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if isinstance(value, dict):
        return CHOICES.get(str(value.get("better")), "neither")
    alone = re.fullmatch(r"(?:Answer\s+)?[\"'(\[]?([AB])[\"')\].]*", text)
    return CHOICES[alone[1]] if alone else "neither"
