"""Where this installation keeps its state: environment variables, not params.yaml."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Places(BaseSettings):
    """Where this installation keeps its state: environment variables, all optional.

    Relative defaults are resolved against the project's root, so a stage that runs in a
    turn's own worktree needs the flow to pass them on as absolute paths; `as_env` does.
    """

    model_config = SettingsConfigDict(env_prefix="SAQIA_", extra="ignore")

    home: Path = Path(".saqia")
    """Feedback store, logs, pid files, worktrees, the local DVC remote, bases by hash."""
    shared: Path | None = None
    """A folder that all machines of one training see at this path: its checkpoints, and what it is made from and makes
    (`train.launcher: ray`); default `home`."""
    database_url: str | None = None
    """SQLAlchemy URL of the feedback store; default a SQLite file under `home`."""
    tracking_uri: str | None = Field(None, validation_alias="MLFLOW_TRACKING_URI")
    """MLflow; default SQLite and files under mlruns/."""
    host: str = "127.0.0.1"
    port: int = 3000
    prefect_port: int = 4200
    mlflow_port: int = 5000

    def absolute(self, root: Path | None = None) -> Places:
        """The same places with every path absolute and every default filled in."""
        root = (root or Path.cwd()).resolve()
        home = self.home if self.home.is_absolute() else root / self.home
        return Places.model_construct(
            home=home,
            shared=self.shared.resolve() if self.shared else home,
            database_url=self.database_url or f"sqlite:///{home / 'saqia.db'}",
            tracking_uri=self.tracking_uri or f"sqlite:///{root / 'mlruns' / 'mlflow.db'}",
            host=self.host,
            port=self.port,
            prefect_port=self.prefect_port,
            mlflow_port=self.mlflow_port,
        )

    def as_env(self) -> dict[str, str]:
        """Environment variables that give a child process these same places."""
        assert self.database_url, "call absolute() first"
        assert self.tracking_uri, "call absolute() first"
        return {
            "SAQIA_HOME": str(self.home),
            **({} if self.shared in (None, self.home) else {"SAQIA_SHARED": str(self.shared)}),
            "SAQIA_DATABASE_URL": self.database_url,
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "SAQIA_HOST": self.host,
            "SAQIA_PORT": str(self.port),
            "SAQIA_PREFECT_PORT": str(self.prefect_port),
            "SAQIA_MLFLOW_PORT": str(self.mlflow_port),
        }


def places(root: Path | None = None) -> Places:
    """This process's places, absolute."""
    return Places().absolute(root)
