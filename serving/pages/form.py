"""The right answer as a form: made from the task's schema, filled with the model's answer, checked as one types.

Free text is a box, a label a choice. A structured answer is a control a field; the same answer can be
edited as JSON, which is also what remains where no form can be drawn.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from components.task import Task
from serving.pages import fields
from serving.pages.fields import Field, Group, Part, Path
from serving.pages.words import Words

FEW = 5
"""So many choices are shown side by side; more open in a list."""


@dataclass(frozen=True)
class Checked:
    """A form's answer, and what is wrong with it by field."""

    answer: str
    faults: Mapping[Path, str] = field(default_factory=dict)
    """The empty path: of the answer as a whole."""


class AnswerForm:
    """The form's components inside the current Blocks, and what they hold.

    `inputs` are the values to hand to `checked` and `opened` sets them; `watch` connects the checking.
    """

    def __init__(self, task: Task, words: Words) -> None:
        self._task = task
        self._words = words
        self._model = task.schema_model()
        self.drawn = fields.drawn(self._model) if self._model is not None else None
        self._leaves: tuple[Field, ...] = tuple(fields.leaves(self.drawn)) if self.drawn else ()
        self._optional: tuple[Group, ...] = tuple(fields.choices_of_being_given(self.drawn)) if self.drawn else ()
        self._controls: list[Any] = []
        self._lines: list[Any] = []
        """Under each control: what is wrong with it."""
        self._given: list[Any] = []
        self._groups: list[Any] = []
        self._build()

    # What is drawn ----------------------------------------------------------------------

    def _build(self) -> None:
        words = self._words
        with gr.Column(elem_classes="answer-form"):
            gr.HTML(f"<h2>{html.escape(words.chat.the_right_answer)}</h2>", elem_classes="form-title")
            self.notice = gr.HTML("", visible=False, elem_classes="note")
            self._as_json = gr.State(self.drawn is None)
            with gr.Column(visible=self.drawn is not None, elem_classes="fields-form") as self._fields_side:
                if self.drawn is not None:
                    self._draw_parts(self.drawn.parts)
            with gr.Column(visible=self.drawn is None) as self._text_side:
                self.text = self._text_control()
            if self.drawn is not None:
                self.switch = gr.Button(words.form.as_json, size="sm", variant="secondary", elem_id="as-json")
            self.summary = gr.HTML("", elem_id="faults", elem_classes="summary")

    def _text_control(self) -> Any:
        words, task = self._words, self._task
        rtl = words.frame.direction == "rtl" and task.answer == "text"
        if task.labels and len(task.labels) <= FEW:
            return gr.Radio(list(task.labels), show_label=False, elem_id="correction")
        if task.labels:
            return gr.Dropdown(list(task.labels), value=None, show_label=False, elem_id="correction")
        structured = task.answer == "json"
        return gr.Textbox(
            label=words.form.json_hint if structured else words.chat.whole_answer,
            lines=8 if structured else 3,
            max_lines=24,
            rtl=rtl,
            elem_id="correction",
            elem_classes="code" if structured else None,
        )

    def _draw_parts(self, parts: Sequence[Part]) -> None:
        """Fields side by side where there is room, objects in a frame of their own."""
        run: list[Field] = []
        for part in parts:
            if isinstance(part, Field):
                run.append(part)
                continue
            self._draw_run(run)
            run = []
            self._draw_group(part)
        self._draw_run(run)

    def _draw_run(self, run: Sequence[Field]) -> None:
        if run:
            with gr.Row(elem_classes="grid"):
                for one in run:
                    with gr.Column(min_width=240, elem_classes=["field", f"field-{one.kind}"]):
                        self._controls.append(self._control(one))
                        self._lines.append(gr.HTML("", elem_classes="fault"))

    def _draw_group(self, group: Group) -> None:
        with gr.Group(elem_classes="object"):
            gr.HTML(f"<h3>{html.escape(group.name)}</h3>{_help(group.help)}")
            if not group.optional:
                self._draw_parts(group.parts)
                return
            asked = self._words.form.given.format(field=group.name)
            given = gr.Checkbox(label=asked, elem_classes="given")
            # Inner groups are asked after outer ones, as `choices_of_being_given` lists them.
            self._given.append(given)
            with gr.Column(visible=False) as inner:
                place = len(self._groups)
                self._groups.append(inner)
                self._draw_parts(group.parts)
            given.change(lambda on: gr.update(visible=on), given, self._groups[place], show_progress="hidden")

    def _control(self, one: Field) -> Any:
        words = self._words
        id = "field-" + "-".join(one.path)
        shared: dict[str, Any] = {"label": one.name, "info": one.help or None, "elem_id": id}
        rtl = words.frame.direction == "rtl"
        match one.kind:
            case "choice":
                choices = [(self._shown(value), str(n)) for n, value in enumerate(one.choices)]
                if one.nullable or not one.required:
                    choices.append((words.form.not_given, ""))
                if len(choices) <= FEW:
                    return gr.Radio(choices, value=None, rtl=rtl, **shared)
                return gr.Dropdown(choices, value=None, **shared)
            case "choices":
                return gr.CheckboxGroup([(self._shown(v), str(n)) for n, v in enumerate(one.choices)], **shared)
            case "yes_no":
                return gr.Checkbox(**shared)
            case "lines" | "json":
                hint = words.form.one_a_line if one.kind == "lines" else words.form.as_json_value
                shared["info"] = f"{one.help} ({hint})" if one.help else hint
                classes = "code" if one.kind == "json" else None
                return gr.Textbox(lines=2, max_lines=12, elem_classes=classes, **shared)
            case "integer" | "number":
                return gr.Textbox(html_attributes=gr.InputHTMLAttributes(autocomplete="off"), **shared)
            case _:
                return gr.Textbox(
                    max_lines=6, html_attributes=gr.InputHTMLAttributes(autocomplete="off", spellcheck=True), **shared
                )

    def _shown(self, value: Any) -> str:
        if isinstance(value, bool):
            return self._words.frame.yes if value else self._words.frame.no
        return str(value)

    # What connects it -------------------------------------------------------------------

    @property
    def inputs(self) -> list[Any]:
        """What `checked` wants to be called with."""
        return [self._as_json, self.text, *self._given, *self._controls]

    @property
    def outputs(self) -> list[Any]:
        """What `opened` sets."""
        switch = [self.switch] if self.drawn is not None else []
        sides = [self._fields_side, self._text_side]
        return [self.notice, *switch, *sides, *self._groups, *self.inputs, *self._reported]

    @property
    def _reported(self) -> list[Any]:
        return [self.summary, *self._lines]

    def watch(self) -> None:
        """Check at every change, and let the person choose how to edit."""
        # Gradio's boxes hear `input` from keys alone; what was pasted is checked when the box is left. Not `change`:
        # while the form fills its fields one after the other, it would check, and complain of, what is half filled.
        controls = (self.text, *self._controls, *self._given)
        boxes = [control.blur for control in controls if isinstance(control, gr.Textbox)]
        triggers = [*(control.input for control in controls), *boxes]
        gr.on(
            triggers,
            lambda *values: self._report(self.checked(values)),
            self.inputs,
            self._reported,
            show_progress="hidden",
            trigger_mode="always_last",
        )
        if self.drawn is not None:
            self.switch.click(self._switched, self.inputs, self.outputs, show_progress="hidden")

    def _switched(self, *values: Any) -> list[Any]:
        as_json, text = values[0], values[1]
        answer = str(text or "") if as_json else self.checked(values).answer
        if as_json and _object(answer) is None:
            stay: list[Any] = [gr.skip()] * (len(self.outputs) - len(self._reported))
            return stay + self._report(self.checked(values))
        return self.opened(answer, as_json=not as_json)

    # What it holds ----------------------------------------------------------------------

    def opened(self, answer: str, as_json: bool | None = None) -> list[Any]:
        """Values for `outputs`: the model's answer, to be edited into the right one."""
        words = self._words
        parsed = _object(answer)
        as_json = self.drawn is None if as_json is None else as_json
        notice = words.form.not_an_object if self.drawn is not None and parsed is None else ""
        given = [fields.is_given(group, parsed) for group in self._optional]
        typed = [fields.as_typed(one, parsed) for one in self._leaves]
        text = self._as_text(answer, parsed)
        switch = [gr.update(value=words.form.as_fields if as_json else words.form.as_json)] * (self.drawn is not None)
        # An empty choice is a value of its own only where it can be chosen.
        shown = [
            None if one.kind == "choice" and value == "" and one.required and not one.nullable else value
            for one, value in zip(self._leaves, typed, strict=True)
        ]
        checked = self.checked([as_json, text, *given, *shown])
        return [
            gr.update(value=f"<p>{html.escape(notice)}</p>", visible=bool(notice)),
            *switch,
            gr.update(visible=not as_json),
            gr.update(visible=as_json),
            *(gr.update(visible=on) for on in given),
            as_json,
            text,
            *given,
            *shown,
            *self._report(checked),
        ]

    def _as_text(self, answer: str, parsed: dict[str, Any] | None) -> Any:
        if self._task.labels:
            return answer.strip() if answer.strip() in self._task.labels else None
        return answer if parsed is None else json.dumps(parsed, indent=2, ensure_ascii=False)

    def checked(self, values: Sequence[Any]) -> Checked:
        """The answer that the form holds, and every fault in words."""
        as_json, text, *rest = values
        if self.drawn is None or as_json:
            return self._checked_text(str(text or ""))
        given = dict(zip((group.path for group in self._optional), rest[: len(self._optional)], strict=True))
        typed = dict(zip((one.path for one in self._leaves), rest[len(self._optional) :], strict=True))
        answer = fields.read_back(self.drawn, typed, given)
        return Checked(json.dumps(answer, ensure_ascii=False), self._faults(self.drawn, answer))

    def _checked_text(self, text: str) -> Checked:
        if self._task.answer != "json" or not text.strip():
            return Checked(text)
        try:
            parsed = json.loads(text)
        except json.JSONDecodeError as error:
            told = self._words.form.unreadable.format(line=error.lineno, column=error.colno)
            return Checked(text, {(): told})
        if self.drawn is not None and isinstance(parsed, dict):
            return Checked(text, self._faults(self.drawn, parsed))
        if self._model is None:
            return Checked(text)
        try:
            self._model.model_validate_json(text)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            where = ".".join(map(str, problem["loc"]))
            return Checked(text, {(): f"{where}: {self.told(problem)}" if where else self.told(problem)})
        return Checked(text)

    def _faults(self, form: Group, answer: Mapping[str, Any]) -> dict[Path, str]:
        assert self._model is not None
        return {path: self.told(problem) for path, problem in fields.faults(form, self._model, answer).items()}

    def told(self, problem: ErrorDetails) -> str:
        """pydantic's problem in the page's language; its own words where the page has none."""
        known = self._words.form.errors
        kind = problem["type"]
        template = known.get("none" if kind == "missing" and self._is_choice(problem) else kind)
        if template is None:
            return problem["msg"].removeprefix("Value error, ")
        given = dict(problem.get("ctx", {}))
        if "expected" in given:  # 'a', 'b' or 'c'
            given["expected"] = re.sub("', '|' or '", f"'{self._words.frame.list_comma}'", str(given["expected"]))
        return template.format_map(given)

    def _is_choice(self, problem: ErrorDetails) -> bool:
        path = tuple(map(str, problem["loc"]))
        return any(one.path == path and one.kind == "choice" for one in self._leaves)

    def _report(self, checked: Checked) -> list[Any]:
        """Values for the lines under the controls and the one that names the fields at fault."""
        lines = [_fault(checked.faults.get(one.path, "")) for one in self._leaves]
        return [self.summed_up(checked), *lines]

    def summed_up(self, checked: Checked) -> str:
        """One line: all is well, or which fields are at fault and why."""
        if checked.faults:
            return f'<p class="bad" role="status">{html.escape(self.told_of(checked))}</p>'
        if self.drawn is None:
            return ""
        return f'<p class="good" role="status">{html.escape(self._words.form.all_right)}</p>'

    def told_of(self, checked: Checked) -> str:
        """The faults in a sentence, each with its field's name."""
        named = [
            f"{fields.readable('.'.join(path))}: {told}" if path else told for path, told in checked.faults.items()
        ]
        return self._words.form.faults.format(fields=self._words.frame.list_comma.join(named))


def _object(answer: str) -> dict[str, Any] | None:
    try:
        parsed = json.loads(answer)
    except json.JSONDecodeError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _fault(told: str) -> str:
    return f'<span role="alert">{html.escape(told)}</span>' if told else ""


def _help(text: str) -> str:
    return f'<p class="note">{html.escape(text)}</p>' if text else ""
