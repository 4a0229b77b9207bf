"""The review page: one answer at a time with the reason why it waits, and one key for each thing to say of it.

What is shown comes from the queue in the store (components/feedback/review.py), which keeps an item from
others while somebody has it open; a look is feedback like any other.
"""

from __future__ import annotations

import asyncio
import html
from collections.abc import Callable
from typing import Any

import gradio as gr

from components.feedback.critical import mark as mark_of
from components.feedback.progress import Progress, progress
from components.feedback.review import Item, LeaseLost, ReviewQueue
from components.feedback.store import StoreError
from components.feedback.waiting import Action
from components.schema import Feedback, Message
from serving.pages.form import AnswerForm
from serving.pages.person import allowed
from serving.pages.said import apart, said
from serving.pages.shown import answer_html, cell, good, problem
from serving.pages.site import Site
from serving.pages.words import Words

COLUMNS = ("", "", "", "", "", "wide")
"""Of what reviewers did; `wide` is not shown on a phone."""
SHOWN = 80
"""So many characters of a critical case's question are shown."""
Open = dict[str, str]
"""The item in front of the reviewer: `id`, `answer`, and `proposal` where there is one."""


def build(site: Site) -> None:
    """The page's components and what connects them, inside the current route."""
    words, task, store = site.words.review, site.runtime.task, site.runtime.store
    queue = ReviewQueue(store, task, site.runtime.settings, site.runtime.mirror.add)
    site.header("review")
    gr.HTML(f"<h1>{html.escape(words.title)}</h1><p>{html.escape(words.about)}</p>", elem_classes="page-head")
    with gr.Row(elem_id="begin-row", elem_classes="choices-row"):
        rater, known = site.name_box()
        begin = gr.Button(words.begin, variant="primary", elem_id="begin")
    counts = gr.HTML("", elem_id="counts")
    told = gr.HTML("", elem_id="said")
    current: gr.State = gr.State(None)
    item = gr.HTML(f'<p class="empty">{html.escape(words.name_needed)}</p>', elem_id="item")
    with gr.Column(visible=False, elem_id="looking") as looking:
        with gr.Row(elem_id="judge"):
            accept = gr.Button(f"{words.accept} (A)", elem_id="accept")
            fix = gr.Button(f"{words.fix} (F)", elem_id="fix")
            reject = gr.Button(f"{words.reject} (R)", elem_id="reject")
            skip = gr.Button(f"{words.skip} (S)", elem_id="skip")
        critical = gr.Checkbox(label=words.critical, elem_id="critical", container=False)
        with gr.Column(visible=False, elem_id="writing") as writing:
            form = AnswerForm(task, site.words)
            comment = gr.Textbox(label=words.comment, elem_id="comment", rtl=site.rtl)
            with gr.Row(elem_classes="choices-row"):
                save = gr.Button(words.save, variant="primary", elem_id="save")
                proposal = gr.Button(words.use_proposal, visible=False, elem_id="use-proposal")
                cancel = gr.Button(words.cancel, elem_id="cancel")
    with gr.Row(visible=False, elem_id="marked", elem_classes="choices-row") as marked:
        chosen = gr.Dropdown([], value=None, elem_id="marked-cases")
        unmark = gr.Button(words.not_critical, elem_id="unmark")
    done = gr.HTML("", elem_id="done")
    shown = [told, current, item, looking, writing, counts, done, critical, marked, chosen]

    def next_item(reviewer: str, line: str = "") -> tuple[Any, ...]:
        """The next item and how things stand, as values for `shown`."""
        try:
            taken = queue.take(reviewer)
            waiting = queue.waiting()
            stand = standing(site, queue, reviewer)
            marks = marks_of(site)
        except StoreError as error:
            hidden = gr.update(visible=False)
            return problem(str(error)), None, "", hidden, hidden, "", "", False, hidden, gr.skip()
        if taken is None:
            nobody = words.nothing_for_you if sum(waiting.values()) else words.nothing
            body, state = f'<p class="empty">{html.escape(nobody)}</p>', None
        else:
            body = item_html(site, taken)
            state = {"id": taken.interaction.id, "answer": taken.interaction.answer, "proposal": taken.proposal or ""}
        there = gr.update(visible=taken is not None)
        box = taken is not None and taken.critical
        hidden = gr.update(visible=False)
        return line, state, body, there, hidden, counts_html(words.reasons, waiting), stand, box, *marks

    async def started(typed: str, request: gr.Request) -> tuple[Any, ...]:
        who = allowed(request, "review", site.words, typed)
        if not who.name:
            line = problem(words.name_needed) if typed is not None else ""
            return line, *(gr.skip(),) * (len(shown) - 1)
        return await asyncio.to_thread(next_item, who.name)

    async def arrived(typed: str, request: gr.Request) -> tuple[Any, ...]:
        """Somebody opens the page: whoever is known by name or key begins at once."""
        who = allowed(request, "review", site.words, typed)
        if not who.name:
            return (gr.skip(),) * len(shown)
        return await asyncio.to_thread(next_item, who.name)

    async def looked(
        action: Action,
        at: Open | None,
        typed: str,
        mark: bool,
        request: gr.Request,
        right: str | None = None,
        note: str = "",
    ) -> tuple[Any, ...]:
        who = allowed(request, "review", site.words, typed)
        if at is None or not who.name:
            return (gr.skip(),) * len(shown)
        try:
            await asyncio.to_thread(queue.look, who.name, at["id"], action, right, note, mark)
        except LeaseLost as error:
            why = said(site.words, str(error))
            return await asyncio.to_thread(next_item, who.name, problem(words.not_saved.format(reason=why)))
        except StoreError as error:
            why = said(site.words, str(error))
            return problem(words.not_saved.format(reason=why)), *(gr.skip(),) * (len(shown) - 1)
        return await asyncio.to_thread(next_item, who.name, good(words.done[action]))

    def pressed(action: Action) -> Callable[..., Any]:
        async def press(at: Open | None, typed: str, mark: bool, request: gr.Request) -> tuple[Any, ...]:
            return await looked(action, at, typed, mark, request)

        return press

    async def saved(
        at: Open | None, note: str, typed: str, mark: bool, request: gr.Request, *values: Any
    ) -> tuple[Any, ...]:
        checked = form.checked(values)
        if checked.faults:
            line = problem(words.not_saved.format(reason=form.told_of(checked)))
            return line, *(gr.skip(),) * (len(shown) - 1)
        return await looked("fix", at, typed, mark, request, checked.answer, note)

    async def unmarked(id: str | None, at: Open | None, typed: str, request: gr.Request) -> list[Any]:
        who = allowed(request, "review", site.words, typed)
        if not id or not who.name:
            return [gr.skip()] * 4
        try:
            await site.runtime.writes.said([mark_of(id, who.name, critical=False)])
            marks = await asyncio.to_thread(marks_of, site)
        except StoreError as error:
            return [problem(words.not_saved.format(reason=said(site.words, str(error)))), *[gr.skip()] * 3]
        # A box that stayed ticked would mark the case again with the next look.
        box = False if at is not None and at["id"] == id else gr.skip()
        return [good(words.unmarked), *marks, box]

    def open_writing(at: Open | None) -> list[Any]:
        filled = form.opened(at["answer"] if at else "")
        return [gr.update(visible=at is not None), gr.update(visible=bool(at and at["proposal"])), "", *filled]

    begin.click(started, rater, shown, show_progress="hidden", api_name="review_begin")
    rater.submit(started, rater, shown, show_progress="hidden")
    for button, action in ((accept, "accept"), (reject, "reject"), (skip, "skip")):
        button.click(pressed(action), [current, rater, critical], shown, show_progress="hidden")  # type: ignore[arg-type]
    fix.click(open_writing, current, [writing, proposal, comment, *form.outputs], show_progress="hidden")
    proposal.click(lambda at: form.opened(at["proposal"] if at else ""), current, form.outputs, show_progress="hidden")
    cancel.click(lambda: gr.update(visible=False), None, writing, show_progress="hidden")
    save.click(saved, [current, comment, rater, critical, *form.inputs], shown, show_progress="hidden")
    unmark.click(unmarked, [chosen, current, rater], [told, marked, chosen, critical], show_progress="hidden")
    form.watch()
    known.then(arrived, rater, shown, show_progress="hidden")


# One item ----------------------------------------------------------------------------------


def item_html(site: Site, item: Item) -> str:
    """The reason, the question, the answer, and what people said about it."""
    words, task = site.words.review, site.runtime.task
    served = item.interaction
    asked = [message for message in served.messages if message.role != "system"]
    title = words.conversation if len(asked) > 1 else words.question
    parts = [
        f'<header><span class="badge {item.reason}">{html.escape(words.reasons[item.reason])}</span>'
        f'<span class="note" dir="auto">{html.escape(said(site.words, item.detail))}</span></header>',
        f"<h3>{html.escape(title)}</h3>{conversation_html(words.roles, asked)}",
        f"<h3>{html.escape(words.answer.format(version=served.model_version))}</h3>"
        f'<div class="answer">{answer_html(task, site.words, served.answer)}</div>',
    ]
    if item.said:
        events = "".join(event_html(site, event) for event in item.said)
        parts.append(f"<h3>{html.escape(words.said)}</h3><ul>{events}</ul>")
    if item.proposal is not None:
        by = words.proposal.format(name=item.proposed_by or "")
        table = answer_html(task, site.words, item.proposal)
        parts.append(f'<div class="proposal"><p class="note">{html.escape(by)}</p>{table}</div>')
    return f'<article class="turn">{"".join(parts)}</article>'


def marks_of(site: Site) -> tuple[Any, Any]:
    """The critical cases as values for their row and its choices; no row where there are none."""
    cases = site.runtime.store.critical(site.runtime.task.name)
    choices = [(" ".join(case.question.split())[:SHOWN], case.interaction_id) for case in cases]
    most = site.runtime.settings.curate.critical_most
    label = site.words.review.critical_now.format(count=len(cases), most=most)
    return gr.update(visible=bool(cases)), gr.update(choices=choices, value=None, label=label)


def conversation_html(roles: Any, messages: list[Message]) -> str:
    """What was said before the answer; a single question stands alone."""
    if len(messages) == 1:
        return f'<blockquote dir="auto">{cell(messages[0].content)}</blockquote>'
    turns = [(html.escape(roles[message.role]), cell(message.content)) for message in messages]
    return "".join(
        f'<blockquote dir="auto"><span class="note">{by}</span><br>{what}</blockquote>' for by, what in turns
    )


def event_html(site: Site, event: Feedback) -> str:
    """One thing that somebody said."""
    kind = site.words.review.kinds[event.kind]
    comment = f": <q dir='auto'>{cell(event.comment)}</q>" if event.comment else ""
    return f"<li><b dir='auto'>{cell(event.rater)}</b> {html.escape(kind)}{comment}</li>"


def counts_html(reasons: Any, waiting: Any) -> str:
    """How many wait, by reason."""
    return "".join(
        f'<span class="badge">{html.escape(reasons[reason])} <b>{count}</b></span> '
        for reason, count in waiting.items()
        if count
    )


# What was done -----------------------------------------------------------------------------


def standing(site: Site, queue: ReviewQueue, reviewer: str) -> str:
    """What the reviewer's work did, everybody's progress, agreement, and the estimate from the sample."""
    words = site.words.review
    everybody = progress(site.runtime.store, site.runtime.task.name, queue.canonical)
    parts = [f"<h2>{html.escape(words.progress)}</h2>", yours(site.words, everybody, reviewer)]
    if not everybody:
        return f'{parts[0]}<p class="empty">{html.escape(words.no_progress)}</p>'
    heads = (words.reviewer, words.looks, words.corrections, words.in_versions, words.now_right, words.known)
    escaped = [html.escape(head) for head in heads]
    escaped[1] += f'<span class="wide"> ({html.escape(words.kinds_of_looks)})</span>'
    parts.append('<div class="scroll"><table class="figures"><thead><tr>')
    parts.append("".join(f'<th class="{kind}">{head}</th>' for kind, head in zip(COLUMNS, escaped, strict=True)))
    parts.append(f"</tr></thead><tbody>{''.join(map(row, everybody))}</tbody></table></div>")
    return "".join(parts) + agreement_html(site.words, queue)


def yours(words: Words, everybody: list[Progress], reviewer: str) -> str:
    """A sentence about the reviewer's own corrections."""
    own = next((one for one in everybody if one.reviewer == reviewer), None)
    if own is None or not own.in_version:
        return ""
    lines = [
        words.review.yours.format(count=count, version=words.frame.version.format(version=version))
        for version, count in own.in_version.items()
    ]
    if own.asked_again:
        lines.append(words.review.yours_right.format(right=own.now_right, again=own.asked_again))
    return good(words.frame.list_comma.join(lines) + ".")


def row(one: Progress) -> str:
    """One reviewer."""
    taught = ", ".join(f"{version}: {count}" for version, count in one.in_version.items()) or "–"
    kinds = f" ({one.accepted} · {one.fixed} · {one.rejected} · {one.skipped})"
    cells = (
        f'{one.looks + one.skipped}<span class="wide">{kinds}</span>',
        str(one.corrections),
        html.escape(taught),
        f"{one.now_right}/{one.asked_again}" if one.asked_again else "–",
        f"{one.gold_right}/{one.gold_seen}" if one.gold_seen else "–",
    )
    figures = "".join(
        f'<td class="{kind}"><bdi dir="ltr">{text}</bdi></td>' for kind, text in zip(COLUMNS[1:], cells, strict=True)
    )
    return f"<tr><th><bdi>{cell(one.reviewer)}</bdi></th>{figures}</tr>"


def agreement_html(words: Words, queue: ReviewQueue) -> str:
    """How far two reviewers agree, and how often answers are wrong."""
    say = words.review
    agreement, estimate = queue.agreement(), queue.estimate()
    agreed = say.no_agreement
    if agreement.pairs:
        kappa = "–" if agreement.kappa is None else apart(f"{agreement.kappa:.2f}")
        both = round(agreement.observed * agreement.pairs)
        agreed = say.agreement.format(observed=both, pairs=agreement.pairs, kappa=kappa)
    wrong = say.no_estimate
    if estimate.rate is not None:
        wrong = say.estimate.format(
            rate=f"{estimate.rate:.0%}",
            count=estimate.looked_at,
            lower=f"{estimate.lower:.0%}",
            upper=f"{estimate.upper:.0%}",
        )
    return f'<p class="note">{html.escape(agreed)}</p><p class="note">{html.escape(wrong)}</p>'
