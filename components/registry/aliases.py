"""Who serves: the aliases of a task's versions, moved together and with the reason written beside them.

`intake@champion` serves, `@previous` served before it, `@candidate` waits for a decision,
`@canary` gets a share of the traffic.

MLflow moves one alias at a time. What a call is about to do (aliases and lines of history) is therefore
written down first, in one tag: the next call finishes what a killed one left, and whoever sees an
alias gone finds the reason in the version's history already.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

from components.registry.catalog import HISTORY, TRIAL, Alias, aliases_of, canary, candidate, champion, get, previous
from components.registry.record import Trial, Version
from components.registry.store import RegistryError, client, locked
from components.sentences import say

MOVING = "saqia.moving"


def promote(task: str, version: str, by: str = say("by_verdict")) -> Version:
    """Make a version the champion; the champion until now becomes `previous`.

    A refused version can be promoted by a person; its history then says so.

    Raises:
        RegistryError: there is no such version.
    """
    with locked("mlflow-alias"):
        _finish_moving(task)
        chosen = get(task, version)
        now, waiting, trying = champion(task), candidate(task), canary(task)
        if now is not None and now.version == chosen.version:
            return chosen
        against = chosen.verdict.decision == "refuse"
        notes = {chosen.version: say("promoted_against" if against else "promoted", by=by)}
        if trying is not None and trying.version != chosen.version:
            notes[trying.version] = say("another_promoted", version=chosen.version)
        _move(
            task,
            {
                "champion": chosen.version,
                "previous": now.version if now else None,
                "candidate": None if waiting is None or waiting.version == chosen.version else waiting.version,
                "canary": None,
            },
            notes,
        )
    return get(task, chosen.version)


def rollback(task: str, by: str = say("by_person")) -> Version:
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
        _move(
            task,
            {"champion": before.version, "previous": now.version, "canary": None},
            {
                now.version: say("rolled_back", by=by, version=before.version),
                before.version: say("brought_back", by=by, version=now.version),
            },
        )
    return get(task, before.version)


def try_out(task: str, version: str, share: float, by: str = say("by_verdict")) -> Version:
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
        notes = {chosen.version: say("tried", share=f"{share:.0%}", by=by)}
        if trying is not None and trying.version != chosen.version:
            notes[trying.version] = say("another_tried", version=chosen.version)
        _move(task, {"canary": chosen.version}, notes)
    return get(task, chosen.version)


def refuse(task: str, version: str, reason: str) -> Version:
    """Take a version out of the running (a person said no, a canary failed); it stays registered, with the reason.

    Raises:
        RegistryError: there is no such version, or it is the champion.
    """
    with locked("mlflow-alias"):
        _finish_moving(task)
        refused = get(task, version)
        if "champion" in refused.aliases:
            raise RegistryError(f"version {refused.version} of {task} serves now: `saqia rollback` takes it back")
        running: tuple[Alias, ...] = ("candidate", "canary")
        gone: dict[Alias, str | None] = {alias: None for alias in running if alias in refused.aliases}
        _move(task, gone, {refused.version: say("refused", why=reason)})
    return get(task, refused.version)


def _move(task: str, aliases: dict[Alias, str | None], notes: dict[str, str]) -> None:
    """Set (or with None remove) aliases and add a line to the history of versions, as one step."""
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    intention = {"aliases": aliases, "notes": {version: f"{now}: {what}" for version, what in notes.items()}}
    client().set_registered_model_tag(task, MOVING, json.dumps(intention))
    _finish_moving(task)


def _finish_moving(task: str) -> None:
    """Do what is written down and not done yet; each part is left alone where it was done."""
    written = _intention(task)
    if written is None:
        return
    for version, line in written["notes"].items():
        history = get(task, version).history
        if line not in history:
            client().set_model_version_tag(task, version, HISTORY, json.dumps([*history, line]))
    now = aliases_of(task)
    for alias, version in written["aliases"].items():
        if version is None and alias in now:
            client().delete_registered_model_alias(task, alias)
        elif version is not None and now.get(alias) != version:
            client().set_registered_model_alias(task, alias, version)
    client().delete_registered_model_tag(task, MOVING)


def _intention(task: str) -> dict[str, dict[str, str]] | None:
    from mlflow.exceptions import MlflowException

    try:
        written = client().get_registered_model(task).tags.get(MOVING)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise RegistryError(f"the registry cannot be read: {str(error).splitlines()[0]}") from None
        return None
    return json.loads(written) if written else None
