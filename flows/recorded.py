"""Data that a version was made from, brought back from DVC by the digests that its lineage names."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from components.config import Places
from components.stage import StageError
from flows.workspace import share_dvc

if TYPE_CHECKING:
    from components.registry import Version


@contextlib.contextmanager
def brought_back(
    project: Path, places: Places, version: Version, folders: Sequence[Path]
) -> Iterator[dict[Path, Path]]:
    """Each of the folders (as dvc.yaml calls it) and where its content of then lies, until the block ends.

    From DVC's cache, else from the project's default remote; neither commit nor working tree is touched.

    Raises:
        StageError: the version's lineage names no such folder, or its content is nowhere any more.
    """
    home = places.absolute(project).home / "work"
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="recorded-", dir=home) as temporary:
        root = Path(temporary)
        share_dvc(project, root, places, git=False)
        for number, folder in enumerate(folders):
            digest = version.lineage.datasets.get(folder.as_posix())
            if not digest:
                raise StageError(f"version {version.version} of {version.task} names no {folder}: it is not to be had")
            out = {"md5": digest, "path": str(number), "hash": "md5"}
            (root / f"{number}.dvc").write_text(yaml.safe_dump({"outs": [out]}), encoding="utf-8")
        _check_out(root, version, folders)
        yield {folder: root / str(number) for number, folder in enumerate(folders)}


def _check_out(root: Path, version: Version, folders: Sequence[Path]) -> None:
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    repo = Repo(str(root))
    try:
        with contextlib.suppress(DvcException):
            repo.checkout(force=True)
            return
        try:
            repo.pull(force=True)
        except DvcException as error:
            what = f"{' and '.join(map(str, folders))} of version {version.version} of {version.task}"
            why = " ".join(str(error).split())[:200]
            raise StageError(f"{what}: not all is in DVC's cache or a remote any more ({why})") from None
    finally:
        repo.close()
