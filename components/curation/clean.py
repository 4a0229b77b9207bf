"""Normalising and scrubbing whole rows. The system message stays as it is: serving sends the same one."""

from __future__ import annotations

import json
from collections import Counter
from functools import lru_cache
from typing import Any

from components.curation.normalise import normalise
from components.curation.scrub import Scrubber, summary
from components.schema import Dropped, Example, FeedbackRow, Message
from components.task import Task

REMEMBERED = 65_536
"""Texts and answers whose cleaned form is remembered."""


class Cleaner:
    """Rows in the form in which they are compared and taught."""

    def __init__(self, task: Task, scrub: Scrubber) -> None:
        self._task = task
        # Every turn looks at the answers of all turns before it, and pairs repeat their rows' texts.
        self._form = lru_cache(REMEMBERED)(self._canonical)
        self._cleaned = lru_cache(REMEMBERED)(lambda text: scrub(normalise(text)))

    def example(self, row: Example) -> tuple[Example, list[Dropped]]:
        """The cleaned row, and a record of each step that changed it."""
        found: Counter[str] = Counter()
        messages = [self._message(m, found) for m in row.messages[:-1]]
        messages.append(row.messages[-1].model_copy(update={"content": self._answer(row.answer, found)}))
        if tuple(messages) == row.messages:
            return row, []
        cleaned = row.model_copy(update={"messages": tuple(messages)})
        return cleaned, _changes(row.id, cleaned.question, found)

    def feedback(self, row: FeedbackRow) -> tuple[FeedbackRow, list[Dropped]]:
        """The cleaned event, and a record of each step that changed it."""
        found: Counter[str] = Counter()
        update: dict[str, Any] = {
            "messages": tuple(self._message(m, found) for m in row.messages),
            "answer": self._answer(row.answer, found),
            "correction": None if row.correction is None else self._answer(row.correction, found),
            "comment": None if row.comment is None else self._text(row.comment, found),
        }
        if all(getattr(row, key) == value for key, value in update.items()):
            return row, []
        cleaned = row.model_copy(update=update)
        question = next((m.content for m in reversed(cleaned.messages) if m.role == "user"), "")
        return cleaned, _changes(row.event_id, question, found)

    def text(self, text: str) -> str:
        """One text, cleaned."""
        return self._text(text, Counter())

    def message(self, message: Message) -> Message:
        """One message, cleaned; the system's stays as it is."""
        return self._message(message, Counter())

    def answer(self, answer: str) -> str:
        """One answer, cleaned; a valid one in the form in which it is taught."""
        cleaned = self._answer(answer, Counter())
        return self.canonical(cleaned) or cleaned.strip()

    def canonical(self, answer: str) -> str | None:
        """An answer as it is taught, or None where it is no valid answer of the task."""
        return self._form(answer)

    def _canonical(self, answer: str) -> str | None:
        if not answer.strip() or self._task.parse(answer) is None:
            return None
        if self._task.answer == "json":
            return self._task.normalise(answer)
        return answer.strip()

    def _message(self, message: Message, found: Counter[str]) -> Message:
        if message.role == "system":
            return message
        content = self._text(message.content, found)
        return message if content == message.content else message.model_copy(update={"content": content})

    def _text(self, text: str, found: Counter[str]) -> str:
        cleaned, hits = self._cleaned(text)
        if hits:
            found.update(hits)
        return cleaned

    def _answer(self, answer: str, found: Counter[str]) -> str:
        """Structured answers are cleaned string by string, so that they stay what they are."""
        if self._task.answer != "json":
            return self._text(answer, found)
        try:
            value = json.loads(answer)
        except ValueError:
            return self._text(answer, found)
        cleaned = self._value(value, found)
        if cleaned != value:
            answer = json.dumps(cleaned, ensure_ascii=False, separators=(",", ":"))
        return self.canonical(answer) or answer

    def _value(self, value: Any, found: Counter[str]) -> Any:
        if isinstance(value, str):
            return self._text(value, found)
        if isinstance(value, list):
            return [self._value(item, found) for item in value]
        if isinstance(value, dict):
            return {key: self._value(item, found) for key, item in value.items()}
        return value


def _changes(id: str, text: str, found: Counter[str]) -> list[Dropped]:
    """One record a step; the text is the cleaned one, so that the record holds no personal data either."""
    step, reason = (
        ("scrub", summary(found)) if found else ("normalise", "Unicode, spaces or JSON notation made uniform")
    )
    return [Dropped(id=id, step=step, action="changed", reason=reason, text=text)]
