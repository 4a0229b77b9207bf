"""Register: the folder that `train` wrote becomes a version in MLflow, its base with it.

Safe to repeat: a flow that was killed runs it again, and what the killed call left is completed or used.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components import files
from components.models import BaseReference, check_adapter, read_base, read_manifest, tensor_hash
from components.registry.catalog import (
    ADAPTER,
    BASE_MODEL,
    RECORD,
    aliases_of,
    base_uri,
    by_tag,
    get,
    read_version,
)
from components.registry.record import Lineage, Version
from components.registry.store import RegistryError, client, experiment, locked
from components.schema import Verdict

KEY = "saqia.key"


def register(adapter: Path, base: Path, verdict: Verdict, lineage: Lineage, evaluation: Path | None = None) -> Version:
    """Make the adapter in `adapter` (the folder that `train` writes) a version, and `candidate` unless refused.

    Registering the same weights from the same dvc.lock again returns the version that exists; what a
    killed call left half-way is completed or ignored. A local base is registered once per hash.

    Raises:
        ModelError: the adapter is damaged or made for another base.
        RegistryError: MLflow cannot be reached.
    """
    check_adapter(base, adapter)
    manifest = read_manifest(adapter)
    task = manifest.task
    key = hashlib.sha256(f"{manifest.adapter_sha256} {lineage.dvc_lock_sha256}".encode()).hexdigest()[:32]
    with locked("mlflow-register"):
        version = by_tag(task, KEY, key)
        if version is None:
            reference = read_base(base)
            model_id = _log(task, key, adapter, evaluation, lineage)
            record = Version(
                task=task,
                version="",
                sha256=manifest.adapter_sha256,
                files_sha256=files.sha256_of(adapter),
                base=reference,
                base_uri=_register_base(base, reference),
                verdict=verdict,
                metrics=_metrics(evaluation),
                lineage=lineage,
                created_at=datetime.now(UTC),
                model_id=model_id,
            )
            version = _create(task, model_id, record, key)
    if verdict.decision != "refuse" and not version.aliases and not version.history:
        client().set_registered_model_alias(task, "candidate", version.version)
        version = get(task, version.version)
    return version


def _log(task: str, key: str, adapter: Path, evaluation: Path | None, lineage: Lineage) -> str:
    """Upload the adapter as a logged model and return its id; one that a killed call finished is used again."""
    from mlflow.models import Model

    name = f"{task}-{key[:16]}"
    where = experiment(task)
    for model in client().search_logged_models([where], filter_string=f"name = '{name}'"):
        if str(model.status).endswith("READY"):
            return str(model.model_id)
    with tempfile.TemporaryDirectory(prefix="saqia-version-") as temporary:
        folder = Path(temporary)
        shutil.copytree(adapter, folder / ADAPTER)
        if evaluation is not None and evaluation.exists():
            shutil.copytree(evaluation, folder / "evaluation")
        (folder / "dvc.lock").write_text(lineage.dvc_lock, encoding="utf-8")
        (folder / "params.yaml").write_text(lineage.params, encoding="utf-8")
        logged = client().create_logged_model(
            where, name=name, source_run_id=lineage.runs.get("mlflow"), tags={KEY: key}, model_type="adapter"
        )
        card = Model(model_uuid=logged.model_id)
        import mlflow.pyfunc

        mlflow.pyfunc.add_to_model(card, loader_module="components.registry.pyfunc", data=ADAPTER)
        card.save(str(folder / "MLmodel"))
        client().log_model_artifacts(logged.model_id, str(folder))
        client().finalize_logged_model(logged.model_id, "READY")
    return str(logged.model_id)


def _register_base(base: Path, reference: BaseReference) -> str:
    """Where the base of a version can be had from; a local one is uploaded once per hash."""
    if reference.kind != "local":
        return reference.location
    registered = base_uri(reference)
    if registered is not None:
        return registered
    if tensor_hash(base) != reference.sha256:
        raise RegistryError(
            f"{base}: the weights are not those that base.json names; rebuild it (dvc repro -f instruct)"
        )
    where = experiment(BASE_MODEL)
    logged = client().create_logged_model(where, name=f"base-{reference.sha256[:16]}", model_type="base")
    client().log_model_artifacts(logged.model_id, str(base))
    client().finalize_logged_model(logged.model_id, "READY")
    _ensure(BASE_MODEL)
    made = client().create_model_version(
        BASE_MODEL, f"models:/{logged.model_id}", tags={"sha256": reference.sha256}, model_id=logged.model_id
    )
    return f"models:/{BASE_MODEL}/{made.version}"


def _create(task: str, model_id: str, record: Version, key: str) -> Version:
    """The registry's own entry: it exists with all its tags or not at all."""
    _ensure(task)
    text = record.model_dump_json(exclude={"version", "aliases", "history", "trial"})
    made = client().create_model_version(
        task,
        f"models:/{model_id}",
        tags={
            KEY: key,
            RECORD: _fit(record, text),
            "adapter_sha256": record.sha256,
            "base_sha256": record.base.sha256,
            "decision": record.verdict.decision,
            "git_commit": record.lineage.git_commit or "none",
            "dvc_lock_sha256": record.lineage.dvc_lock_sha256,
        },
        description="\n".join(f"- {reason}" for reason in record.verdict.reasons),
        model_id=model_id,
    )
    return read_version(made, aliases_of(task))


def _fit(record: Version, text: str) -> str:
    """The record as a tag; where MLflow's limit on a tag is too small, dvc.lock stays in the artifacts only."""
    from mlflow.utils.validation import MAX_MODEL_REGISTRY_TAG_VALUE_LENGTH as LIMIT

    if len(text) > LIMIT:
        short = record.model_copy(update={"lineage": record.lineage.model_copy(update={"dvc_lock": ""})})
        text = short.model_dump_json(exclude={"version", "aliases", "history", "trial"})
    if len(text) > LIMIT:
        kept = record.verdict.rebroken[:1000]
        short = short.model_copy(update={"verdict": record.verdict.model_copy(update={"rebroken": kept})})
        text = short.model_dump_json(exclude={"version", "aliases", "history", "trial"})
    return text


def _ensure(name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client().create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _metrics(evaluation: Path | None) -> dict[str, float]:
    """The flat numbers of an evaluation's metrics.json."""
    if evaluation is None or not (evaluation / "metrics.json").exists():
        return {}
    values: dict[str, Any] = json.loads((evaluation / "metrics.json").read_text())
    return {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
