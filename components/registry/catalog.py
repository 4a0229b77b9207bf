"""Versions of a task's model: register, find, move the aliases.

A version is a logged model with the adapter's folder as artifacts, nothing else: MLflow's
transformers flavour would save the base with every adapter and lose tensors on reload.
`intake@champion` serves, `@previous` served before it, `@candidate` waits for a decision,
`@canary` gets a share of the traffic.
Each call is safe to repeat: a flow that was killed runs it again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from components import files
from components.models import BaseReference, check_adapter, read_base, read_manifest, tensor_hash
from components.registry.record import Lineage, Trial, Version
from components.registry.store import RegistryError, client, experiment, locked
from components.schema import Verdict

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

Alias = Literal["champion", "previous", "candidate", "canary"]
ALIASES: tuple[Alias, ...] = ("champion", "previous", "candidate", "canary")
BASE_MODEL = "saqia-base"
ADAPTER = "adapter"
"""Folder of the version's files inside the logged model."""
RECORD = "saqia.record"
HISTORY = "saqia.history"
KEY = "saqia.key"
MOVING = "saqia.moving"
TRIAL = "saqia.trial"


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
        version = _by_tag(task, KEY, key)
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


def get(task: str, version: str) -> Version:
    """The version with this number or alias.

    Raises:
        RegistryError: there is none; the versions that exist are named.
    """
    from mlflow.exceptions import MlflowException

    by_alias = version in ALIASES
    if not by_alias and not version.isdigit():
        raise RegistryError(f"{version!r} is no version number and none of the aliases {', '.join(ALIASES)}")
    try:
        found = (
            client().get_model_version_by_alias(task, version)
            if by_alias
            else client().get_model_version(task, version)
        )
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise RegistryError(f"the registry cannot be read: {str(error).splitlines()[0]}") from None
        there = ", ".join(v.version for v in versions(task)) or "none"
        raise RegistryError(f"{task} has no version {version}; versions: {there}") from None
    return _version(found, _aliases(task))


def champion(task: str) -> Version | None:
    """The version that serves, or None before the first one."""
    return _aliased(task, "champion")


def candidate(task: str) -> Version | None:
    """The version that waits for a decision, or None."""
    return _aliased(task, "candidate")


def previous(task: str) -> Version | None:
    """The version that `rollback` would bring back, or None."""
    return _aliased(task, "previous")


def canary(task: str) -> Version | None:
    """The version that gets a share of the traffic (see its `trial`), or None."""
    return _aliased(task, "canary")


def versions(task: str) -> list[Version]:
    """Every version of the task, oldest first."""
    aliases = _aliases(task)
    found = [_version(v, aliases) for v in _search(f"name = '{task}'") if RECORD in v.tags]
    return sorted(found, key=lambda v: int(v.version))


def tasks() -> list[str]:
    """Tasks that have a registered model."""
    return sorted(m.name for m in client().search_registered_models(max_results=1000) if m.name != BASE_MODEL)


def promote(task: str, version: str, by: str = "the verdict") -> Version:
    """Make a version the champion; the champion until now becomes `previous`.

    A refused version can be promoted by a person; its history then says so.

    Raises:
        RegistryError: there is no such version.
    """
    with locked("mlflow-alias"):
        _finish_moving(task)
        chosen = get(task, version)
        now = champion(task)
        if now is not None and now.version == chosen.version:
            return chosen
        against = " against the verdict" if chosen.verdict.decision == "refuse" else ""
        waiting, trying = candidate(task), canary(task)
        _move(
            task,
            {
                "champion": chosen.version,
                "previous": now.version if now else None,
                "candidate": None if waiting is None or waiting.version == chosen.version else waiting.version,
                "canary": None,
            },
        )
        _note(chosen, f"promoted by {by}{against}")
        if trying is not None and trying.version != chosen.version:
            _note(trying, f"no longer canary: version {chosen.version} was promoted")
    return get(task, chosen.version)


def rollback(task: str, by: str = "a person") -> Version:
    """Bring the previous champion back, one step; a second rollback undoes the first.

    Raises:
        RegistryError: there is no previous champion.
    """
    with locked("mlflow-alias"):
        _finish_moving(task)
        now, before = champion(task), previous(task)
        if now is None or before is None:
            raise RegistryError(
                f"{task} has no previous champion to go back to; `saqia promote VERSION` picks any version"
            )
        waiting = candidate(task)
        _move(
            task,
            {
                "champion": before.version,
                "previous": now.version,
                "candidate": waiting.version if waiting else None,
                "canary": None,
            },
        )
        _note(now, f"rolled back by {by} to version {before.version}")
        _note(before, f"brought back by {by} in place of version {now.version}")
    return get(task, before.version)


def try_out(task: str, version: str, share: float, by: str = "the verdict") -> Version:
    """Make a version the canary: a running service gives it a share of the task's traffic, and decides.

    Trying the version that is the canary already goes on with its trial, unless the share is another.

    Raises:
        RegistryError: there is no such version, no champion to compare it with, or it is the champion.
    """
    with locked("mlflow-alias"):
        _finish_moving(task)
        chosen, now, trying = get(task, version), champion(task), canary(task)
        if now is None:
            raise RegistryError(f"{task} has no champion that a canary could be compared with: saqia promote {version}")
        if now.version == chosen.version:
            raise RegistryError(f"version {chosen.version} of {task} is the champion: it has all the traffic")
        if trying is not None and trying.version == chosen.version and trying.trial and trying.trial.share == share:
            return chosen
        since = datetime.now(UTC)
        trial = Trial(id=f"{chosen.version}-{since:%Y%m%d%H%M%S%f}", share=share, since=since, by=by)
        client().set_model_version_tag(task, chosen.version, TRIAL, trial.model_dump_json())
        client().set_registered_model_alias(task, "canary", chosen.version)
        if trying is not None and trying.version != chosen.version:
            _note(trying, f"no longer canary: version {chosen.version} is tried")
        _note(chosen, f"canary with {share:.0%} of the traffic, by {by}")
    return get(task, chosen.version)


def refuse(task: str, version: str, reason: str) -> Version:
    """Take a version out of the running (a person said no, a canary failed); it stays registered, with the reason.

    Raises:
        RegistryError: there is no such version, or it is the champion.
    """
    with locked("mlflow-alias"):
        refused = get(task, version)
        if "champion" in refused.aliases:
            raise RegistryError(f"version {refused.version} of {task} serves now: `saqia rollback` takes it back")
        for alias in {"candidate", "canary"} & set(refused.aliases):
            client().delete_registered_model_alias(task, alias)
        _note(refused, f"refused: {reason}")
    return get(task, refused.version)


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


def base_uri(reference: BaseReference) -> str | None:
    """Where in the registry a local base lies, or None where it was never registered."""
    found = _search(f"name = '{BASE_MODEL}' AND tags.`sha256` = '{reference.sha256}'")
    return f"models:/{BASE_MODEL}/{found[0].version}" if found else None


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
    return _version(made, _aliases(task))


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


def _version(entry: ModelVersion, aliases: Mapping[str, str]) -> Version:
    stored: dict[str, Any] = json.loads(entry.tags[RECORD])
    stored["version"] = str(entry.version)
    stored["aliases"] = [alias for alias in ALIASES if aliases.get(alias) == str(entry.version)]
    stored["history"] = json.loads(entry.tags.get(HISTORY, "[]"))
    if "canary" in stored["aliases"] and TRIAL in entry.tags:
        stored["trial"] = json.loads(entry.tags[TRIAL])
    return Version.model_validate_json(json.dumps(stored))


def _ensure(name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client().create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _search(filter_string: str) -> list[ModelVersion]:
    found: list[ModelVersion] = []
    token: str | None = None
    while True:
        page = client().search_model_versions(filter_string, max_results=200, page_token=token)
        found.extend(page)
        token = page.token
        if not token:
            return found


def _by_tag(task: str, tag: str, value: str) -> Version | None:
    found = _search(f"name = '{task}' AND tags.`{tag}` = '{value}'")
    return _version(found[0], _aliases(task)) if found else None


def _aliases(task: str) -> dict[str, str]:
    from mlflow.exceptions import MlflowException

    try:
        return {k: str(v) for k, v in client().get_registered_model(task).aliases.items()}
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise RegistryError(f"the registry cannot be read: {str(error).splitlines()[0]}") from None
        return {}


def _aliased(task: str, alias: Alias) -> Version | None:
    return get(task, alias) if alias in _aliases(task) else None


def _move(task: str, aliases: dict[str, str | None]) -> None:
    """Set aliases together: the intention is written first, so that a killed move is finished by the next one."""
    client().set_registered_model_tag(task, MOVING, json.dumps(aliases))
    _finish_moving(task)


def _finish_moving(task: str) -> None:
    intention = _tags(task).get(MOVING)
    if not intention:
        return
    now = _aliases(task)
    for alias, version in json.loads(intention).items():
        if version is None and alias in now:
            client().delete_registered_model_alias(task, alias)
        elif version is not None and now.get(alias) != version:
            client().set_registered_model_alias(task, alias, version)
    client().delete_registered_model_tag(task, MOVING)


def _tags(task: str) -> dict[str, str]:
    from mlflow.exceptions import MlflowException

    try:
        return dict(client().get_registered_model(task).tags)
    except MlflowException:
        return {}


def _note(version: Version, what: str) -> None:
    line = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC: {what}"
    client().set_model_version_tag(version.task, version.version, HISTORY, json.dumps([*version.history, line]))


def _metrics(evaluation: Path | None) -> dict[str, float]:
    """The flat numbers of an evaluation's metrics.json."""
    if evaluation is None or not (evaluation / "metrics.json").exists():
        return {}
    values: dict[str, Any] = json.loads((evaluation / "metrics.json").read_text())
    return {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
