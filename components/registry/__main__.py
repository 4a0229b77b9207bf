"""Stage `champion`: the version that params.yaml names as champion, fetched to be compared with."""

from __future__ import annotations

import logging

from components import layout, stage
from components.config import Settings
from components.files import replacing_folder, write_json
from components.registry.catalog import get
from components.registry.local import fetch, local_base
from components.registry.store import RegistryError

log = logging.getLogger(__name__)


def main(settings: Settings) -> None:
    """Write models/champion: the version's folder, or `none.json` where there is no champion yet."""
    wanted = settings.turn.champion
    if wanted is None:
        with replacing_folder(layout.CHAMPION) as folder:
            write_json(folder / "none.json", {"champion": None, "why": "turn.champion names none: this is version 1"})
        log.info("no champion yet: the candidate will be introduced, not compared")
        return
    version = get(settings.task, wanted.version)
    if version.sha256 != wanted.sha256:
        raise RegistryError(
            f"turn.champion names version {wanted.version} with hash {wanted.sha256[:12]}, but the registry's version "
            f"{wanted.version} of {settings.task} is {version.sha256[:12]}: params.yaml is of another registry"
        )
    fetch(version, layout.CHAMPION)
    local_base(version)  # evaluate finds it by its hash where the base was rebuilt since
    log.info("champion: version %s of %s, %s", version.version, version.task, version.sha256[:12])


if __name__ == "__main__":
    stage.run(main)
