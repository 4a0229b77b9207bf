"""A version's chat template in other programs' words: Jinja that anybody renders, and Go for Ollama.

Training marks what the assistant says with `{% generation %}` (TRL's and transformers' own tag), which no
other Jinja knows. Ollama renders Go templates (https://pkg.go.dev/text/template) over a list of messages
(Ollama's docs/template.md). A Jinja template is a program, so it is not translated but observed: what it writes
around a message of each role becomes the Go template, and both are then held against each other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.export import ExportError
from components.schema import Message, Role

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TAG = re.compile(r"\{%(?P<left>[-+]?)\s*(?P<end>end)?generation\s*(?P<right>[-+]?)%\}")
_MARKS = {"system": "⟦one⟧", "user": "⟦two⟧", "assistant": "⟦three⟧", "again": "⟦four⟧"}


@dataclass(frozen=True)
class Shape:
    """What a template writes around the messages of a conversation."""

    without_system: str
    """At the very beginning, where there is no system message."""
    around: dict[Role, tuple[str, str]]
    """Before and after a message of each role."""
    answer: str
    """At the end, to ask for an answer."""

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt of a conversation."""
        begin = "" if any(message.role == "system" for message in messages) else self.without_system
        parts = [f"{self.around[m.role][0]}{m.content}{self.around[m.role][1]}" for m in messages]
        return begin + "".join(parts) + self.answer

    def go(self) -> str:
        """The same as a Go template over Ollama's `.System` and `.Messages`."""
        lines = (
            [f"{{{{- if not .System }}}}{_literal(self.without_system)}{{{{ end }}}}"] if self.without_system else []
        )
        lines.append("{{- range .Messages }}")
        for number, (role, (before, after)) in enumerate(self.around.items()):
            lines.append(f'{{{{- {"else " if number else ""}if eq .Role "{role}" }}}}')
            lines.append(f"{{{{- {_quoted(before)} }}}}{{{{ .Content }}}}{_literal(after)}")
        return "\n".join([*lines, "{{- end }}", "{{- end }}", f"{{{{- {_quoted(self.answer)} }}}}"])


def portable(template: str) -> str:
    """The template with TRL's generation markers as plain blocks: the same text, for any Jinja."""
    return _TAG.sub(
        lambda tag: f"{{%{tag['left']} {'endif' if tag['end'] else 'if true'} {tag['right']}%}}",
        template,
    )


def shape_of(tokenizer: PreTrainedTokenizerBase, conversations: Sequence[Sequence[Message]]) -> Shape:
    """What the tokenizer's chat template writes around messages, proven on `conversations` and a few of our own.

    Raises:
        ExportError: it is more than text around each message (it looks at position, date or tools, or takes
            no system message), so that it cannot be said so.
    """
    try:
        shape = _observe(tokenizer)
        rows = [*_conversations(), *conversations]
        differing = [row for row in rows if shape.render(row) != _render(tokenizer, row)]
    except (ValueError, IndexError) as error:
        raise ExportError(f"the chat template is more than text around each message ({error}): {_INSTEAD}") from None
    if differing:
        roles = ", ".join(message.role for message in differing[0])
        raise ExportError(f"the chat template writes a conversation of {roles} in a way of its own: {_INSTEAD}")
    return shape


_INSTEAD = "export it as gguf, whose template llama.cpp renders itself (--jinja)"


def _observe(tokenizer: PreTrainedTokenizerBase) -> Shape:
    system, user, assistant, again = (
        Message(role=role, content=mark)
        for role, mark in zip(("system", "user", "assistant", "user"), _MARKS.values(), strict=True)
    )
    asked = _parts(_render(tokenizer, [system, user]), 2)
    closed = _parts(_render(tokenizer, [system, user], ask=False), 2)
    taught = _parts(_render(tokenizer, [system, user, assistant], ask=False), 3)
    whole = _parts(_render(tokenizer, [system, user, assistant, again]), 4)
    alone = _parts(_render(tokenizer, [user]), 1, first=1)
    after_user = closed[2]
    before_user = _less(whole[3], taught[3], at_start=True)
    return Shape(
        without_system=_less(alone[0], before_user, at_start=False),
        around={
            "system": (whole[0], _less(whole[1], before_user, at_start=False)),
            "user": (before_user, after_user),
            "assistant": (_less(whole[2], after_user, at_start=True), taught[3]),
        },
        answer=_less(asked[2], after_user, at_start=True),
    )


def _parts(text: str, marks: int, first: int = 0) -> list[str]:
    """What stands before, between and after the marks of a rendered conversation."""
    parts = []
    for mark in list(_MARKS.values())[first : first + marks]:
        before, found, text = text.partition(mark)
        if not found or mark in text:
            raise ValueError("a message is left out, changed or repeated")
        parts.append(before)
    return [*parts, text]


def _less(text: str, part: str, at_start: bool) -> str:
    """The text without a part that it must begin or end with."""
    if not (text.startswith(part) if at_start else text.endswith(part)):
        raise ValueError(f"{part!r} is not always written")
    return text.removeprefix(part) if at_start else text.removesuffix(part)


def _render(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], ask: bool = True) -> str:
    rows = [message.model_dump() for message in messages]
    try:
        return str(tokenizer.apply_chat_template(rows, tokenize=False, add_generation_prompt=ask))
    except Exception as error:  # a template may raise whatever it likes
        raise ValueError(str(error).splitlines()[0] if str(error) else type(error).__name__) from None


def _conversations() -> list[list[Message]]:
    """Shapes that a chat takes: with and without a system message, one question or several."""
    turns: list[tuple[Role, str]] = [("user", "first"), ("assistant", "one"), ("user", "second"), ("assistant", "2")]
    told = [Message(role=role, content=content) for role, content in [*turns, ("user", "third")]]
    system = Message(role="system", content="Be brief.\nAlways.")
    return [told[:1], told[:3], told, [system, *told[:1]], [system, *told]]


def _quoted(text: str) -> str:
    """A Go string literal: JSON's escapes are among Go's. What is not printable is escaped, too: Ollama's reader of
    Modelfiles leaves it out."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)


def _literal(text: str) -> str:
    return f"{{{{ {_quoted(text)} }}}}" if text else ""
