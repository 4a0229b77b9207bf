"""Stage `collect`: the feedback of every turn as an immutable snapshot, proved to be what the turn saw.

python -m components.feedback
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

from components import config, files, layout, stage, task
from components.feedback.store import Store, canonical_line
from components.feedback.votes import Voted
from components.schema import FeedbackRow

log = logging.getLogger("collect")


def collect(name: str, turn: config.TurnSettings, store: Store | None, folder: Path) -> list[int]:
    """Write `0001.jsonl`, … (FeedbackRow a line), `votes-0001.jsonl`, … of turns with votes (Voted a line) and
    index.json; return the events per snapshot.

    Raises:
        stage.StageError: the store no longer holds what a turn saw, or cut-offs do not rise.
    """
    counts: list[int] = []
    after = votes_after = 0
    for number, snapshot in enumerate(turn.snapshots, 1):
        key = f"turn.snapshots[{number - 1}]"
        if snapshot.through <= after:
            raise stage.StageError(
                f"params.yaml: {key}.through = {snapshot.through} must be above {after}, the one before"
            )
        assert store is not None
        events = store.rows(name, after, snapshot.through)
        said = f"{len(events)} events of task {name!r} after {after} through {snapshot.through}"
        _write(folder / f"{number:04}.jsonl", events, snapshot.sha256, f"{key}: the feedback store holds {said}")
        counts.append(len(events))
        after = snapshot.through
        if snapshot.votes is not None:
            votes = store.votes(name, votes_after, snapshot.votes.through)
            said = f"{len(votes)} votes on task {name!r} after {votes_after} through {snapshot.votes.through}"
            where = f"{key}.votes: the feedback store holds {said}"
            _write(folder / f"votes-{number:04}.jsonl", votes, snapshot.votes.sha256, where)
            votes_after = snapshot.votes.through
    files.write_json(
        folder / "index.json",
        [
            {"file": f"{number:04}.jsonl", "rows": rows, "through": snapshot.through, "sha256": snapshot.sha256}
            for number, (rows, snapshot) in enumerate(zip(counts, turn.snapshots, strict=True), 1)
        ],
    )
    return counts


def _write(path: Path, rows: Sequence[FeedbackRow | Voted], sha256: str, what: str) -> None:
    """Write a turn's rows, if they are still what it saw."""
    content = b"".join(canonical_line(row) for row in rows)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise stage.StageError(
            f"params.yaml: {what} with digest {found[:12]}, but that turn saw {sha256[:12]}; "
            "this is another store or its content was changed: restore it, or take the snapshot from DVC (dvc pull)"
        )
    with files.replacing(path) as temporary:
        temporary.write_bytes(content)


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
