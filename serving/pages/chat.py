"""The chat page: ask, see which version answered, say whether it was right, write what would have been.

It asks and stores through the same code as the HTTP API, so what is said here teaches the
next version like any other feedback.
"""

from __future__ import annotations

import asyncio
import html
import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import gradio as gr

from components.feedback.store import StoreError
from components.task import Shot
from serving import feedback
from serving.api.answering import resolve
from serving.api.chat import ask, begin
from serving.api.conversation import Conversation
from serving.api.errors import ApiError, of_engine
from serving.api.requests import ChatMessage, ChatRequest
from serving.engine.interface import EngineError
from serving.pages.form import AnswerForm
from serving.pages.person import person
from serving.pages.said import said
from serving.pages.shown import good, lasted, presented, problem
from serving.pages.site import Site, page
from serving.pages.words import Words
from serving.runtime import Runtime

History = list[dict[str, Any]]
Answered = dict[str, str]
"""The answer that feedback is about: its `id` and text."""

SHOW_SECONDS = 0.1
"""Least time between two looks at a growing answer: a browser draws each one, and falls behind a fast engine."""
MOST_KEPT = 200_000
"""Characters of a conversation that a browser keeps for its session."""
KEEP = "(talk) => { try { sessionStorage.setItem('saqia-talk', talk); } catch { /* full: the page goes on */ } }"
RECALL = "() => [sessionStorage.getItem('saqia-talk') || '']"


def build(site: Site) -> None:
    """The page's components and what connects them, inside the current Blocks."""
    runtime, words = site.runtime, site.words
    task, say_chat = runtime.task, words.chat
    single_turn = task.answer != "text"
    site.header("")
    title, description = html.escape(task.title), html.escape(task.description)
    gr.HTML(f'<h1 dir="auto">{title}</h1><p dir="auto">{description}</p>', elem_id="head")
    with gr.Row(elem_id="who"):
        status = gr.HTML(status_line(site), elem_id="status")
        which = gr.Dropdown(
            version_choices(site, []),
            value=task.name,
            label=say_chat.which,
            elem_id="which",
            min_width=200,
            scale=0,
            filterable=False,
        )
    if task.simulated_people:
        gr.HTML(f"<p>{words.frame.simulated}</p>", elem_id="simulated")
    talk = gr.Chatbot(
        show_label=False,
        elem_id="talk",
        layout="bubble",
        feedback_options=None,
        buttons=[],
        placeholder=say_chat.single_turn if single_turn else say_chat.conversation,
        latex_delimiters=[],
        allow_tags=False,
        rtl=site.rtl,
    )
    with gr.Column(visible=bool(task.suggestions), elem_id="suggestions") as suggestions:
        gr.HTML(html.escape(say_chat.tries))
        tries = [gr.Button(suggestion, size="sm", variant="secondary") for suggestion in task.suggestions]
    with gr.Row(elem_id="ask"):
        box = gr.Textbox(
            placeholder=say_chat.message,
            show_label=False,
            container=False,
            scale=8,
            min_width=120,
            lines=1,
            max_lines=6,
            rtl=site.rtl,
            elem_id="message",
        )
        send = gr.Button(say_chat.send, variant="primary", scale=1, min_width=84, elem_id="send")
    last: gr.State = gr.State(None)
    kept = gr.Textbox(visible="hidden", elem_id="kept")
    with gr.Column(visible=False, elem_id="feedback") as panel:
        with gr.Row(elem_id="judge"):
            up = gr.Button(say_chat.right, size="sm", elem_id="up")
            down = gr.Button(say_chat.wrong, size="sm", elem_id="down")
            write = gr.Button(say_chat.write, size="sm", elem_id="write")
            new = gr.Button(say_chat.new, size="sm", elem_id="new")
        with gr.Column(visible=False, elem_id="writing") as writing:
            form = AnswerForm(task, words)
            with gr.Row(elem_classes="grid"):
                comment = gr.Textbox(label=say_chat.comment, elem_id="comment", rtl=site.rtl)
                rater, _ = site.name_box(required=False)
            save = gr.Button(say_chat.save, variant="primary", elem_id="save")
    said = gr.HTML("", elem_id="said")

    async def asked(message: str, history: History, model: str, request: gr.Request) -> AsyncIterator[tuple[Any, ...]]:
        if not message.strip():
            yield (gr.skip(),) * len(outputs)
            return
        # A browser may work through these long after they were sent, when the person has gone on: what they
        # type, open or are told meanwhile is touched by the first one only, and where the answer failed.
        first = True
        user = f"page:{request.session_hash}"
        async for history_now, answered, line in asking(site, message, history or [], single_turn, model, user):
            yield (
                history_now,
                "" if first else gr.skip(),
                answered,
                gr.update(visible=answered is not None) if first or answered else gr.skip(),
                gr.update(visible=False) if first else gr.skip(),
                gr.update(visible=False) if first else gr.skip(),
                line if first or line else gr.skip(),
                keepsake(history_now, answered) if answered else gr.skip(),
            )
            first = False

    async def judge(answered: Answered | None, thumb: str, rater_name: str, request: gr.Request) -> str:
        return await say(site, answered, person(request, rater_name).name, thumb=thumb)

    async def correct(
        answered: Answered | None, note: str, rater_name: str, request: gr.Request, *values: Any
    ) -> tuple[Any, Any]:
        checked = form.checked(values)
        if checked.faults:
            return problem(say_chat.not_saved.format(reason=form.told_of(checked))), gr.skip()
        who = person(request, rater_name).name
        line = await say(site, answered, who, correction=checked.answer, comment=note)
        return line, gr.update(visible='class="bad"' in line)

    def open_writing(answered: Answered | None) -> list[Any]:
        return [gr.update(visible=answered is not None), *form.opened(answered["answer"] if answered else "")]

    def recall(stored: str) -> tuple[Any, ...]:
        history, answered = recalled(site, stored)
        if not history:
            return (gr.skip(),) * 4
        return history, answered, gr.update(visible=answered is not None), gr.update(visible=False)

    async def who_can(chosen: str) -> Any:
        choices = await asyncio.to_thread(lambda: version_choices(site, runtime.registered()))
        there = any(value == chosen for _, value in choices)
        return gr.update(choices=choices, value=chosen if there else task.name)

    outputs = [talk, box, last, panel, writing, suggestions, said, kept]
    for event in (box.submit, send.click):
        event(asked, [box, talk, which], outputs, show_progress="hidden").then(None, kept, None, js=KEEP)
    for button in tries:
        button.click(asked, [button, talk, which], outputs, show_progress="hidden").then(None, kept, None, js=KEEP)
    opening = [writing, *form.outputs]
    up.click(judge, [last, gr.State("up"), rater], said)
    down.click(judge, [last, gr.State("down"), rater], said).then(open_writing, [last], opening)
    write.click(open_writing, [last], opening)
    save.click(correct, [last, comment, rater, *form.inputs], [said, writing])
    form.watch()
    new.click(
        lambda: ([], None, gr.update(visible=False), gr.update(visible=bool(task.suggestions)), "", ""),
        None,
        [talk, last, panel, suggestions, said, kept],
        show_progress="hidden",
    ).then(None, kept, None, js=KEEP)
    page().load(recall, kept, [talk, last, panel, suggestions], js=RECALL)
    for event in (page().load, gr.Timer(5).tick):
        event(lambda: status_line(site), None, status, show_progress="hidden")
    for event in (page().load, status.change):  # not every five seconds: somebody may be choosing
        event(who_can, which, which, show_progress="hidden")


def status_line(site: Site) -> str:
    """Which version answers, or why none does."""
    runtime, words = site.runtime, site.words.chat
    champion, refused = runtime.versions.champion, runtime.rollout.refusal
    refusal = ""
    if refused:
        refusal = words.refused.format(version=html.escape(refused.version), reason=html.escape(refused.reason))
    if champion is None:
        if runtime.rollout.coming is not None:
            reason = words.loading.format(version=html.escape(runtime.rollout.coming))
        elif refusal:
            reason = refusal
        elif runtime.rollout.problem:
            reason = words.registry_unreadable.format(reason=html.escape(runtime.rollout.problem))
        else:
            command = "<code dir='ltr'>saqia build</code>"
            reason = words.nothing_yet.format(task=html.escape(runtime.task.name), command=command)
        return f'<span class="dot off"></span>{reason[:1].upper()}{reason[1:]}'
    version, name = f"<b>{html.escape(champion.version)}</b>", html.escape(runtime.task.name)
    line = f'<span class="dot on"></span>{words.answers.format(version=version, task=name)}'
    return f"{line}; {refusal}" if refusal else line


def version_choices(site: Site, registered: list[str]) -> list[tuple[str, str]]:
    """The champion, and every version by its number, the newest first."""
    task, words = site.runtime.task.name, site.words
    loaded = [served.version for served in site.runtime.versions.all() if served.version.isdigit()]
    numbers = sorted({*registered, *loaded}, key=int, reverse=True)
    named = [(words.frame.version.format(version=number), f"{task}@{number}") for number in numbers]
    return [(words.chat.champion, task), *named]


async def started(runtime: Runtime, body: ChatRequest, model: str) -> Conversation:
    """The question on its way: a version that was chosen is asked as the task's own, with all its help."""
    if model == runtime.task.name:
        return await begin(runtime, body)
    return await ask(runtime, body, await resolve(runtime, model))


async def asking(
    site: Site, message: str, history: History, single_turn: bool, model: str, user: str
) -> AsyncIterator[tuple[History, Answered | None, str]]:
    """The conversation as it grows, the answer that feedback is about, and a line about problems."""
    runtime, words = site.runtime, site.words
    # Gradio would take what is written like HTML for HTML (without scripts); people shall see what they wrote.
    turns = [{"role": "user", "content": html.escape(message, quote=False)}]
    body = ChatRequest(
        model=runtime.task.name,
        messages=[ChatMessage(role=t["role"], content=plain_text(t)) for t in ([] if single_turn else history) + turns],
        temperature=0,
        stream=True,
        user=user,
    )
    history = [*history, *turns]
    began = shown_at = time.monotonic()
    text = ""
    try:
        conversation = await started(runtime, body, model)
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
    took = lasted(words, time.monotonic() - began)
    version = words.frame.version.format(version=conversation.served.version)
    note = f"<span class='note'>{html.escape(version)} · {took}</span>{grounds(words, conversation.grounds)}"
    shown = {"role": "assistant", "content": f"{presented(runtime.task, words, text)}\n\n{note}"}
    yield [*history, shown], {"id": conversation.id, "answer": text}, ""


def grounds(words: Words, shots: Sequence[Shot]) -> str:
    """What the model had before it, folded away: the examples that were looked up for the question."""
    if not shots:
        return ""
    rows = (f"<li dir='auto'>{_line(shot.message)}<br>{_line(shot.answer)}</li>" for shot in shots)
    told = html.escape(words.chat.grounds.format(count=len(shots)))
    return f"<details class='grounds'><summary>{told}</summary><ul>{''.join(rows)}</ul></details>"


def _line(text: str) -> str:
    """As HTML on one line: an empty one would end the block in Markdown."""
    return html.escape(" ".join(text.split()))


def plain_text(turn: dict[str, Any]) -> str:
    """A turn of the page's conversation as it was said: the note under an answer is ours."""
    if turn["role"] == "user":
        return html.unescape(text_of(turn))
    return text_of(turn).split("\n\n<span class='note'>")[0]


def text_of(turn: dict[str, Any]) -> str:
    """A turn's content; Gradio may keep it as parts."""
    content = turn["content"]
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return str(content)


def keepsake(history: History, answered: Answered | None) -> str:
    """A conversation as the browser keeps it for its session; the oldest turns go first."""
    turns = [{"role": turn["role"], "content": text_of(turn)} for turn in history]
    while True:
        kept = json.dumps({"turns": turns, "id": answered["id"] if answered else None}, ensure_ascii=False)
        if len(kept) <= MOST_KEPT or not turns:
            return kept
        turns = turns[2:]


def recalled(site: Site, stored: str) -> tuple[History, Answered | None]:
    """The conversation that the browser kept, as far as it is one; the answer comes from the store."""
    try:
        kept = json.loads(stored[: 2 * MOST_KEPT]) if stored else {}
        history: History = [
            {"role": turn["role"], "content": str(turn["content"])}
            for turn in kept.get("turns", ())
            if turn["role"] in ("user", "assistant")
        ]
        interaction = site.runtime.store.interaction(str(kept["id"])) if kept.get("id") else None
    except (ValueError, TypeError, KeyError, AttributeError, StoreError):
        return [], None
    mine = interaction is not None and interaction.task == site.runtime.task.name
    return history, {"id": interaction.id, "answer": interaction.answer} if interaction and mine else None


async def say(
    site: Site,
    answered: Answered | None,
    rater: str,
    *,
    thumb: str | None = None,
    correction: str | None = None,
    comment: str | None = None,
) -> str:
    """Store what a person said; the line that tells them so, when it is on disk."""
    runtime, words = site.runtime, site.words.chat
    if answered is None:
        return problem(words.ask_first)
    opinion = feedback.Said(
        answered["id"],
        thumb="up" if thumb == "up" else "down" if thumb == "down" else None,
        correction=correction,
        comment=comment or None,
        rater=rater or "anonymous",
        idempotency_key=None if thumb is None else f"page:{thumb}",
    )
    try:
        await runtime.writes.said(feedback.events_of(runtime.task, opinion))
    except (feedback.WrongCorrection, StoreError) as error:
        return problem(words.not_saved.format(reason=said(site.words, str(error))))
    return good(words.saved if correction is not None else words.thanks)
