"""The MLflow store that the registry lives in: one way to open it, for every process.

MLflow creates and migrates its SQLite tables when the first client opens them, and two
processes that do so at once break each other; the first opening therefore happens under a
file lock. Artifacts get an absolute place of their own, since MLflow's default is relative
to the working directory, and a turn's worktree is deleted after the turn.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from components.config import places
from components.stage import StageError

if TYPE_CHECKING:
    from mlflow import MlflowClient


class RegistryError(StageError):
    """The registry does not hold what was asked for, or holds it damaged; one line that says what to do.

    A password in a store's address is blotted out: these lines reach logs and HTTP clients.
    """

    def __init__(self, message: str) -> None:
        super().__init__(PASSWORD.sub(r"\1…@", message))


PASSWORD = re.compile(r"(://[^:/@\s\"']*:)[^@/\s\"']+@")
_opened: dict[str, MlflowClient] = {}


def tracking_uri() -> str:
    """MLflow's address for this process, absolute."""
    uri = places().tracking_uri
    assert uri is not None
    return uri


def client() -> MlflowClient:
    """The MLflow client of this process's places; the first one of a process creates the tables if need be.

    Raises:
        RegistryError: the store cannot be opened.
    """
    uri = tracking_uri()
    if uri not in _opened:
        _opened[uri] = _open(uri)
    import mlflow

    if mlflow.get_tracking_uri() != uri:
        mlflow.set_tracking_uri(uri)  # models:/ addresses are looked up there, whatever the client was opened with
    return _opened[uri]


def _open(uri: str) -> MlflowClient:
    _check_file(uri)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    for noisy in ("mlflow.store.db.utils", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        with locked("mlflow-open"), database_errors(uri):
            opened = MlflowClient(tracking_uri=uri, registry_uri=uri)
            opened.search_experiments(max_results=1)
            opened.search_registered_models(max_results=1)
    except (MlflowException, OSError) as error:
        raise RegistryError(
            f"MLflow at {uri} cannot be opened ({str(error).splitlines()[0]}); see `saqia doctor`"
        ) from None
    return cast("MlflowClient", _Plain(opened, uri))


def _check_file(uri: str) -> None:
    """Look at a SQLite file before MLflow does, which tries one that cannot be opened again for two minutes."""
    file = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///") or not file.exists():
        return
    try:
        with contextlib.closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as opened:
            opened.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        raise _unusable(uri, str(error)) from error


class _Plain:
    """MLflow's client, except that what its database refuses is one line that names the database."""

    def __init__(self, client: MlflowClient, uri: str) -> None:
        self._client, self._uri = client, uri

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found):
            return found

        @wraps(found)
        def call(*arguments: Any, **named: Any) -> Any:
            with database_errors(self._uri):
                return found(*arguments, **named)

        return call


@contextmanager
def database_errors(uri: str) -> Iterator[None]:
    """What MLflow's database refuses (damaged, full, locked), told with the file or address and what to do.

    MLflow passes some of it on as SQLAlchemy's errors and some as its own with SQLAlchemy's text in them.

    Raises:
        RegistryError
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, MlflowException) as error:
        reason = str(error).splitlines()[0]
        if isinstance(error, MlflowException) and "(sqlite3." not in reason and "(psycopg" not in reason:
            raise
        raise _unusable(uri, reason) from error


def _unusable(uri: str, reason: str) -> RegistryError:
    where = uri.removeprefix("sqlite:///")
    if "://" in where:
        from sqlalchemy.engine import make_url

        where = make_url(uri).render_as_string(hide_password=True)
    remedy = "it is left as it is: restore it from a copy, or name another store with MLFLOW_TRACKING_URI"
    if "is full" in reason:
        remedy = "free some space and run it again"
    elif "locked" in reason:
        remedy = "another process holds it: run it again"
    return RegistryError(f"MLflow's database {where} cannot be used ({reason}); {remedy}")


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock that every process using the same MLflow store on this machine respects."""
    from filelock import FileLock

    folder = _sqlite_folder(tracking_uri()) or places().home
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{name}.lock"):
        yield


def experiment(name: str) -> str:
    """Id of the experiment of this name, made on first use, with artifacts at an absolute place."""
    from mlflow.exceptions import MlflowException

    found = client().get_experiment_by_name(name)
    if found is None:
        folder = _sqlite_folder(tracking_uri())
        location = (folder / "artifacts" / name).as_uri() if folder else None
        try:
            return str(client().create_experiment(name, artifact_location=location))
        except MlflowException:
            found = client().get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


def download(uri: str) -> Path:
    """A local folder with the artifacts of `uri`; those that are on this machine are not copied.

    Raises:
        RegistryError: they are gone or cannot be reached.
    """
    client()
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    try:
        with database_errors(tracking_uri()):
            return Path(download_artifacts(artifact_uri=uri, tracking_uri=tracking_uri(), registry_uri=tracking_uri()))
    except (MlflowException, OSError) as error:
        if (moved := _beside_the_store(uri)) is not None:
            return moved
        raise RegistryError(
            f"the artifacts of {uri} cannot be fetched from {tracking_uri()}: {str(error).splitlines()[0]}"
        ) from None


def _beside_the_store(uri: str) -> Path | None:
    """A model's artifacts where its SQLite store is now.

    MLflow records absolute places, which are no more once the folder was moved or is mounted into a container.
    """
    folder, name = _sqlite_folder(tracking_uri()), uri.removeprefix("models:/")
    if folder is None:
        return None
    if "/" in name:
        name = str(client().get_model_version(*name.split("/")).source).removeprefix("models:/")
    return next(folder.glob(f"artifacts/*/models/{name}/artifacts"), None)


def _sqlite_folder(uri: str) -> Path | None:
    """The folder of a SQLite store, or None for a server or another database."""
    return Path(uri.removeprefix("sqlite:///")).resolve().parent if uri.startswith("sqlite:///") else None
