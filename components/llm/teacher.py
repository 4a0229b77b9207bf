"""A teacher's answers to prompts that nobody answered: rows to learn from (Kim & Rush 2016, arXiv:1606.07947; of large
models behind an API: Hsieh et al. 2023, arXiv:2305.02301).

Only what is a valid answer of the task becomes a row, and of several samples only what most of them say (Wang et al.
2022, arXiv:2203.11171). Everything else is refused with its reason.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.config import TeacherSettings
from components.llm.client import Choice, Client, Refused
from components.llm.memory import Answered, Memory
from components.llm.side_by_side import side_by_side
from components.schema import Example, Message, Record, content_id
from components.task import Task

OF_ONE_PROMPT = frozenset({400, 413, 422})
"""HTTP statuses that may be a prompt's own fault: too long, or stopped by a filter. What else is refused, all are."""
GIVEN_UP = 10
"""So many prompts refused by the server, and none answered, are no prompt's own fault any more."""
_THOUGHTS = re.compile(r"\s*<think>.*?</think>", re.DOTALL)
_FENCED = re.compile(r"\s*```[\w-]*\n(.*?)\n?```\s*", re.DOTALL)
_AROUND_A_LABEL = " \t\r\n\"'`*.“”"


class Unanswered(Record):
    """A prompt that gave no row: what was said to it, and why that is no answer."""

    prompt: tuple[Message, ...]
    answers: tuple[str, ...]
    reason: str
    rater: str


@dataclass(frozen=True)
class Told:
    """What came of one prompt: a row, or why there is none."""

    row: Example | None = None
    unanswered: Unanswered | None = None
    refused: Refused | None = None
    """By the server, rather than by what was answered."""
    requests: int = 0
    """That were sent; fewer than samples where answers were kept from before."""


@dataclass
class Labelled:
    """What came of all prompts so far."""

    rows: list[Example] = field(default_factory=list)
    unanswered: list[Unanswered] = field(default_factory=list)
    refusals: int = 0
    """Of the server, among the unanswered."""
    requests: int = 0

    @property
    def prompts(self) -> int:
        return len(self.rows) + len(self.unanswered)


Teacher = Callable[[Sequence[Message]], Told]


def label(prompts: Sequence[Sequence[Message]], teacher: Teacher, parallel: int) -> Iterator[Labelled]:
    """Have every prompt answered; yields the account after each, the last one is the whole.

    Raises:
        StageError: the server cannot be reached or refuses us, or it has refused everything that it was asked.
    """
    so_far, refused = Labelled(), None
    for told in side_by_side(teacher, prompts, parallel):
        so_far.requests += told.requests
        if told.row is not None:
            so_far.rows.append(told.row)
        if told.unanswered is not None:
            so_far.unanswered.append(told.unanswered)
        if told.refused is not None:
            refused = told.refused
            so_far.refusals += 1
            if so_far.refusals == so_far.prompts == GIVEN_UP:
                raise refused
        yield so_far
    if refused is not None and so_far.refusals == so_far.prompts:
        raise refused


def teacher(
    task: Task,
    client: Client,
    wanted: TeacherSettings,
    memory: Memory,
    instruction: str | None = None,
    shots: Sequence[Example] = (),
    seed: int = 0,
) -> Teacher:
    """A model behind an endpoint as a teacher of a task; may be asked by several threads.

    Args:
        instruction: what it is told in place of the task's system message.
        shots: rows of the task that it is shown before each prompt.

    Raises:
        StageError: by the teacher: see `label`.
    """
    rater = f"ai:{client.model}"
    parameters: dict[str, Any] = response_format(task) if wanted.constrain else {}
    if wanted.temperature is not None:
        parameters["temperature"] = wanted.temperature
    if wanted.max_tokens is not None:
        parameters["max_tokens"] = wanted.max_tokens

    def ask(prompt: Sequence[Message]) -> Told:
        asked = question(task, prompt, instruction, shots, in_words=not wanted.constrain)
        answered: list[Answered] = []
        requests = 0
        for number in range(wanted.samples):  # a request each: not every server knows `n`
            drawn = parameters | ({"seed": seed + number} if wanted.temperature else {})
            key = _key(client, asked, drawn)
            known = memory.of(key)
            if known is None:
                requests += 1
                try:
                    said = client.choices(asked, **drawn) or [Choice("", None)]
                    known = memory.keep(key, said[0])
                except Refused as error:
                    if error.status not in OF_ONE_PROMPT:
                        raise
                    unanswered = Unanswered(prompt=tuple(prompt), answers=(), reason=str(error), rater=rater)
                    return Told(unanswered=unanswered, refused=error, requests=requests)
            answered.append(known)
        answer, reason = settled(task, answered)
        if answer is None:
            texts = tuple(one.refusal or one.text for one in answered)
            unanswered = Unanswered(prompt=tuple(prompt), answers=texts, reason=reason, rater=rater)
            return Told(unanswered=unanswered, requests=requests)
        messages = (*prompt, Message(role="assistant", content=answer))
        row = Example(
            id=content_id(*(f"{m.role}\x1e{m.content}" for m in messages)),
            messages=messages,
            source="teacher",
            group=answer if task.answer == "label" else None,
            rater=rater,
            created_at=max(one.created_at for one in answered),
        )
        return Told(row=row, requests=requests)

    return ask


def question(
    task: Task, prompt: Sequence[Message], instruction: str | None, shots: Sequence[Example], in_words: bool
) -> list[Message]:
    """What the teacher is sent: the instruction (else the prompt's own system message, else the task's), shots, prompt.

    Args:
        in_words: the task's schema is part of the instruction, since nothing else tells it.
    """
    own = next((m.content for m in prompt if m.role == "system"), None)
    parts = [own if own is not None else task.system] if instruction is None else [instruction, own]
    model = task.schema_model()
    if in_words and model is not None:
        schema = json.dumps(model.model_json_schema(), ensure_ascii=False)
        parts.append(f"Answer with one JSON object of this JSON schema and nothing else:\n{schema}")
    said = "\n\n".join(part.strip() for part in parts if part and part.strip())
    shown = [m for row in shots for m in row.messages if m.role != "system"]
    rest = [m for m in prompt if m.role != "system"]
    return [*([Message(role="system", content=said)] if said else []), *shown, *rest]


def response_format(task: Task) -> dict[str, Any]:
    """The request's key that holds a JSON answer to its form; nothing for text and labels."""
    model = task.schema_model()
    if model is not None:
        schema = strict(model.model_json_schema())
        form: dict[str, Any] = {
            "type": "json_schema",
            "json_schema": {"name": task.name, "strict": True, "schema": schema},
        }
        return {"response_format": form}
    return {"response_format": {"type": "json_object"}} if task.answer == "json" else {}


def strict(schema: Any) -> Any:
    """A JSON schema as OpenAI's strict mode wants it: every key required, no other allowed, no default
    (https://platform.openai.com/docs/guides/structured-outputs#supported-schemas)."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    made: dict[str, Any] = {}
    for key, part in schema.items():
        if key in ("properties", "$defs"):
            made[key] = {name: strict(inner) for name, inner in part.items()}
        elif key != "default":
            made[key] = strict(part)
    if "properties" in schema:
        made |= {"required": list(schema["properties"]), "additionalProperties": False}
    return made


def settled(task: Task, answered: Sequence[Answered]) -> tuple[str | None, str]:
    """The answer to teach, in the form in which it is taught; or None and the reason.

    Of several, the one that more than half of them give.
    """
    read_ = [read(task, one) for one in answered]
    votes = Counter(answer for answer, _ in read_ if answer is not None)
    if not votes:
        return None, read_[0][1]
    answer, most = votes.most_common(1)[0]
    if most * 2 > len(answered):
        return answer, ""
    return None, f"no answer that more than half of {len(answered)} samples give: the commonest was given {most} times"


def read(task: Task, answered: Answered) -> tuple[str | None, str]:
    """One answer in the form in which it is taught; or None and why it is none."""
    if answered.refusal:
        return None, "the teacher declined"
    if answered.finish == "length":
        return None, "the answer was cut off: it is longer than teacher.max_tokens, or than the teacher's context"
    if answered.finish == "content_filter":
        return None, "the server's content filter stopped the answer"
    text = _THOUGHTS.sub("", answered.text, count=1) if _THOUGHTS.match(answered.text) else answered.text
    text = text.strip()
    if task.answer == "json":
        fenced = _FENCED.fullmatch(text)
        text = fenced[1] if fenced else text
    elif task.answer == "label":
        bare = text.strip(_AROUND_A_LABEL).casefold()
        text = next((known for known in task.labels if known.casefold() == bare), text)
    fault = task.fault(text)
    if fault is not None:
        return None, fault
    return (task.normalise(text) if task.answer == "json" else text), ""


def _key(client: Client, messages: Sequence[Message], parameters: Mapping[str, Any]) -> str:
    asked = [message.model_dump() for message in messages]
    request = {"server": client.base_url, "model": client.model, "messages": asked, **parameters}
    return content_id(json.dumps(request, sort_keys=True, ensure_ascii=False))
