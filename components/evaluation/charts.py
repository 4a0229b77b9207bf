"""Small pictures for the report: SVG without text (it would shrink on a phone), labelled in HTML."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from markupsafe import Markup, escape

Point = tuple[float, float]


def curve(points: Sequence[Point], heldout: Sequence[Point] = ()) -> Markup:
    """A loss curve: the raw values faint, their running mean bold, held-out losses as dots; log scale."""
    smooth = _running_mean(points)
    values = [y for _, y in [*points, *heldout]]
    low, high = min(values), max(values)
    scale = math.log if low > 0 else float
    bottom, top = scale(low), scale(high)
    last = points[-1][0]

    def at(point: Point) -> str:
        x, y = point
        height = (scale(y) - bottom) / (top - bottom) if top > bottom else 0.5
        return f"{100 * x / last:.2f},{96 - 92 * height:.2f}"

    step = max(1, len(points) // 400)
    raw = " ".join(at(p) for p in points[::step])
    mean = " ".join(at(p) for p in smooth[::step])
    dots = "".join(f'<path d="M{at(p)} l0.001,0" class="dot"/>' for p in heldout)
    return Markup(
        '<div class="plot"><svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">'
        f'<polyline class="raw" points="{raw}"/><polyline class="mean" points="{mean}"/>{dots}</svg>'
        f'<span class="top">{high:.2f}</span><span class="bottom">{low:.2f}</span></div>'
        f'<div class="axis"><span>step 0</span><span>{last:.0f}</span></div>'
    )


def _running_mean(points: Sequence[Point], share: float = 0.04) -> list[Point]:
    width = max(1, int(len(points) * share))
    total, window, found = 0.0, list[float](), list[Point]()
    for x, y in points:
        window.append(y)
        total += y
        if len(window) > width:
            total -= window.pop(0)
        found.append((x, total / len(window)))
    return found


def forest(gain: float, lower: float, upper: float, delta: float | None) -> Markup:
    """A gain and its interval on a line from −1 to +1 (square-root scale, so that small ones show)."""

    def x(value: float) -> float:
        return 50 + 48 * math.copysign(math.sqrt(min(1.0, abs(value))), value)

    kind = "up" if lower > 0 else "down" if upper < 0 else "even"
    limit = f'<i class="limit" style="left:{x(-delta):.2f}%"></i>' if delta is not None else ""
    return Markup(
        f'<div class="forest {kind}"><i class="zero"></i>{limit}'
        f'<i class="span" style="left:{x(lower):.2f}%;width:{max(0.6, x(upper) - x(lower)):.2f}%"></i>'
        f'<i class="point" style="left:{x(gain):.2f}%"></i></div>'
    )


def reliability(bins: Sequence[tuple[float, float, int]]) -> Markup:
    """How often a label was right against how probable it was said to be: on the diagonal both are the same.

    Args:
        bins: (mean confidence, accuracy, rows), each from 0 to 1; a dot's area is its share of the rows.
    """
    every = sum(rows for _, _, rows in bins)
    dots = "".join(
        f'<i style="left:{100 * confidence:.2f}%;bottom:{100 * accuracy:.2f}%;'
        f'width:{4 + 22 * math.sqrt(rows / every):.1f}px;height:{4 + 22 * math.sqrt(rows / every):.1f}px"'
        f' title="{rows} rows: said {confidence:.2f}, right {accuracy:.2f}"></i>'
        for confidence, accuracy, rows in bins
    )
    return Markup(
        '<div class="reliability"><svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">'
        f'<polyline points="0,100 100,0"/></svg>{dots}</div>'
        '<div class="axis"><span>said 0</span><span>1</span></div>'
    )


def answer(text: str, truth: str | None) -> Markup:
    """An answer; the fields of a structured one that differ from the truth are marked."""
    given, right = _object(text), _object(truth) if truth is not None else None
    if given is None:
        wrong = truth is not None and " ".join(text.split()) != " ".join(truth.split())
        shown = escape(text) if text.strip() else Markup("<em>no answer</em>")
        note = Markup(' <em class="note">not valid JSON</em>') if right is not None else ""
        return Markup('<span class="{}">{}</span>{}').format("wrong" if wrong else "", shown, note)
    parts = []
    for key, value in given.items():
        wrong = truth is not None and (right is None or key not in right or right[key] != value)
        parts.append(
            Markup('<span class="field{}"><b>{}</b> {}</span>').format(
                " wrong" if wrong else "",
                key,
                "–" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False),
            )
        )
    return Markup(" ").join(parts)


def _object(text: str) -> dict[str, object] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
