"""Which base adapters stand on, written down with the proof: models/base/base.json."""

from __future__ import annotations

from pathlib import Path

from components.files import replacing_folder, write_json
from components.models import BaseReference, fetch_hub_model, model_folder, tensor_hash


def reference(base: str, revision: str | None) -> BaseReference:
    """Resolve `model.base` (a folder or a hub id) to weights that exist here, and hash them.

    A name that is a folder on this machine is a folder; anything path-like is never
    looked up on the hub.

    Raises:
        ModelError: the folder is missing or incomplete, or the hub model can be had neither
            from the cache nor from the hub.
    """
    if Path(base).expanduser().is_dir() or base.startswith((".", "/", "~")) or base.count("/") != 1:
        folder = model_folder(base)
        return BaseReference(kind="folder", location=str(folder), sha256=tensor_hash(folder))
    folder = fetch_hub_model(base, revision)
    # The cache names a snapshot's folder after its commit: a branch moves, a commit does not.
    return BaseReference(kind="hub", location=base, revision=folder.name, sha256=tensor_hash(folder))


def write_reference(folder: Path, base: BaseReference) -> None:
    """A base folder that only refers to weights elsewhere."""
    with replacing_folder(folder) as temporary:
        write_json(temporary / "base.json", base)
