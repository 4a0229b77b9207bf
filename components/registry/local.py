"""Bringing a version and its base onto this machine, proven whole by their hashes.

Fetched folders are kept by hash under `<home>/versions` and `<home>/bases`, so the second
start of a service reads its own disk only.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from components import files
from components.config import places
from components.models import BaseReference, ModelError, read_base, tensor_hash
from components.registry.catalog import ADAPTER, BASE_MODEL, base_uri
from components.registry.record import Version
from components.registry.store import RegistryError, download, locked


def local_version(version: Version) -> Path:
    """The version's folder in this machine's cache (read it, never write it), fetched if need be.

    Raises:
        RegistryError: the registry's artifacts are gone or are not what was registered.
    """
    cached = cache() / "versions" / version.files_sha256
    if cached.exists() and files.sha256_of(cached) == version.files_sha256:
        return cached
    with locked("mlflow-fetch"), files.replacing_folder(cached) as temporary:
        source = download(f"models:/{version.model_id}") / ADAPTER
        if not source.is_dir():
            raise RegistryError(
                f"version {version.version} of {version.task} has no files in the registry ({source} is missing); "
                "restore MLflow's artifacts or use another version"
            )
        shutil.copytree(source, temporary, dirs_exist_ok=True)
        found = files.sha256_of(temporary)
        if found != version.files_sha256:
            raise RegistryError(
                f"version {version.version} of {version.task} is damaged in the registry: its files' hash is "
                f"{found[:12]}, registered was {version.files_sha256[:12]}; restore MLflow's "
                "artifacts or use another version"
            )
    return cached


def local_base(version: Version) -> Path:
    """A folder with base.json that `models.load_model` takes, for the base that the version stands on.

    Raises:
        RegistryError: a local base is gone from the registry or is not what was registered.
    """
    return base_by_reference(version.base)


def base_by_reference(reference: BaseReference) -> Path:
    """As `local_base`, from the reference in a manifest; a base is known by its hash alone."""
    cached = cache() / "bases" / reference.sha256
    if (cached / "base.json").exists():
        return cached
    with locked("mlflow-fetch"), files.replacing_folder(cached) as temporary:
        if reference.kind != "local":
            files.write_json(temporary / "base.json", reference)
        else:
            _copy_base(reference, temporary)
    return cached


def cache() -> Path:
    """Where fetched folders are kept: this installation's home, or the user's cache where there is none.

    `mlflow.pyfunc.load_model` may run anywhere, and must not leave a `.saqia` in a stranger's folder.
    """
    home = places().home
    if os.environ.get("SAQIA_HOME") or home.exists():
        return home
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "saqia"


def fetch(version: Version, into: Path) -> Path:
    """Put the version's folder at `into`, whole or not at all.

    Raises:
        RegistryError: as `local_version`.
    """
    return _put(local_version(version), into)


def fetch_base(version: Version, into: Path) -> Path:
    """Put the version's base (or the reference to a hub model or folder) at `into`, whole or not at all.

    Raises:
        RegistryError: as `local_base`.
    """
    return _put(local_base(version), into)


def _put(folder: Path, into: Path) -> Path:
    with files.replacing_folder(into) as temporary:
        shutil.copytree(folder, temporary, dirs_exist_ok=True)
    return into


def _copy_base(reference: BaseReference, into: Path) -> None:
    uri = base_uri(reference)
    if uri is None:
        raise RegistryError(f"no base with hash {reference.sha256[:12]} is registered as {BASE_MODEL}; rebuild it")
    shutil.copytree(download(uri), into, dirs_exist_ok=True)
    try:
        intact = tensor_hash(into) == reference.sha256 == read_base(into).sha256
    except ModelError:
        intact = False
    if not intact:
        raise RegistryError(
            f"the base {uri} is damaged in the registry (its hash is not {reference.sha256[:12]}); "
            "restore MLflow's artifacts or rebuild the base"
        )
