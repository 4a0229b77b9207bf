"""Find a task's versions: by number, by alias, all of them.

A version is a logged model with the adapter's folder as artifacts, nothing else: MLflow's
transformers flavour would save the base with every adapter and lose tensors on reload.
Its record is a tag of MLflow's own entry, so that MLflow's pages and this module read the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from components.models import BaseReference
from components.registry.record import Version
from components.registry.store import RegistryError, client

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

Alias = Literal["champion", "previous", "candidate", "canary"]
ALIASES: tuple[Alias, ...] = ("champion", "previous", "candidate", "canary")
BASE_MODEL = "saqia-base"
ADAPTER = "adapter"
"""Folder of the version's files inside the logged model."""
RECORD = "saqia.record"
HISTORY = "saqia.history"
TRIAL = "saqia.trial"


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
    return read_version(found, aliases_of(task))


def champion(task: str) -> Version | None:
    """The version that serves, or None before the first one."""
    return aliased(task, "champion")


def candidate(task: str) -> Version | None:
    """The version that waits for a decision, or None."""
    return aliased(task, "candidate")


def previous(task: str) -> Version | None:
    """The version that `rollback` would bring back, or None."""
    return aliased(task, "previous")


def canary(task: str) -> Version | None:
    """The version that gets a share of the traffic (see its `trial`), or None."""
    return aliased(task, "canary")


def versions(task: str) -> list[Version]:
    """Every version of the task, oldest first."""
    aliases = aliases_of(task)
    found = [read_version(v, aliases) for v in search(f"name = '{task}'") if RECORD in v.tags]
    return sorted(found, key=lambda v: int(v.version))


def tasks() -> list[str]:
    """Tasks that have a registered model."""
    return sorted(m.name for m in client().search_registered_models(max_results=1000) if m.name != BASE_MODEL)


def base_uri(reference: BaseReference) -> str | None:
    """Where in the registry a local base lies, or None where it was never registered."""
    found = search(f"name = '{BASE_MODEL}' AND tags.`sha256` = '{reference.sha256}'")
    return f"models:/{BASE_MODEL}/{found[0].version}" if found else None


def search(filter_string: str) -> list[ModelVersion]:
    found: list[ModelVersion] = []
    token: str | None = None
    while True:
        page = client().search_model_versions(filter_string, max_results=200, page_token=token)
        found.extend(page)
        token = page.token
        if not token:
            return found


def by_tag(task: str, tag: str, value: str) -> Version | None:
    found = search(f"name = '{task}' AND tags.`{tag}` = '{value}'")
    return read_version(found[0], aliases_of(task)) if found else None


def read_version(entry: ModelVersion, aliases: Mapping[str, str]) -> Version:
    stored: dict[str, Any] = json.loads(entry.tags[RECORD])
    stored["version"] = str(entry.version)
    stored["aliases"] = [alias for alias in ALIASES if aliases.get(alias) == str(entry.version)]
    stored["history"] = json.loads(entry.tags.get(HISTORY, "[]"))
    if "canary" in stored["aliases"] and TRIAL in entry.tags:
        stored["trial"] = json.loads(entry.tags[TRIAL])
    return Version.model_validate_json(json.dumps(stored))


def aliases_of(task: str) -> dict[str, str]:
    from mlflow.exceptions import MlflowException

    try:
        return {k: str(v) for k, v in client().get_registered_model(task).aliases.items()}
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise RegistryError(f"the registry cannot be read: {str(error).splitlines()[0]}") from None
        return {}


def aliased(task: str, alias: Alias) -> Version | None:
    """The version that has this alias, or None."""
    return get(task, alias) if alias in aliases_of(task) else None
