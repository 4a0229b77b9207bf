"""The environment that every process of this installation runs in.

Prefect reads its settings once, at import, so a command calls `enter` before it imports a flow.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import components
from components import config

QUIET = components.QUIET | {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
    "PREFECT_CLI_PROMPT": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "PYTHONWARNINGS": "ignore::FutureWarning,ignore::DeprecationWarning",
}
"""Nothing phones home, nothing asks questions."""


class NoProject(RuntimeError):
    """The command was not started inside a Saqia project."""


def project_root(start: Path | None = None) -> Path:
    """The nearest folder upwards that holds dvc.yaml and params.yaml.

    Raises:
        NoProject: there is none.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").exists() and (folder / "params.yaml").exists():
            return folder
    raise NoProject(f"{here} is not inside a Saqia project: no dvc.yaml and params.yaml here or above")


def variables(places: config.Places) -> dict[str, str]:
    """Environment variables for every process of this installation: places, Prefect's home and server, silence."""
    bin_folder = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", os.defpath)
    return {
        **{key: value for key, value in QUIET.items() if key not in os.environ},
        **places.as_env(),
        "PREFECT_HOME": str(places.home / "prefect"),
        "PREFECT_API_URL": prefect_api(places),
        "PATH": path if path.split(os.pathsep)[0] == bin_folder else bin_folder + os.pathsep + path,
    }


def enter(places: config.Places) -> None:
    """Make `variables` this process's own."""
    (places.home / "prefect").mkdir(parents=True, exist_ok=True)
    os.environ.update(variables(places))


def prefect_url(places: config.Places) -> str:
    """The Prefect UI."""
    return f"http://127.0.0.1:{places.prefect_port}"


def prefect_api(places: config.Places) -> str:
    """The Prefect server's API."""
    return prefect_url(places) + "/api"


def mlflow_url(places: config.Places) -> str:
    """The MLflow UI."""
    return f"http://127.0.0.1:{places.mlflow_port}"


def service_url(places: config.Places) -> str:
    """The service: chat page at /, API under /v1."""
    return f"http://{places.host}:{places.port}"


def api_key() -> str:
    """The key that this machine's own programs send: SAQIA_API_KEY, needed only where `serving.api_keys` is always."""
    return os.environ.get("SAQIA_API_KEY", "none")
