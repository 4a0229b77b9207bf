"""`saqia export`: a registered version for use elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import typer

from components import config
from components.config import Places
from components.stage import StageError


def write(root: Path, places: Places, task: str | None, version: str, how: str, into: Path) -> None:
    """Fetch a version and its base, write them in a format, and say what was written and checked.

    Raises:
        StageError: there is no such format, the folder is taken, or what was written does not answer as it should.
        RegistryError: there is no such version, or it or its base is gone or damaged.
    """
    import yaml

    from components import export, layout, registry
    from flows.overview import task_name

    if how not in get_args(export.Format):
        raise StageError(f"--format {how}: there are {', '.join(get_args(export.Format))}")
    name = task_name(root, task)
    export.check_free(into)
    found = registry.get(name, version)
    typer.echo(f"{name} version {found.version}, weights {found.sha256[:12]}, as {how}")
    folder, base = registry.local_version(found), registry.local_base(found)
    if how != "llamafactory":
        lines = export.write(how, folder, base, into)  # type: ignore[arg-type]
    else:
        from components.export import llamafactory
        from flows.recorded import brought_back

        settings = config.parse(yaml.safe_load(found.lineage.params), f"params.yaml of version {found.version}")
        data = (layout.curated(name), layout.examples(name))
        with brought_back(root, places, found, data) as there:
            lines = llamafactory.write(folder, base, settings, there[data[0]], there[data[1]], into)
    for line in lines:
        typer.echo(f"  {line}")
    typer.echo(f"written: {into}")
