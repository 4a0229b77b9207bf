"""Stage `select`: the trained version, the champion and the tuning rows → models/<task>/adapter, the candidate."""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path
from time import monotonic

from components import config, layout, stage
from components.evaluation.metrics import metric_of
from components.files import copy_folder, read_rows, replacing_folder, write_json
from components.models import load_tokenizer
from components.schema import Example
from components.selection.choice import KEEP, LOSS, choose
from components.selection.mixing import unlike, write_between
from components.selection.record import Point, Reason, Selection
from components.selection.tuning import Rows
from components.task import load

log = logging.getLogger(__name__)


def main(settings: config.Settings) -> None:
    """Read versions and rows from the working directory; write the candidate and reports/<task>/selection/."""
    curated = layout.curated(settings.task)
    target, guard = (read_rows(curated / f"tuning_{name}.jsonl", Example) for name in ("target", "guard"))
    reason = _nothing_to_choose(settings, target, guard)
    beside = layout.trained(settings.task).parent
    for left in beside.glob(".selection.*"):  # of a stage that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=beside, prefix=".selection.") as folder:
        if reason is None:
            selection, seconds, taken = _select(settings, target, guard, Path(folder))
        else:
            selection, seconds, taken = _selection(settings, target, guard, 1.0, reason), {}, None
        with replacing_folder(layout.adapter(settings.task)) as candidate:
            copy_folder(taken or layout.trained(settings.task), candidate)
    with replacing_folder(layout.selection(settings.task)) as report:
        write_json(report / "selection.json", selection)
        write_json(report / "seconds.json", seconds)
    log.info("candidate: strength %g of %d points (%s)", selection.taken, len(selection.points), selection.reason)


def _nothing_to_choose(settings: config.Settings, target: list[Example], guard: list[Example]) -> Reason | None:
    """Why the trained version is the candidate as it is."""
    if not (layout.CHAMPION / "manifest.json").exists():
        return "no_champion"
    if not set(settings.select.strengths) - {1.0}:
        return "no_strengths"
    if not target or not guard:
        return "no_rows"
    return unlike(layout.CHAMPION, layout.trained(settings.task))


def _select(
    settings: config.Settings, target: list[Example], guard: list[Example], folder: Path
) -> tuple[Selection, dict[str, float], Path | None]:
    """Look at every point that the time allows, strongest first; the third value is the taken one's folder."""
    import torch

    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    trained, most_loss = layout.trained(settings.task), LOSS * settings.promotion.delta
    tokenizer = load_tokenizer(layout.BASE)
    tokenizer.chat_template = (trained / "chat_template.jinja").read_text(encoding="utf-8")
    rows = Rows(load(settings.task), target, guard, layout.BASE, tokenizer, settings.evaluate, settings.threads)
    began = monotonic()
    champion = Point.model_validate(
        dict(zip(("target", "guard"), rows.means(layout.CHAMPION, remember=True), strict=True))
        | {"name": "champion", "strength": 0.0}
    )
    seconds = {"champion": monotonic() - began}
    folders: dict[float, Path] = {1.0: trained}
    points: list[Point] = []
    strengths = sorted({*settings.select.strengths, 1.0}, reverse=True)
    for strength in strengths:
        started = monotonic()
        if started - began + max(seconds.values()) > 60 * settings.select.minutes:
            break
        if strength < 1:
            folders[strength] = folder / f"{strength:g}"
            folders[strength].mkdir()
            write_between(
                folders[strength], layout.CHAMPION, trained, strength, layout.BASE, tokenizer, settings.model.context
            )
        of_target, of_guard = rows.means(folders[strength])
        name = "trained" if strength == 1 else f"strength {strength:g}"
        points.append(Point(name=name, strength=strength, target=round(of_target, 6), guard=round(of_guard, 6)))
        seconds[name] = monotonic() - started
        log.info("%s: target %.3f, old rows %.3f", name, of_target, of_guard)
    if not points:
        return _selection(settings, target, guard, 1.0, "no_time", left_out=strengths), seconds, None
    taken, reason = choose(champion, points, most_loss)
    every = [champion, *reversed(points)]
    left_out = [strength for strength in strengths if strength not in {p.strength for p in points}]
    selection = _selection(settings, target, guard, taken.strength, reason, every, left_out)
    return selection, {name: round(value, 2) for name, value in seconds.items()}, folders[taken.strength]


def _selection(
    settings: config.Settings,
    target: list[Example],
    guard: list[Example],
    taken: float,
    reason: Reason,
    points: list[Point] | None = None,
    left_out: list[float] | None = None,
) -> Selection:
    return Selection(
        taken=taken,
        reason=reason,
        metric=metric_of(load(settings.task)),
        target_rows=len(target),
        guard_rows=len(guard),
        most_loss=LOSS * settings.promotion.delta,
        keep=KEEP,
        points=tuple(points or ()),
        left_out=tuple(left_out or ()),
    )


if __name__ == "__main__":
    stage.run(main)
