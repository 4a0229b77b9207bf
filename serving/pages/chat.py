"""The chat page: ask, see which version answered, say whether it was right, write what would have been.

It asks and stores through the same code as the HTTP API, so what is said here teaches the
next version like any other feedback.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from components.feedback.store import StoreError
from components.task import Task
from serving import feedback
from serving.api.chat import begin
from serving.api.errors import ApiError, of_engine
from serving.api.requests import ChatMessage, ChatRequest
from serving.engine.interface import EngineError
from serving.runtime import Runtime

History = list[dict[str, Any]]

SHOW_SECONDS = 0.1
"""Least time between two looks at a growing answer: a browser draws each one, and falls behind a fast engine."""

SIMULATED = (
    "In the demo of this task a **simulated person** corrects answers, from the truth that its data generator knows. "
    "What you say here is yours and is kept beside it."
)


def build(runtime: Runtime) -> gr.Blocks:
    """The page's components and what connects them."""
    task = runtime.task
    single_turn = task.answer != "text"
    with gr.Blocks(title=f"{task.title} · Saqia") as page:
        gr.HTML(f"<h1>{html.escape(task.title)}</h1><p>{html.escape(task.description)}</p>", elem_id="head")
        status = gr.HTML(status_line(runtime), elem_id="status")
        if task.simulated_people:
            gr.Markdown(SIMULATED, elem_id="simulated")
        talk = gr.Chatbot(
            show_label=False,
            elem_id="talk",
            layout="bubble",
            feedback_options=None,
            buttons=[],
            placeholder="Each message is answered on its own." if single_turn else "Ask something.",
            latex_delimiters=[],
            allow_tags=False,
        )
        with gr.Column(visible=bool(task.suggestions), elem_id="suggestions") as suggestions:
            gr.HTML("Try one of these:")
            tries = [gr.Button(suggestion, size="sm", variant="secondary") for suggestion in task.suggestions]
        with gr.Row(elem_id="ask"):
            box = gr.Textbox(
                placeholder="Write a message",
                show_label=False,
                container=False,
                scale=8,
                min_width=120,
                lines=1,
                max_lines=6,
                elem_id="message",
            )
            send = gr.Button("Send", variant="primary", scale=1, min_width=84, elem_id="send")
        last: gr.State = gr.State(None)
        with gr.Column(visible=False, elem_id="feedback") as panel:
            with gr.Row(elem_id="judge"):
                up = gr.Button("👍 Right", size="sm", elem_id="up")
                down = gr.Button("👎 Wrong", size="sm", elem_id="down")
                write = gr.Button("✏️ Write the right answer", size="sm", elem_id="write")
            with gr.Column(visible=False, elem_id="writing") as writing:
                correction = gr.Textbox(
                    label="The right answer",
                    info=correction_hint(task),
                    lines=8 if task.answer == "json" else 3,
                    max_lines=24,
                    elem_id="correction",
                )
                comment = gr.Textbox(label="Comment (optional)", elem_id="comment")
                rater = gr.Textbox(label="Your name (optional)", elem_id="rater", max_length=200)
                save = gr.Button("Save", variant="primary", elem_id="save")
        said = gr.HTML("", elem_id="said")
        name: gr.BrowserState = gr.BrowserState("", storage_key="saqia-rater")

        async def ask(message: str, history: History) -> AsyncIterator[tuple[Any, ...]]:
            if not message.strip():
                yield (gr.skip(),) * len(outputs)
                return
            # A browser may work through these long after they were sent, when the person has gone on: what they
            # type, open or are told meanwhile is touched by the first one only, and where the answer failed.
            first = True
            async for history_now, answered, line in asking(runtime, message, history or [], single_turn):
                yield (
                    history_now,
                    "" if first else gr.skip(),
                    answered,
                    gr.update(visible=answered is not None) if first or answered else gr.skip(),
                    gr.update(visible=False) if first else gr.skip(),
                    gr.update(visible=False) if first else gr.skip(),
                    line if first or line else gr.skip(),
                )
                first = False

        async def judge(answered: dict[str, str] | None, thumb: str, rater_name: str) -> str:
            return await say(runtime, answered, rater_name, thumb=thumb)

        async def correct(answered: dict[str, str] | None, right: str, note: str, rater_name: str) -> tuple[Any, Any]:
            line = await say(runtime, answered, rater_name, correction=right, comment=note)
            return line, gr.update(visible='class="bad"' in line)

        outputs = [talk, box, last, panel, writing, suggestions, said]
        for event in (box.submit, send.click):
            event(ask, [box, talk], outputs, show_progress="hidden")
        for button in tries:
            button.click(ask, [button, talk], outputs, show_progress="hidden")
        up.click(judge, [last, gr.State("up"), rater], said)
        down.click(judge, [last, gr.State("down"), rater], said).then(open_writing, [last], [writing, correction])
        write.click(open_writing, [last], [writing, correction])
        save.click(correct, [last, correction, comment, rater], [said, writing])
        rater.blur(lambda text: text, rater, name)
        page.load(lambda stored: stored, name, rater)
        page.load(lambda: status_line(runtime), None, status)
        gr.Timer(5).tick(lambda: status_line(runtime), None, status, show_progress="hidden")
    # Gradio's own limit is one question at a time, of all people together; the engine has a queue and limits.
    page.queue(default_concurrency_limit=None)
    return page


def status_line(runtime: Runtime) -> str:
    """Which version answers, or why none does."""
    champion = runtime.versions.champion
    if champion is None:
        _, details = runtime.readiness()
        reason = html.escape(str(details["reason"])).replace("`saqia build`", "<code>saqia build</code>")
        return f'<span class="dot off"></span>{reason[:1].upper()}{reason[1:]}'
    version, name = html.escape(champion.version), html.escape(runtime.task.name)
    line = f'<span class="dot on"></span>Version <b>{version}</b> of {name} answers'
    if refused := runtime.rollout.refusal:
        line += f"; version {html.escape(refused.version)} was refused: {html.escape(refused.reason)}"
    return line


def correction_hint(task: Task) -> str:
    """What a right answer must look like."""
    if task.labels:
        return "One of: " + ", ".join(task.labels)
    if (model := task.schema_model()) is not None:
        return "JSON with the fields " + ", ".join(model.model_fields) + ". It is checked when you save."
    return "The whole answer as it should have been."


async def asking(
    runtime: Runtime, message: str, history: History, single_turn: bool
) -> AsyncIterator[tuple[History, dict[str, str] | None, str]]:
    """The conversation as it grows, the answer that feedback is about, and a line about problems."""
    turns = [{"role": "user", "content": message}]
    body = ChatRequest(
        model=runtime.task.name,
        messages=[ChatMessage(role=t["role"], content=plain_text(t)) for t in ([] if single_turn else history) + turns],
        temperature=0,
        stream=True,
        user="page",
    )
    history = [*history, *turns]
    began = shown_at = time.monotonic()
    text = ""
    try:
        conversation = await begin(runtime, body)
        yield [*history, {"role": "assistant", "content": "…"}], None, ""
        async for chunk in conversation.chunks():
            for choice in chunk["choices"]:
                text += choice["delta"].get("content") or ""
            if text and time.monotonic() - shown_at >= SHOW_SECONDS:
                shown_at = time.monotonic()
                yield [*history, {"role": "assistant", "content": text}], None, ""
    except (ApiError, EngineError) as error:
        refusal = error if isinstance(error, ApiError) else of_engine(error)
        yield history, None, problem(str(refusal))
        return
    took = time.monotonic() - began
    note = f"<span class='note'>version {conversation.served.version} · {lasted(took)}</span>"
    shown = {"role": "assistant", "content": f"{presented(runtime.task, text)}\n\n{note}"}
    yield [*history, shown], {"id": conversation.id, "answer": text}, ""


def lasted(seconds: float) -> str:
    """A time as a person reads it: `0.4 s`, and in milliseconds what would be 0.0 s."""
    return f"{seconds:.1f} s" if seconds >= 0.1 else f"{1000 * seconds:.0f} ms"


def plain_text(turn: dict[str, Any]) -> str:
    """A turn of the page's conversation as it was said: Gradio may keep content as parts, and the note is ours."""
    content = turn["content"]
    if isinstance(content, list):
        content = "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return str(content).split("\n\n<span class='note'>")[0]


def presented(task: Task, answer: str) -> str:
    """An answer as people read it: the fields of a JSON object as a table, anything else as it is."""
    if task.answer != "json":
        return answer
    try:
        fields = json.loads(answer)
    except json.JSONDecodeError:
        return f"```text\n{answer}\n```"
    if not isinstance(fields, dict):
        return f"```json\n{json.dumps(fields, indent=2, ensure_ascii=False)}\n```"
    rows = "".join(
        f"<tr><th>{cell(name.replace('_', ' '))}</th><td>{shown(value)}</td></tr>" for name, value in fields.items()
    )
    return f"<table class='fields'><tbody>{rows}</tbody></table>"


def shown(value: Any) -> str:
    """A field's value for people, as HTML."""
    if value is None:
        return "<span class='note'>none</span>"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str | int | float):
        return cell(str(value))
    return f"<code>{cell(json.dumps(value, ensure_ascii=False))}</code>"


def cell(text: str) -> str:
    """Text that cannot leave its cell: an empty line would end the table in Markdown."""
    return "<br>".join(html.escape(text).splitlines())


def open_writing(answered: dict[str, str] | None) -> tuple[Any, Any]:
    """Show the model's answer, to be edited into the right one."""
    if answered is None:
        return gr.update(visible=False), ""
    answer = answered["answer"]
    with contextlib.suppress(json.JSONDecodeError):
        answer = json.dumps(json.loads(answer), indent=2, ensure_ascii=False)
    return gr.update(visible=True), answer


async def say(
    runtime: Runtime,
    answered: dict[str, str] | None,
    rater: str,
    *,
    thumb: str | None = None,
    correction: str | None = None,
    comment: str | None = None,
) -> str:
    """Store what a person said; the line that tells them so, when it is on disk."""
    if answered is None:
        return problem("Ask something first.")
    said = feedback.Said(
        answered["id"],
        thumb="up" if thumb == "up" else "down" if thumb == "down" else None,
        correction=correction,
        comment=comment or None,
        rater=rater.strip() or "anonymous",
        idempotency_key=None if thumb is None else f"page:{thumb}",
    )
    try:
        events = feedback.events_of(runtime.task, said)
        await asyncio.to_thread(runtime.store.add_all, events)
    except feedback.WrongCorrection as error:
        return problem(f"Not saved. {error}")
    except StoreError as error:
        return problem(f"Not saved: {error}")
    if correction is not None:
        return '<p class="good">Saved. The next turn of the wheel learns from it.</p>'
    return '<p class="good">Thank you, noted.</p>'


def problem(text: str) -> str:
    """A line that says what went wrong."""
    return f'<p class="bad">{html.escape(text)}</p>'
