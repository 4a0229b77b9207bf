"""Stage `collect`: the feedback of every turn as an immutable snapshot, proved to be what the turn saw.

python -m components.feedback
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from components import config, files, layout, stage, task
from components.feedback.store import Store, canonical_line

log = logging.getLogger("collect")


def collect(name: str, turn: config.TurnSettings, store: Store | None, folder: Path) -> list[int]:
    """Write `0001.jsonl`, … (FeedbackRow a line) and index.json; return the rows per snapshot.

    Raises:
        stage.StageError: the store no longer holds what a turn saw, or cut-offs do not rise.
    """
    counts: list[int] = []
    after = 0
    for number, snapshot in enumerate(turn.snapshots, 1):
        key = f"turn.snapshots[{number - 1}]"
        if snapshot.through <= after:
            raise stage.StageError(
                f"params.yaml: {key}.through = {snapshot.through} must be above {after}, the one before"
            )
        assert store is not None
        lines = [canonical_line(row) for row in store.rows(name, after, snapshot.through)]
        found = hashlib.sha256(b"".join(lines)).hexdigest()
        if found != snapshot.sha256:
            raise stage.StageError(
                f"params.yaml: {key}: the feedback store holds {len(lines)} events of task {name!r} after {after} "
                f"through {snapshot.through} with digest {found[:12]}, but that turn saw {snapshot.sha256[:12]}; "
                "this is another store or its content was changed: restore it, or take the snapshot from DVC (dvc pull)"
            )
        with files.replacing(folder / f"{number:04}.jsonl") as temporary:
            temporary.write_bytes(b"".join(lines))
        counts.append(len(lines))
        after = snapshot.through
    files.write_json(
        folder / "index.json",
        [
            {"file": f"{number:04}.jsonl", "rows": rows, "through": snapshot.through, "sha256": snapshot.sha256}
            for number, (rows, snapshot) in enumerate(zip(counts, turn.snapshots, strict=True), 1)
        ],
    )
    return counts


def main(settings: config.Settings) -> None:
    task.load(settings.task)
    store = Store() if settings.turn.snapshots else None
    try:
        with files.replacing_folder(layout.snapshots(settings.task)) as folder:
            counts = collect(settings.task, settings.turn, store, folder)
    finally:
        if store is not None:
            store.close()
    log.info("collect: %d events in %d snapshots", sum(counts), len(counts))


if __name__ == "__main__":
    stage.run(main)
