"""What the registry knows about a version: the record, and where it came from."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from components import layout
from components.config import SnapshotReference
from components.models import BaseReference
from components.registry.store import RegistryError
from components.schema import Record, Verdict


class Lineage(Record):
    """Enough to rebuild a version: check `git_commit` out, write `dvc_lock` and `params`, run `dvc repro`."""

    git_commit: str | None = None
    """None outside git."""
    dvc_lock: str = ""
    """The text of dvc.lock."""
    dvc_lock_sha256: str = ""
    params: str = ""
    """The text of params.yaml."""
    datasets: dict[str, str] = Field(default_factory=dict)
    """Path of every data folder that a stage wrote → its digest in dvc.lock."""
    snapshots: tuple[SnapshotReference, ...] = ()
    runs: dict[str, str] = Field(default_factory=dict)
    """Who ran it, e.g. {"prefect": flow run id, "mlflow": training run id}."""


class Trial(Record):
    """A version that gets a share of the traffic before all of it."""

    id: str
    """Stands with every answer that was given in this trial."""
    share: float
    since: datetime
    by: str


class Version(Record):
    """One version of a task's model as it stands in the registry."""

    task: str
    version: str
    sha256: str
    """`models.tensor_hash` of the adapter."""
    files_sha256: str
    """Hash of the whole version folder: chat template, tokenizer and golden prompts too."""
    base: BaseReference
    base_uri: str
    """Where the base is to be had: `models:/saqia-base/1`, a folder, or a hub id."""
    verdict: Verdict
    metrics: dict[str, float] = Field(default_factory=dict)
    lineage: Lineage
    created_at: datetime
    model_id: str
    aliases: tuple[str, ...] = ()
    """Of champion, previous, candidate, canary: those that point here now."""
    trial: Trial | None = None
    """Where it is the canary: how."""
    history: tuple[str, ...] = ()
    """What happened to it since: promoted, by whose decision, rolled back, refused."""


def lineage_of(root: Path = Path("."), git_commit: str | None = None, runs: dict[str, str] | None = None) -> Lineage:
    """The lineage of what the graph under `root` last made, read from its dvc.lock and params.yaml.

    Raises:
        RegistryError: dvc.lock is missing or unreadable: nothing was made here.
    """
    try:
        lock = (root / "dvc.lock").read_text(encoding="utf-8")
        params = (root / layout.PARAMS).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RegistryError(f"{error.filename} is missing: run the pipeline first (dvc repro)") from None
    try:
        values: dict[str, Any] = yaml.safe_load(params) or {}
        stages: dict[str, Any] = (yaml.safe_load(lock) or {}).get("stages", {})
    except yaml.YAMLError as error:
        raise RegistryError(f"{root / 'dvc.lock'} or params.yaml is no YAML: {' '.join(str(error).split())}") from None
    outs = {out["path"]: out.get("md5", "") for stage in stages.values() for out in stage.get("outs", [])}
    turn = values.get("turn") or {}
    return Lineage(
        git_commit=git_commit,
        dvc_lock=lock,
        dvc_lock_sha256=hashlib.sha256(lock.encode()).hexdigest(),
        params=params,
        datasets={path: digest for path, digest in sorted(outs.items()) if path.startswith("data/")},
        snapshots=tuple(SnapshotReference.model_validate(s) for s in turn.get("snapshots") or ()),
        runs=runs or {},
    )
