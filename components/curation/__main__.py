"""Stage `curate`: normalise, scrub, deduplicate, decontaminate, split; every dropped row keeps its reason.

python -m components.curation
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from components import config, files, layout, stage
from components import task as tasks
from components.curation.clean import Cleaner
from components.curation.curate import FILES, Curated, curate
from components.curation.evaluation_sets import evaluation_files
from components.curation.scrub import scrubber
from components.examples.lengths import Context
from components.examples.preferences import ImportedPairs
from components.examples.preferences import read as read_pairs
from components.feedback.judges import judges_of
from components.feedback.votes import Voted, as_fought, pair_id, preferences
from components.schema import Dropped, Example, FeedbackRow, Preference

log = logging.getLogger("curate")


def check_ids(rows: Iterable[Example], path: Path) -> None:
    """Refuse rows that cannot be told apart.

    Raises:
        files.DataError: two lines have the same id.
    """
    first: dict[str, int] = {}
    for number, row in enumerate(rows, 1):
        if row.id in first:
            raise files.DataError(
                f"{path}, row {number}: id {row.id!r} is that of row {first[row.id]} too; ids must differ"
            )
        first[row.id] = number


def main(settings: config.Settings) -> None:
    task = tasks.load(settings.task)
    folder = layout.examples(settings.task)
    own = files.read_rows(folder / "train.jsonl", Example)
    check_ids(own, folder / "train.jsonl")
    evaluation = {path.stem: files.read_rows(path, Example) for path in evaluation_files(folder)}
    snapshots = [
        files.read_rows(path, FeedbackRow) for path in sorted(layout.snapshots(settings.task).glob("[0-9]*.jsonl"))
    ]
    log.info(
        "curate: %d own rows, %d evaluation rows in %d sets, %d feedback events in %d snapshots",
        len(own), sum(map(len, evaluation.values())), len(evaluation), sum(map(len, snapshots)), len(snapshots),
    )  # fmt: skip
    cleaner = Cleaner(task, scrubber(settings.curate.scrub, settings.curate.phone_regions))
    context = Context(settings.model.context)
    brought = _brought(settings.task)
    voted, voted_in, told = _voted(settings)
    curated = curate(
        task,
        own,
        evaluation,
        snapshots,
        cleaner,
        settings.curate,
        settings.train.replay,
        settings.seed,
        context.excess,
        brought.pairs,
        voted,
        brought.judged,
        voted_in,
        settings.turn.unserved,
    )
    curated.report["pairs"]["not understood"] = [str(row) for row in brought.skipped]
    curated.report["pairs"]["arena"] = told
    curated.report["skipped"] = _skipped(folder / "skipped.jsonl")
    write(settings.task, curated)
    log.info("curate: %s", ", ".join(f"{name} {count}" for name, count in curated.report["files"].items()))
    for row in curated.report["critical"]["without_answer"]:
        log.warning(
            "curate: %s is marked critical by %s but cannot be tested: %s",
            row["interaction_id"], row["marked_by"], row["reason"],
        )  # fmt: skip
    kept = sum(1 for row in curated.dropped if row.action == "quarantined")
    if kept:
        log.warning(
            "curate: %d quarantined: they teach nothing until a person has looked (/ui/review; why: dropped.jsonl)",
            kept,
        )


def _brought(name: str) -> ImportedPairs:
    """The pairs and judged answers of the task's own file, and the rows of it that are neither."""
    path = layout.preferences(name)
    return read_pairs(path) if path.exists() else ImportedPairs(())


def _voted(settings: config.Settings) -> tuple[list[Preference], dict[str, int], dict[str, Any]]:
    """The votes of every turn as pairs, each pair's turn by its id, and an account; a judge's votes count while by
    these votes it may be trusted."""
    paths = sorted(layout.snapshots(settings.task).glob("votes-*.jsonl"))
    by_turn = {int(path.stem.removeprefix("votes-")): files.read_rows(path, Voted) for path in paths}
    fought = as_fought(row for rows in by_turn.values() for row in rows)
    turns: dict[str, int] = {}
    for turn, rows in by_turn.items():
        for row in rows:
            turns.setdefault(pair_id(row.battle, row.vote), turn)
    judges = judges_of(fought, settings.arena)
    pairs = preferences(fought, [judge.judge for judge in judges if judge.trusted])
    told = {
        "votes": sum(len(one.votes) for one in fought),
        "pairs": len(pairs),
        "judges": {judge.judge: judge.why for judge in judges},
    }
    return pairs, turns, told


def _skipped(path: Path) -> dict[str, int]:
    """How many rows of the task `examples` left out, by the step that did."""
    return dict(sorted(Counter(row.step for row in files.read_rows(path, Dropped)).items())) if path.exists() else {}


def write(name: str, curated: Curated) -> None:
    """Write the folder and the report, whole or not at all."""
    with files.replacing_folder(layout.curated(name)) as folder:
        for file in FILES:
            files.write_rows(folder / f"{file}.jsonl", getattr(curated, file))
    files.write_json(Path("reports") / name / "curation.json", curated.report)


if __name__ == "__main__":
    stage.run(main)
