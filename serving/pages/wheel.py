"""The wheel's page: what serves, what waits, what the last turns changed; and a button that starts one.

It reads the registry, the store and this installation's home; the service itself knows no Prefect, so the
button writes a request that the worker picks up (components/asking.py).
"""

from __future__ import annotations

import asyncio
import html
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import gradio as gr

from components import asking, config
from components.asking import Asked
from components.feedback import unserved
from components.feedback.refusals import own_rows
from components.feedback.store import StoreError, Turn
from components.feedback.unserved import Unserved
from components.registry import Version
from components.schema import Comparison
from components.sentences import say
from components.stage import EXPECTED
from serving.access.binding import is_loopback
from serving.pages import evidence, reports
from serving.pages.person import allowed, person
from serving.pages.said import said
from serving.pages.shown import problem
from serving.pages.site import Site, page
from serving.pages.words.shape import Wheel, Words

TURNS = 8
"""So many of the last turns are shown."""
REFRESH_SECONDS = 5
NO_WORKER = timedelta(seconds=15)
"""The worker looks every two seconds; a request that waits for longer waits for a worker to be started."""
RECENT = timedelta(minutes=30)
"""For so long a request that the worker took is told of, where no turn came of it."""


def build(site: Site) -> None:
    """The page's components and what connects them, inside the current route."""
    words = site.words.wheel
    site.header("wheel")
    gr.HTML(f"<h1>{html.escape(words.title)}</h1><p>{html.escape(words.about)}</p>", elem_classes="page-head")
    state = gr.HTML("", elem_id="wheel-state")
    with gr.Row(elem_id="start-row", elem_classes="choices-row"):
        rater, _ = site.name_box()
        start = gr.Button(words.start, variant="primary", elem_id="start", interactive=False)
    refused = gr.HTML("", elem_id="start-refused")
    story = gr.HTML("", elem_id="start-told")
    turns = gr.HTML("", elem_id="turns")

    async def look(request: gr.Request) -> tuple[Any, ...]:
        return await asyncio.to_thread(shown, site, request)

    async def pressed(who: str, request: gr.Request) -> tuple[Any, ...]:
        asker = allowed(request, "admin", site.words, who)
        nothing = (gr.skip(),) * len(outputs)
        if not asker.name:
            return problem(words.ask_name), *nothing
        try:
            if why := await asyncio.to_thread(not_now, site):
                return problem(why), *nothing
            await asyncio.to_thread(asking.ask, config.places().home, site.runtime.task.name, asker.name)
        except EXPECTED as error:
            return problem(str(error)), *nothing
        return "", *await look(request)

    outputs = [state, start, story, turns]
    start.click(pressed, rater, [refused, *outputs], show_progress="hidden", api_name="wheel_start")
    for event in (page().load, gr.Timer(REFRESH_SECONDS).tick):
        event(look, None, outputs, show_progress="hidden")


def shown(site: Site, request: gr.Request) -> tuple[Any, ...]:
    """The whole state as it is now."""
    words, runtime = site.words.wheel, site.runtime
    task = runtime.task.name
    try:
        waiting, turns = runtime.store.waiting(task), runtime.store.turns(task)
        versions = {version.version: version for version in runtime.catalog.versions()}
        behind = unserved_turns(site, versions)
    except StoreError as error:
        return problem(str(error)), gr.update(interactive=False), "", ""
    links = Links(site, request)
    asked = asking.latest(config.places().home, task)
    now = datetime.now(UTC)
    return (
        f'<div class="cards">{champion_card(site, versions, links)}{next_card(site, versions, links)}'
        f"{waiting_card(site, waiting, behind)}</div>"
        f'<div class="cards below">{evidence.cards(site, champion_of(versions), behind)}</div>',
        gr.update(interactive=may_start(asked, turns) and person(request).may("admin")),
        told(words, asked, turns, now),
        turns_html(site, turns, versions, links),
    )


# What serves and what waits ----------------------------------------------------------------


class Links:
    """Addresses of other programs' pages, as far as whoever looks can reach them."""

    def __init__(self, site: Site, request: gr.Request) -> None:
        self._words = site.words.wheel
        places = config.places()
        address = request.request.url.hostname if request.request is not None else None
        here = is_loopback(address)
        tracking = str(places.tracking_uri)
        self._mlflow = tracking if tracking.startswith("http") else f"http://127.0.0.1:{places.mlflow_port}"
        self._mlflow_reachable = here or not is_loopback(urlsplit(self._mlflow).hostname)
        api = os.environ.get("PREFECT_API_URL", f"http://127.0.0.1:{places.prefect_port}/api")
        self._prefect = os.environ.get("PREFECT_UI_URL") or api.removesuffix("/api")
        self._prefect_reachable = here or not is_loopback(urlsplit(self._prefect).hostname)

    def of(self, version: Version) -> str:
        """Everything there is to see of a version."""
        words, task = self._words, version.task
        found: list[tuple[str, str | None]] = [(words.report, reports.report(task, version.version))]
        found.append((words.data_docs, reports.data_docs(task, version.version)))
        if self._mlflow_reachable:
            page = f"{self._mlflow}/#/models/{quote(task)}/versions/{quote(version.version)}"
            found.append((words.mlflow, page))
        run = version.lineage.runs.get("prefect")
        if run and self._prefect_reachable:
            found.append((words.prefect, f"{self._prefect}/runs/flow-run/{quote(run)}"))
        links = " ".join(
            f'<a href="{html.escape(address)}" target="_blank" rel="noopener">{html.escape(name)}</a>'
            for name, address in found
            if address
        )
        return f'<p class="links">{links}</p>' if links else ""


def champion_card(site: Site, versions: dict[str, Version], links: Links) -> str:
    """The version that serves."""
    words = site.words.wheel
    serving = site.runtime.versions.champion
    registered = next((v for v in versions.values() if "champion" in v.aliases), None)
    if serving is None:
        reason = site.runtime.catalog.problem
        body = f'<p class="note">{html.escape(words.no_champion)}</p>'
        if reason:
            body += problem(words.unreadable.format(reason=reason))
        return card(words.champion, body)
    number = site.words.frame.version.format(version=serving.version)
    body = f'<p class="big">{html.escape(number)}</p>'
    if registered is not None and registered.version == serving.version:
        body += f'<p class="note">{moment(words.made, registered.created_at)}</p>{links.of(registered)}'
    if refused := site.runtime.rollout.refusal:
        body += problem(site.words.chat.refused.format(version=refused.version, reason=refused.reason))
    return card(words.champion, body, "on")


def next_card(site: Site, versions: dict[str, Version], links: Links) -> str:
    """The canary with its evidence, else the candidate; nothing where there is neither."""
    words, runtime = site.words.wheel, site.runtime
    trial = runtime.versions.trial
    if trial is not None:
        judge = runtime.rollout.judge
        decision = judge.decision if judge is not None else None
        evidence = decision.why if decision is not None else words.nobody_judges
        number = site.words.frame.version.format(version=trial.version)
        share = words.canary_share.format(share=f"{trial.share:.0%}")
        body = f'<p class="big">{html.escape(number)}</p><p>{html.escape(share)}</p>'
        body += f'<p class="note" dir="auto">{html.escape(said(site.words, evidence))}</p>'
        return card(words.canary, body + (links.of(versions[trial.version]) if trial.version in versions else ""))
    candidate = next((v for v in versions.values() if "candidate" in v.aliases and "champion" not in v.aliases), None)
    if candidate is None:
        return ""
    number = site.words.frame.version.format(version=candidate.version)
    body = f'<p class="big">{html.escape(number)}</p><p class="note">{moment(words.made, candidate.created_at)}</p>'
    return card(words.candidate, body + links.of(candidate))


def champion_of(versions: dict[str, Version]) -> str | None:
    """The champion's number, by the registry."""
    return next((number for number, version in versions.items() if "champion" in version.aliases), None)


def unserved_turns(site: Site, versions: dict[str, Version]) -> list[Unserved]:
    """The turns of which nothing serves."""
    serving = [v.lineage.snapshots for v in versions.values() if {"champion", "canary"} & set(v.aliases)]
    return unserved.unserved(site.runtime.store, site.runtime.task.name, *serving) if serving else []


def unserved_html(site: Site, waiting: list[Unserved]) -> str:
    """What earlier turns had and no served version has learned, and what would change that."""
    if not waiting:
        return ""
    words, refusal = site.words.wheel, waiting[-1].turn.refusal
    total = words.unserved.format(count=sum(item.corrections for item in waiting))
    turns = [
        words.unserved_turn.format(
            count=item.corrections, turn=item.turn.number, outcome=words.decisions.get(item.outcome, item.outcome)
        )
        for item in waiting
    ]
    needs = said(site.words, unserved.would_change(refusal.needs if refusal is not None else ()))
    note = "" if waiting[-1].turn.again else f'<p class="note" dir="auto">{html.escape(needs)}</p>'
    lines = "".join(f"<li>{html.escape(line)}</li>" for line in turns)
    return f'<p class="warn">{html.escape(total)}</p><ul>{lines}</ul>{note}'


def waiting_card(site: Site, waiting: dict[str, int], behind: list[Unserved]) -> str:
    """Feedback since the last turn, how much of it starts one, and what of earlier turns still waits."""
    words = site.words.wheel
    limit, count = unserved.starts_at(behind, site.runtime.settings.improve.corrections), waiting["correction"]
    line = words.corrections.format(count=count, limit=limit)
    others = words.others.format(up=waiting["thumb_up"], down=waiting["thumb_down"], comments=waiting["comment"])
    return card(
        words.waiting,
        f'<p class="big">{html.escape(line)}</p>'
        f'<progress max="{limit}" value="{min(count, limit)}" aria-label="{html.escape(line)}"></progress>'
        f'<p>{html.escape(others)}</p><p class="note">{html.escape(words.starts_at.format(limit=limit))}</p>'
        f"{unserved_html(site, behind)}",
    )


def card(title: str, body: str, dot: str = "") -> str:
    lamp = f'<span class="dot {dot}"></span>' if dot else ""
    return f'<section class="card"><h2>{lamp}{html.escape(title)}</h2>{body}</section>'


# The button --------------------------------------------------------------------------------


def may_start(asked: Asked | None, turns: list[Turn]) -> bool:
    """Asking again would change nothing while a request waits or a turn runs."""
    return (asked is None or asked.state == "taken") and not any(turn.state == "open" for turn in turns)


def not_now(site: Site) -> str | None:
    """Why a turn would do nothing."""
    task, store, limit = site.runtime.task.name, site.runtime.store, site.runtime.settings.improve.corrections
    corrections = store.waiting(task)["correction"]
    if corrections or any(turn.state == "open" for turn in store.turns(task)):
        return None
    behind = unserved_turns(site, {version.version: version for version in site.runtime.catalog.versions()})
    refused = unserved.refused(store, task)
    if refused is None or all(item.turn.id != refused.id for item in behind):
        return site.words.wheel.nothing_to_learn
    if unserved.fulfilled(store, refused, lambda: own_rows(Path(), task), corrections, limit):
        return None
    needs = unserved.would_change(refused.refusal.needs if refused.refusal is not None else ())
    return f"{site.words.wheel.nothing_to_learn} {said(site.words, needs)}"


def told(words: Wheel, asked: Asked | None, turns: list[Turn], now: datetime) -> str:
    """What became of the last request, or which turn runs."""
    running = next((turn for turn in turns if turn.state == "open"), None)
    if running is not None:
        started = moment(words.turn_runs, running.opened_at, number=running.number)
        return f'<p class="good" role="status">{started}</p>'
    if asked is None:
        return ""
    if asked.state == "waiting":
        line = f'<p class="warn" role="status">{moment(words.asked, asked.at, name=asked.by)}</p>'
        if now - asked.at > NO_WORKER:
            command = "<code dir='ltr'>saqia up</code>"
            line += f'<p class="bad">{html.escape(words.no_worker).format(command=command)}</p>'
        return line
    taken = asked.taken_at or asked.at
    answered = any(turn.opened_at >= asked.at for turn in turns)
    if answered or now - taken > RECENT:
        return ""
    return f'<p class="good" role="status">{moment(words.taken, taken, name=asked.by)}</p>'


# What the turns changed --------------------------------------------------------------------


def turns_html(site: Site, turns: list[Turn], versions: dict[str, Version], links: Links) -> str:
    """The last turns, the newest first."""
    words = site.words.wheel
    head = f"<h2>{html.escape(words.turns)}</h2>"
    if not turns:
        return f'{head}<p class="empty">{html.escape(words.no_turns)}</p>'
    return head + "".join(turn_html(site, turn, versions, links) for turn in reversed(turns[-TURNS:]))


def turn_html(site: Site, turn: Turn, versions: dict[str, Version], links: Links) -> str:
    """One turn: how it ended, with which version, what that changed and why."""
    words = site.words.wheel
    what = turn.outcome
    made = turn.version if turn.state == "closed" else None
    version = versions.get(made or "")
    number = site.words.frame.version.format(version=made) if made else ""
    parts = [
        f'<header><h3>{html.escape(words.turn.format(number=turn.number))}</h3><span class="badge {html.escape(what)}">'
        f"{html.escape(words.decisions.get(what, what))}</span><span>{html.escape(number)}</span>"
        f'<span class="note">{moment("{time}", turn.closed_at or turn.opened_at)} · '
        f"{html.escape(words.events.format(count=turn.through - turn.after))}</span></header>"
    ]
    if version is not None:
        parts.append(changes(site, version))
        parts.append(links.of(version))
    return f'<article class="turn">{"".join(parts)}</article>'


def changes(site: Site, version: Version) -> str:
    """The verdict: every set before and after, the reasons, and what happened to the version since."""
    words, verdict = site.words.wheel, version.verdict
    titles = {
        own: say(f"set_{own}")
        for own in ("target", "regression", "critical", "replay", "preferences", "together", "best")
    }
    titles |= {one.name: one.title for one in site.runtime.task.sets}
    rows = "".join(
        change(comparison, said(site.words, titles.get(comparison.set, comparison.set))) for comparison in verdict.table
    )
    found = ""
    if rows:
        heads = (words.sets, words.examples, words.before, words.after, words.gain)
        found += '<div class="scroll"><table class="figures"><thead><tr>'
        kinds = ("", "wide", "", "", "")
        found += "".join(f'<th class="{k}">{html.escape(head)}</th>' for k, head in zip(kinds, heads, strict=True))
        found += f"</tr></thead><tbody>{rows}</tbody></table></div>"
    reasons = [html.escape(said(site.words, line)) for line in verdict.reasons]
    for title, lines in ((words.reasons, reasons), (words.history, [event(site.words, e) for e in version.history])):
        if lines:
            items = "".join(f'<li dir="auto">{line}</li>' for line in lines)
            found += f"<details><summary>{html.escape(title)}</summary><ul>{items}</ul></details>"
    if verdict.simulated_feedback:
        found += f'<p class="note">{html.escape(words.simulated)}</p>'
    return found


def event(words: Words, line: str) -> str:
    """A line of a version's history, `TIME UTC: WHAT`, as HTML."""
    when, between, what = line.partition(" UTC: ")
    if not between:
        return html.escape(line)
    return f'<time dir="ltr">{html.escape(when)} UTC</time>: {html.escape(said(words, what))}'


def change(comparison: Comparison, title: str) -> str:
    """One set's row; its gain is coloured where the interval lies on one side of nothing."""
    sure = "up" if comparison.lower > 0 else "down" if comparison.upper < 0 else ""
    name = html.escape(title)
    gain = f"{comparison.gain:+.3f} ({comparison.lower:+.3f} … {comparison.upper:+.3f})"
    return (
        f'<tr><th><bdi>{name}</bdi></th><td class="wide">{comparison.examples}</td><td>{comparison.champion:.3f}</td>'
        f'<td>{comparison.candidate:.3f}</td><td class="{sure}"><bdi dir="ltr">{gain}</bdi></td></tr>'
    )


def moment(template: str, when: datetime, **others: object) -> str:
    """A sentence with a time in it, as HTML."""
    utc = when.astimezone(UTC)
    time = f'<time datetime="{utc.isoformat()}" dir="ltr">{utc:%Y-%m-%d %H:%M} UTC</time>'
    escaped = {key: html.escape(str(value)) for key, value in others.items()}
    return html.escape(template).format(time=time, **escaped)
