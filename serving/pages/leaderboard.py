"""The leaderboard: ratings with intervals and who beat whom, computed anew from the stored battles."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Sequence
from typing import Any

import gradio as gr

from components.evaluation.arena import Leaderboard, Rating, leaderboard
from components.feedback import battles
from components.feedback.judges import Judge, judges_of
from components.feedback.store import StoreError
from components.feedback.votes import Fought
from serving.pages.said import apart, said
from serving.pages.shown import cell, problem
from serving.pages.site import Site, page
from serving.pages.words import Words
from serving.pages.words.shape import Board

BLUE, ORANGE = (44, 123, 182), (217, 119, 6)
"""More and less than half: told apart whichever way one sees colours, and beside the number itself."""


def build(site: Site) -> None:
    """The page's components and what connects them, inside the current route."""
    words = site.words.board
    site.header("leaderboard")
    gr.HTML(f"<h1>{html.escape(words.title)}</h1><p>{html.escape(words.about)}</p>", elem_classes="page-head")
    with gr.Row(elem_id="board-choices"):
        chosen = gr.Dropdown(
            [], multiselect=True, label=words.versions, info=words.versions_hint, elem_id="board-versions"
        )
        length = gr.Checkbox(label=words.length, info=words.length_hint, elem_id="board-length")
    board = gr.HTML("", elem_id="board")

    async def look(versions: list[str] | None, control: bool) -> tuple[Any, str]:
        return await asyncio.to_thread(shown, site, versions or [], control)

    for event in (page().load, chosen.input, length.input):
        event(look, [chosen, length], [chosen, board], show_progress="hidden")


def shown(site: Site, versions: Sequence[str], control: bool) -> tuple[Any, str]:
    """The versions to choose from, and the board."""
    runtime, words = site.runtime, site.words
    try:
        fought = battles.battles(runtime.store, runtime.task.name)
    except StoreError as error:
        return gr.skip(), problem(str(error))
    judges = judges_of(fought, runtime.settings.arena)
    trusted = [judge.judge for judge in judges if judge.trusted]
    found = leaderboard(fought, trusted, versions or None, control)
    choices = gr.update(choices=names_of(fought))
    if not found.ratings:
        link = f'<a href="{site.root}/arena">{html.escape(words.board.to_arena)}</a>'
        return choices, f'<p class="empty">{html.escape(words.board.no_battles)} {link}</p>{judges_html(words, judges)}'
    return choices, board_html(words, found) + matrix_html(words.board, found) + judges_html(words, judges)


def names_of(fought: Sequence[Fought]) -> list[str]:
    """Every version that fought; numbers by number, then names."""
    names = {name for one in fought for name in (one.battle.version_a, one.battle.version_b)}
    return sorted(names, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))


def board_html(language: Words, found: Leaderboard) -> str:
    """The ranking, each rating with its interval as a bar on one scale."""
    words = language.board
    low = min(one.lower for one in found.ratings)
    high = max(one.upper for one in found.ratings)
    heads = (words.place, words.version, words.rating, words.elo, words.wins, words.votes)
    rows = "".join(rating_html(number, one, low, high) for number, one in enumerate(found.ratings, 1))
    counted = html.escape(words.counted.format(votes=found.votes, battles=found.battles))
    told = "".join(f'<p class="warn" dir="auto">{html.escape(said(language, note))}</p>' for note in found.notes)
    if found.length_effect is not None and found.length_lower is not None and found.length_upper is not None:
        effect = words.length_effect.format(
            effect=apart(f"{found.length_effect:+.2f}"),
            lower=apart(f"{found.length_lower:+.2f}"),
            upper=apart(f"{found.length_upper:+.2f}"),
        )
        told += f'<p class="note">{html.escape(effect)}</p>'
    return (
        f'<div class="scroll"><table class="figures board"><thead><tr>{heads_html(heads[:-1])}'
        f'<th class="wide">{html.escape(heads[-1])}</th></tr></thead>'
        f'<tbody>{rows}</tbody></table></div><p class="note">{counted}</p>{told}'
    )


def rating_html(place: int, one: Rating, low: float, high: float) -> str:
    """One version's row."""
    span = max(high - low, 1e-9)
    left, width, dot = ((one.lower - low) / span, (one.upper - one.lower) / span, (one.rating - low) / span)
    bar = (
        f'<span class="interval" dir="ltr"><i style="left:{left:.1%};width:{max(width, 0.01):.1%}"></i>'
        f'<b style="left:{dot:.1%}"></b></span>'
    )
    elo = f'<span class="wide"> ({one.elo_lower:.0f} … {one.elo_upper:.0f})</span>'
    return (
        f"<tr><td>{place}</td><th><bdi>{cell(one.version)}</bdi></th>"
        f'<td><bdi dir="ltr">{one.rating:.0f} ({one.lower:.0f} … {one.upper:.0f})</bdi>{bar}</td>'
        f'<td><bdi dir="ltr">{one.elo:.0f}{elo}</bdi></td>'
        f'<td>{one.win_share:.0%}</td><td class="wide">{one.games}</td></tr>'
    )


def matrix_html(words: Board, found: Leaderboard) -> str:
    """The heat map; every cell says its number, and how many votes it rests on."""
    heads = "".join(f'<th scope="col"><bdi>{cell(name)}</bdi></th>' for name in found.versions)
    rows = ""
    for name, wins, met in zip(found.versions, found.wins, found.met, strict=True):
        cells = "".join(heat_html(words, share, count) for share, count in zip(wins, met, strict=True))
        rows += f'<tr><th scope="row"><bdi>{cell(name)}</bdi></th>{cells}</tr>'
    return (
        f'<h2>{html.escape(words.matrix)}</h2><p class="note">{html.escape(words.matrix_hint)}</p>'
        f'<div class="scroll"><table class="heat"><thead><tr><td></td>{heads}</tr></thead><tbody>{rows}</tbody></table>'
        "</div>"
    )


def heat_html(words: Board, share: float | None, count: int) -> str:
    """One cell: the further from half, the stronger its colour."""
    if share is None:
        return "<td>–</td>"
    red, green, blue = BLUE if share >= 0.5 else ORANGE
    strength = 0.75 * abs(share - 0.5) * 2
    met = html.escape(words.met.format(count=count))
    colour = f"rgba({red}, {green}, {blue}, {strength:.2f})"
    return f'<td style="background: {colour}"><b>{share:.0%}</b><small>{met}</small></td>'


def judges_html(language: Words, judges: Sequence[Judge]) -> str:
    """Which judges' votes count, and why the others' do not."""
    words = language.board
    if not judges:
        return ""
    rows = ""
    for judge in judges:
        badge = words.counts if judge.trusted else words.does_not_count
        kind = "promoted" if judge.trusted else "refused"
        rows += (
            f"<tr><th><bdi>{cell(judge.judge)}</bdi></th>"
            f'<td><span class="badge {kind}">{html.escape(badge)}</span></td>'
            f'<td class="words" dir="auto">{html.escape(said(language, judge.why))}</td></tr>'
        )
    heads = heads_html((words.judge, "", words.why))
    table = f'<table class="figures"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'
    return f'<h2>{html.escape(words.judges)}</h2><div class="scroll">{table}</div>'


def heads_html(heads: Sequence[str]) -> str:
    return "".join(f"<th>{html.escape(head)}</th>" for head in heads)
