"""What the report shows of stage `select`: target against old rows by strength, and which point was taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

WHY = {
    "no_champion": "there is no champion to keep anything of",
    "no_strengths": "select.strengths names no other point",
    "no_rows": "there are no tuning rows to choose by (curate.tuning_share, curate.tuning_rows)",
    "no_time": "select.minutes left no time to look at a point",
    "other_base": "the champion stands on another base",
    "other_template": "the champion has another chat template",
    "other_labels": "the champion has another label head, or none",
    "other_shape": "the champion's weights are of another kind or shape",
    "other_start": "the adapter was not trained from the champion's",
    "same_weights": "the trained version has the champion's weights",
    "not_floating": "weights that are no floating-point numbers have nothing between them",
    "no_gain": "no point gains on the target: the verdict is about what was trained",
    "within": "the strongest that loses at most {most_loss:.3g} on old rows, of those that keep {keep:.0%} of the gain",
    "least_loss": "none of those that keep {keep:.0%} of the gain loses at most {most_loss:.3g} on old rows: "
    "of them the one that loses least",
}
"""A selection's reason in words; until `no_time` nothing was compared."""


def frontier(selection: Mapping[str, Any] | None, seconds: Mapping[str, float] | None) -> dict[str, Any] | None:
    """What the template fills in; None where there was no selection, or no champion to select against."""
    if selection is None or selection["reason"] == "no_champion":
        return None
    taken = selection["taken"]
    points = [
        {**point, "taken": point["strength"] == taken, "seconds": (seconds or {}).get(point["name"])}
        for point in selection["points"]
    ]
    return {
        "taken": "the trained version" if taken == 1 else f"strength {taken:g}",
        "why": WHY[selection["reason"]].format(**selection),
        "points": points,
        "chart": chart(points) if len(points) > 1 else None,
        "target_rows": selection["target_rows"],
        "guard_rows": selection["guard_rows"],
        "left_out": [f"{strength:g}" for strength in selection["left_out"]],
    }


def chart(points: Sequence[Mapping[str, Any]]) -> Markup:
    """Old rows upwards against the target to the right, a line through all points by strength; both axes cut."""
    across, up = [point["target"] for point in points], [point["guard"] for point in points]

    def share(value: float, values: Sequence[float]) -> float:
        low, high = min(values), max(values)
        return (value - low) / (high - low) if high > low else 0.5

    places = [(4 + 92 * share(x, across), 4 + 92 * share(y, up)) for x, y in zip(across, up, strict=True)]
    line = " ".join(f"{x:.2f},{100 - y:.2f}" for x, y in places)
    dots = "".join(
        f'<i class="{"taken" if point["taken"] else ""}" style="left:{x:.2f}%;bottom:{y:.2f}%" '
        f'title="strength {point["strength"]:g}: target {point["target"]:.3f}, old rows {point["guard"]:.3f}"></i>'
        for point, (x, y) in zip(points, places, strict=True)
    )
    return Markup(
        '<div class="plot frontier"><svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">'
        f'<polyline class="raw" points="{line}"/></svg>{dots}'
        f'<span class="top">old rows {max(up):.3f}</span><span class="bottom">{min(up):.3f}</span></div>'
        f'<div class="axis"><span>target {min(across):.3f}</span><span>{max(across):.3f}</span></div>'
    )
