"""What people and models wrote, as HTML that can only ever be text."""

from __future__ import annotations

import html
import json
from typing import Any

from components.task import Task
from serving.pages.fields import readable
from serving.pages.words import Words


def presented(task: Task, words: Words, answer: str) -> str:
    """An answer in a conversation (Markdown): the fields of a JSON object as a table, anything else as it is."""
    if task.answer != "json":
        return answer
    try:
        fields = json.loads(answer)
    except json.JSONDecodeError:
        return f"```text\n{answer}\n```"
    if not isinstance(fields, dict):
        return f"```json\n{json.dumps(fields, indent=2, ensure_ascii=False)}\n```"
    return as_table(words, fields)


def answer_html(task: Task, words: Words, answer: str) -> str:
    """An answer outside of a conversation, as HTML."""
    try:
        fields = json.loads(answer) if task.answer == "json" else None
    except json.JSONDecodeError:
        fields = None
    if isinstance(fields, dict):
        return as_table(words, fields)
    return f'<div class="plain" dir="auto">{cell(answer)}</div>'


def as_table(words: Words, fields: dict[str, Any]) -> str:
    """A field a row."""
    rows = "".join(
        f"<tr><th>{cell(readable(name))}</th><td dir='auto'>{value_html(words, value)}</td></tr>"
        for name, value in fields.items()
    )
    return f"<table class='fields'><tbody>{rows}</tbody></table>"


def value_html(words: Words, value: Any) -> str:
    """A field's value for people."""
    if value is None:
        return f"<span class='note'>{html.escape(words.frame.none)}</span>"
    if isinstance(value, bool):
        return html.escape(words.frame.yes if value else words.frame.no)
    if isinstance(value, str | int | float):
        return cell(str(value))
    return f"<code>{cell(json.dumps(value, ensure_ascii=False))}</code>"


def cell(text: str) -> str:
    """Text that cannot leave its cell: an empty line would end the table in Markdown."""
    return "<br>".join(html.escape(text).splitlines())


def lasted(words: Words, seconds: float) -> str:
    """A time as a person reads it: `0.4 s`, and in milliseconds what would be 0.0 s."""
    if seconds >= 0.1:
        return words.frame.seconds.format(number=f"{seconds:.1f}")
    return words.frame.milliseconds.format(number=f"{1000 * seconds:.0f}")


def good(text: str) -> str:
    """A line that says what is done."""
    return f'<p class="good" role="status">{html.escape(text)}</p>'


def problem(text: str) -> str:
    """A line that says what went wrong."""
    return f'<p class="bad" role="alert">{html.escape(text)}</p>'
