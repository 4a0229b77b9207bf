"""Stage `select`: the trained version, the champion and the tuning rows → models/<task>/adapter, the candidate."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from components import config, layout, stage
from components.evaluation.metrics import metric_of
from components.files import copy_folder, read_rows, replacing_folder, write_json
from components.models import load_tokenizer
from components.noninferiority import LEAST_LOSS
from components.schema import Example
from components.selection.choice import KEEP, LOSS, choose
from components.selection.mixing import unlike, write_between
from components.selection.record import Point, Reason, Selection
from components.selection.tuning import Rows
from components.task import load

log = logging.getLogger(__name__)


@dataclass
class Looked:
    """What was measured, and where each version lies."""

    points: list[Point] = field(default_factory=list)
    """The champion first, then the strongest."""
    folders: dict[float, Path] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    left_out: list[float] = field(default_factory=list)


def main(settings: config.Settings) -> None:
    """Read versions and rows from the working directory; write the candidate and reports/<task>/selection/."""
    curated, trained = layout.curated(settings.task), layout.trained(settings.task)
    target, guard = (read_rows(curated / f"tuning_{name}.jsonl", Example) for name in ("target", "guard"))
    for left in trained.parent.glob(".selection.*"):  # of a stage that was killed
        shutil.rmtree(left, ignore_errors=True)
    looked, taken = Looked(folders={1.0: trained}), 1.0
    reason = _nothing_to_choose(settings, target, guard)
    with tempfile.TemporaryDirectory(dir=trained.parent, prefix=".selection.") as folder:
        if reason is None:
            _look(settings, target, guard, Path(folder), looked)
            taken, reason = _chosen(settings, looked.points)
        with replacing_folder(layout.adapter(settings.task)) as candidate:
            copy_folder(looked.folders[taken], candidate)
    selection = Selection(
        taken=taken,
        reason=reason,
        metric=metric_of(load(settings.task)),
        target_rows=len(target),
        guard_rows=len(guard),
        most_loss=_most_loss(settings),
        keep=KEEP,
        points=tuple(sorted(looked.points, key=lambda point: point.strength)),
        left_out=tuple(looked.left_out),
    )
    with replacing_folder(layout.selection(settings.task)) as report:
        write_json(report / "selection.json", selection)
        write_json(report / "seconds.json", {name: round(value, 2) for name, value in looked.seconds.items()})
    log.info("candidate: strength %g of %d points (%s)", taken, len(looked.points), reason)


def _nothing_to_choose(settings: config.Settings, target: Sequence[Example], guard: Sequence[Example]) -> Reason | None:
    """Why the trained version is the candidate as it is."""
    if not (layout.CHAMPION / "manifest.json").exists():
        return "no_champion"
    if not set(settings.select.strengths) - {1.0}:
        return "no_strengths"
    if not target or not guard:
        return "no_rows"
    return unlike(layout.CHAMPION, layout.trained(settings.task))


def _look(
    settings: config.Settings, target: Sequence[Example], guard: Sequence[Example], folder: Path, looked: Looked
) -> None:
    """Measure the champion and, strongest first, every point that the time allows; write the points into `folder`."""
    import torch

    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    trained = layout.trained(settings.task)
    tokenizer = load_tokenizer(layout.BASE)
    tokenizer.chat_template = (trained / "chat_template.jinja").read_text(encoding="utf-8")
    rows = Rows(load(settings.task), target, guard, layout.BASE, tokenizer, settings.evaluate, settings.threads)
    context = settings.model.context
    began = monotonic()
    for strength in (0.0, *sorted({*settings.select.strengths, 1.0}, reverse=True)):
        started = monotonic()
        # Another point takes as long as the slowest so far.
        if looked.seconds and started - began + max(looked.seconds.values()) > 60 * settings.select.minutes:
            looked.left_out.append(strength)
            continue
        name = {0.0: "champion", 1.0: "trained"}.get(strength, f"strength {strength:g}")
        version = {0.0: layout.CHAMPION, 1.0: trained}.get(strength, folder / f"{strength:g}")
        if 0 < strength < 1:
            version.mkdir()
            write_between(version, layout.CHAMPION, trained, strength, layout.BASE, tokenizer, context)
        of_target, of_guard = rows.means(version, remember=strength == 0)
        looked.points.append(Point(name=name, strength=strength, target=round(of_target, 6), guard=round(of_guard, 6)))
        looked.folders[strength] = version
        looked.seconds[name] = monotonic() - started
        log.info("%s: target %.3f, old rows %.3f", name, of_target, of_guard)


def _most_loss(settings: config.Settings) -> float:
    """What a point may lose on tuning rows. Where the gate's bound is sized to the rows, its smallest counts here."""
    return LOSS * (settings.promotion.delta or LEAST_LOSS)


def _chosen(settings: config.Settings, points: Sequence[Point]) -> tuple[float, Reason]:
    """The strength that is taken, and why."""
    champion, *others = points
    if not others:
        return 1.0, "no_time"
    taken, reason = choose(champion, others, _most_loss(settings))
    return taken.strength, reason


if __name__ == "__main__":
    stage.run(main)
