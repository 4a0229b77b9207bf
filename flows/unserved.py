"""Feedback of ended turns that no served version has learned, by what the registry says is served now."""

from __future__ import annotations

from pathlib import Path

from components.feedback import unserved
from components.feedback.refusals import own_rows
from components.feedback.store import Store, Turn
from components.feedback.unserved import Unserved
from components.schema import Need


def waiting(store: Store, task: str) -> list[Unserved]:
    """The turns whose feedback waits; none before there is a champion.

    Raises:
        RegistryError: the registry cannot be read.
    """
    from components import registry

    versions = [version for version in (registry.champion(task), registry.canary(task)) if version is not None]
    return unserved.unserved(store, task, *(v.lineage.snapshots for v in versions)) if versions else []


def fulfilled(
    store: Store, task: str, root: Path, corrections: int, limit: int
) -> tuple[Turn | None, tuple[Need, ...]]:
    """The turn that was refused last, and what of its needs has come; whether it is served by now is not asked.

    Args:
        corrections: so many were written since.
        limit: `improve.corrections`.
    """
    turn = unserved.refused(store, task)
    if turn is None:
        return None, ()
    return turn, unserved.fulfilled(store, turn, lambda: own_rows(root, task), corrections, limit)
