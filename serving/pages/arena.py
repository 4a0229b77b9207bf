"""The arena: one message to two versions, shown without names and in random order, and four votes.

Both answers appear at once, so that speed tells nothing; the names are told after the vote. Battles and
votes go into the store (components/feedback/battles.py), from which the leaderboard is computed.
"""

from __future__ import annotations

import asyncio
import html
import secrets
from typing import Any

import gradio as gr

from components.feedback import battles
from components.feedback.store import StoreError
from components.feedback.votes import Battle, Place
from components.schema import Message
from serving.api.answering import resolve
from serving.api.chat import ask
from serving.api.errors import ApiError, of_engine
from serving.api.requests import ChatMessage, ChatRequest
from serving.engine.interface import EngineError
from serving.pages.chat import version_choices
from serving.pages.person import person
from serving.pages.said import said
from serving.pages.shown import answer_html, good, problem
from serving.pages.site import Site, page

FIRST_CHOICE = 4
"""So many of the newest versions take part where nobody chose others."""
PLACES: tuple[Place, ...] = ("first", "second", "tie", "both_bad")


def build(site: Site) -> None:
    """The page's components and what connects them, inside the current route."""
    words, task = site.words.arena, site.runtime.task
    site.header("arena")
    gr.HTML(f"<h1>{html.escape(words.title)}</h1><p>{html.escape(words.about)}</p>", elem_classes="page-head")
    with gr.Row(elem_id="arena-who", elem_classes="grid"):
        rater, _ = site.name_box()
        taking_part = gr.Dropdown(
            [], multiselect=True, label=words.versions, info=words.versions_hint, elem_id="taking-part"
        )
    with gr.Row(elem_id="ask"):
        box = gr.Textbox(
            placeholder=words.prompt, show_label=False, container=False, scale=8, min_width=120, lines=1,
            max_lines=6, rtl=site.rtl, elem_id="message",
        )  # fmt: skip
        send = gr.Button(words.ask, variant="primary", scale=1, min_width=110, elem_id="send")
    line = gr.HTML("", elem_id="said")
    stage = gr.HTML(empty(words.empty), elem_id="stage")
    with gr.Row(elem_id="votes", elem_classes="choices-row"):
        texts = (words.vote_a, words.vote_b, words.vote_tie, words.vote_bad)
        ids = ("vote-a", "vote-b", "vote-tie", "vote-bad")
        buttons = [
            gr.Button(f"{text} ({n})", elem_id=id, interactive=False)
            for n, (text, id) in enumerate(zip(texts, ids, strict=True), 1)
        ]
    with gr.Column(visible=bool(task.suggestions), elem_id="suggestions"):
        gr.HTML(html.escape(site.words.chat.tries))
        tries = [gr.Button(suggestion, size="sm", variant="secondary") for suggestion in task.suggestions]
    battle: gr.State = gr.State(None)
    outputs = [line, stage, battle, box, *buttons]
    closed = [gr.update(interactive=False)] * len(buttons)

    async def fight(message: str, chosen: list[str], typed: str, request: gr.Request) -> Any:
        who = person(request, typed)
        if not who.name:
            yield [problem(words.name_needed), *(gr.skip(),) * (len(outputs) - 1)]
            return
        if not message.strip():
            yield [gr.skip()] * len(outputs)
            return
        models = list(chosen or [])
        if not models:  # asked before the page knew who is there
            there = await asyncio.to_thread(lambda: numbered(site))
            models = [value for _, value in there][:FIRST_CHOICE]
        if len(models) < 2:
            yield [problem(words.one_version.format(count=len(models))), *(gr.skip(),) * (len(outputs) - 1)]
            return
        yield ["", empty(words.answering), None, gr.skip(), *closed]
        try:
            fought = await asked_both(site, message, drawn(models))
        except (ApiError, EngineError) as error:
            refusal = error if isinstance(error, ApiError) else of_engine(error)
            yield [problem(str(refusal)), empty(words.empty), None, gr.skip(), *closed]
            return
        except StoreError as error:
            yield [problem(str(error)), empty(words.empty), None, gr.skip(), *closed]
            return
        if fought.answer_a == fought.answer_b:
            told = words.same.format(a=fought.version_a, b=fought.version_b)
            yield [good(told), stage_html(site, fought, who.name, message, same=True), None, "", *closed]
            return
        opened = [gr.update(interactive=True)] * len(buttons)
        yield ["", stage_html(site, fought, who.name, message), fought.id, "", *opened]

    def vote(place: Place) -> Any:
        async def press(id: str | None, typed: str, request: gr.Request) -> list[Any]:
            who = person(request, typed)
            if id is None or not who.name:
                return [gr.skip()] * len(outputs)
            try:
                told, shown = await asyncio.to_thread(voted, site, id, who.name, place)
            except StoreError as error:
                return [problem(said(site.words, str(error))), gr.skip(), None, gr.skip(), *closed]
            return [told, shown, None, gr.skip(), *closed]

        return press

    async def who_can(chosen: list[str] | None) -> Any:
        choices = await asyncio.to_thread(lambda: numbered(site))
        values = [value for _, value in choices]
        kept = [value for value in chosen or [] if value in values]
        return gr.update(choices=choices, value=kept or values[:FIRST_CHOICE])

    asks = [taking_part, rater]
    for event in (box.submit, send.click):
        event(fight, [box, *asks], outputs, show_progress="hidden")
    for one in tries:
        one.click(fight, [one, *asks], outputs, show_progress="hidden")
    for button, place in zip(buttons, PLACES, strict=True):
        button.click(vote(place), [battle, rater], outputs, show_progress="hidden")
    page().load(who_can, taking_part, taking_part, show_progress="hidden")


def numbered(site: Site) -> list[tuple[str, str]]:
    """Every version by its number, the newest first."""
    return [choice for choice in version_choices(site, site.runtime.registered()) if "@" in choice[1]]


def drawn(models: list[str]) -> list[str]:
    """Two of them, in an order that nobody can foresee."""
    return secrets.SystemRandom().sample(models, 2)


async def asked_both(site: Site, message: str, models: list[str]) -> Battle:
    """Both answers to a message, as a battle.

    Raises:
        ApiError, EngineError: one of them does not answer.
        StoreError: the battle cannot be kept.
    """
    runtime = site.runtime
    body = ChatRequest(
        model=runtime.task.name, messages=[ChatMessage(role="user", content=message)], temperature=0, user="arena"
    )
    served = [await resolve(runtime, model) for model in models]
    talks = [await ask(runtime, body, one) for one in served]
    answers = [found["choices"][0]["message"]["content"] for found in await asyncio.gather(*(t.whole() for t in talks))]
    messages = served[0].with_system((Message(role="user", content=message),))
    (a, b) = ((one.version, answer) for one, answer in zip(served, answers, strict=True))
    return await asyncio.to_thread(battles.open_battle, runtime.store, runtime.task.name, messages, a, b)


def voted(site: Site, id: str, voter: str, place: Place) -> tuple[str, str]:
    """Keep a vote; the line that tells who was who, and the two answers with their names.

    Raises:
        StoreError: the voter has said something else before, or the store is away.
    """
    words, store = site.words.arena, site.runtime.store
    first = battles.first_for(id, voter)
    battles.cast(store, id, voter, "person", battles.by_place(place, first), first)
    fought = battles.battle(store, id)
    assert fought is not None, "a battle that was voted on is in the store"
    a, b = in_order(fought, voter)
    line = words.revealed.format(a=a[0], b=b[0], vote=words.votes[place])
    link = f'<a href="{site.root}/leaderboard">{html.escape(words.leaderboard)}</a>'
    return f'{good(line)}<p class="note links">{html.escape(words.saved)} {link}</p>', stage_html(
        site, fought, voter, question(fought), names=True, chosen=place
    )


def question(fought: Battle) -> str:
    """What was asked last."""
    return next(message.content for message in reversed(fought.messages) if message.role == "user")


def in_order(fought: Battle, voter: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """Version and answer of what this voter sees first and second."""
    a, b = (fought.version_a, fought.answer_a), (fought.version_b, fought.answer_b)
    return (a, b) if battles.first_for(fought.id, voter) == "a" else (b, a)


def stage_html(
    site: Site,
    fought: Battle,
    voter: str,
    message: str,
    *,
    names: bool = False,
    chosen: Place | None = None,
    same: bool = False,
) -> str:
    """The message and the two answers; `names` once the vote is cast."""
    words, task = site.words, site.runtime.task
    sides = []
    for place, title, (version, answer) in zip(
        ("first", "second"), (words.arena.a, words.arena.b), in_order(fought, voter), strict=True
    ):
        name = f" · <b>{html.escape(words.frame.version.format(version=version))}</b>" if names else ""
        won = " won" if place == chosen else ""
        head = f"<h2>{html.escape(title)}{name}</h2>"
        sides.append(f'<section class="card{won}">{head}{answer_html(task, words, answer)}</section>')
    shown = sides[:1] if same else sides
    return f'<blockquote dir="auto">{html.escape(message)}</blockquote><div class="cards duel">{"".join(shown)}</div>'


def empty(text: str) -> str:
    return f'<p class="empty">{html.escape(text)}</p>'
