"""Stage `champion`: the versions that params.yaml names to compare with, fetched from the registry."""

from __future__ import annotations

import logging
from pathlib import Path

from components import layout, stage
from components.config import ChampionReference, Settings
from components.files import replacing_folder, write_json
from components.registry.catalog import get
from components.registry.local import fetch, local_base
from components.registry.store import RegistryError

log = logging.getLogger(__name__)


def main(settings: Settings) -> None:
    """Write models/champion and models/best: each a version's folder, or `none.json` where params.yaml names none."""
    _bring(settings.task, "champion", settings.turn.champion, layout.CHAMPION, "this is version 1")
    _bring(settings.task, "best", settings.turn.best, layout.BEST, "no version before the champion was better")


def _bring(task: str, role: str, reference: ChampionReference | None, path: Path, why: str) -> None:
    """Fetch a version and its base, or say in none.json that there is none.

    Raises:
        RegistryError: the registry's version has another hash.
    """
    if reference is None:
        with replacing_folder(path) as folder:
            write_json(folder / "none.json", {role: None, "why": f"turn.{role} names none: {why}"})
        return
    version = get(task, reference.version)
    if version.sha256 != reference.sha256:
        raise RegistryError(
            f"turn.{role} names version {reference.version} with hash {reference.sha256[:12]}, but the registry's "
            f"version {reference.version} of {task} is {version.sha256[:12]}: params.yaml is of another registry"
        )
    fetch(version, path)
    local_base(version)  # evaluate finds it by its hash where the base was rebuilt since
    log.info("%s: version %s of %s, %s", role, version.version, version.task, version.sha256[:12])


if __name__ == "__main__":
    stage.run(main)
