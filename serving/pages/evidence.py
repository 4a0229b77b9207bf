"""What speaks for a turn besides corrections, on the wheel's page: the failure rate, and drift with its plot."""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import UTC

from components import config
from components.config import Settings
from components.feedback import evidence
from components.feedback.evidence import Evidence, Window
from components.feedback.unserved import Unserved
from serving.pages.said import apart
from serving.pages.shown import cell
from serving.pages.site import Site
from serving.pages.words import Words


def cards(site: Site, champion: str | None, waiting: Sequence[Unserved]) -> str:
    """Both cards, of what the worker found last.

    Args:
        champion: the version that serves.
        waiting: the turns of which nothing serves.
    """
    settings, task = site.runtime.settings, site.runtime.task.name
    found = evidence.read(config.places().home, task)
    return failures_card(site.words, found, settings) + drift_card(site.words, found, settings, champion, waiting)


def failures_card(words: Words, found: Evidence, settings: Settings) -> str:
    """How often the champion is wrong, by the random sample of the review queue."""
    own, wanted, failures = words.evidence, settings.improve.failure_rate, found.failures
    if failures is None or failures.estimate.rate is None:
        body = f'<p class="note">{html.escape(own.no_looks)}</p>'
    else:
        of = failures.estimate
        rate = own.wrong.format(rate=f"{of.rate:.0%}", wrong=of.wrong, looked=of.looked_at)
        surely = own.surely.format(surely=f"{failures.surely:.1%}")
        version = words.frame.version.format(version=failures.version)
        body = f'<p class="big">{html.escape(rate)}</p><p>{html.escape(version)} · {html.escape(surely)}</p>'
    if wanted.above is None:
        rule = own.off
    else:
        rule = own.failures_start.format(above=f"{wanted.above:.0%}", looks=wanted.looks, early=settings.improve.early)
    return f'<section class="card"><h2>{html.escape(own.failures)}</h2>{body}{note(rule)}</section>'


def drift_card(
    words: Words,
    found: Evidence,
    settings: Settings,
    champion: str | None = None,
    waiting: Sequence[Unserved] = (),
) -> str:
    """How far messages are from what was taught, window by window."""
    own, wanted = words.evidence, settings.improve.drift
    rule = own.off
    if wanted.messages is not None:
        rule = own.drift_start.format(least=wanted.least, messages=wanted.messages, early=settings.improve.early)
    if not found.windows:
        body = f'<p class="note">{html.escape(own.no_window)}</p>' if wanted.messages is not None else ""
        return f'<section class="card"><h2>{html.escape(own.drift)}</h2>{body}{note(rule)}</section>'
    last = found.windows[-1]
    bits = own.bits.format(bits=apart(f"{last.found.excess:.3f}"))
    verdict = own.drifted if last.drifted else own.known if not last.news else own.alike
    turn = evidence.still_there(found, champion, [item.turn for item in waiting])
    if turn is not None:
        verdict = own.still_there.format(turn=turn.number, version=champion)
    version = words.frame.version.format(version=last.version)
    told = own.held.format(messages=last.found.messages, version=version)
    body = (
        f'<p class="big">{html.escape(bits)}</p>'
        f'<p class="{"warn" if last.drifted or turn else "note"}">{html.escape(verdict)}</p>'
        f"<p>{html.escape(told)}</p>{plot(words, found.windows, wanted.least)}{commoner(words, last)}"
    )
    return f'<section class="card"><h2>{html.escape(own.drift)}</h2>{body}{note(rule)}</section>'


def plot(words: Words, windows: tuple[Window, ...], least: float) -> str:
    """A bar a window, the newest at the end; the line is where a turn starts."""
    top = max([2 * least, 0.001, *(window.found.excess for window in windows)])
    bars = "".join(bar(window, top) for window in windows)
    line = f'<b style="bottom:{100 * least / top:.1f}%"></b>' if least else ""
    label = html.escape(words.evidence.plot.format(windows=len(windows)))
    return f'<div class="windows" dir="ltr" role="img" aria-label="{label}">{bars}{line}</div>'


def bar(window: Window, top: float) -> str:
    """One window; what drifted has another colour."""
    height = 100 * max(0.0, window.found.excess) / top
    told = f"{window.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC: {window.found.excess:+.3f}"
    return f'<i class="{"high" if window.drifted else ""}" style="height:{height:.1f}%" title="{told}"></i>'


def commoner(words: Words, window: Window) -> str:
    """The words that are commoner than in what was taught."""
    if not window.found.words or not window.drifted:
        return ""
    shown = " ".join(
        f'<span class="badge" title="{word.taught:.0%} → {word.now:.0%}"><bdi>{cell(word.word)}</bdi></span>'
        for word in window.found.words
    )
    return f'<p class="note">{html.escape(words.evidence.commoner)}</p><p>{shown}</p>'


def note(text: str) -> str:
    return f'<p class="note">{html.escape(text)}</p>'
