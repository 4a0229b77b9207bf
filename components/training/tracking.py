"""One training as one MLflow run: parameters, metrics in batches, dataset digests, the machine."""

from __future__ import annotations

import json
import logging
import platform
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from components import config
from components.files import sha256_of
from components.models import first_line
from components.stage import StageError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

log = logging.getLogger(__name__)

BATCH = 200
"""Metric values per write: one write a value costs 5 ms each on SQLite."""


WATCHED_EVERY = 5.0
"""Seconds between two looks at the machine."""


class Run:
    """An MLflow run as a context: FINISHED when the block ends well, FAILED or KILLED otherwise.

    Raises:
        StageError: the tracking server or database cannot be used.
    """

    def __init__(self, task: str, parameters: dict[str, Any], run_id: str | None = None) -> None:
        self.task, self.parameters = task, parameters
        self.run_id = run_id or ""
        self._resumed = run_id is not None
        self._waiting: list[Any] = []
        self._client: MlflowClient | None = None
        self._machine: SystemMetricsMonitor | None = None

    def __enter__(self) -> Run:
        uri = config.places().tracking_uri
        assert uri
        try:
            self._start(uri)
        except Exception as error:
            raise StageError(
                f"MLflow at {uri} cannot be used: {first_line(error)}; "
                "start it (saqia up) or correct MLFLOW_TRACKING_URI"
            ) from error
        return self

    def _start(self, uri: str) -> None:
        _answering(uri)
        import mlflow
        from mlflow.entities import Param, RunTag

        self._client = client = mlflow.MlflowClient(uri)
        if self._resumed:
            try:
                client.update_run(self.run_id, status="RUNNING")
            except mlflow.exceptions.MlflowException:
                self._resumed = False  # another store than the one the killed training wrote to
        if not self._resumed:
            experiment = ensure_experiment(client, self.task, uri)
            self.run_id = client.create_run(experiment, run_name=f"{self.task} training").info.run_id
            client.log_batch(
                self.run_id,
                params=[Param(key, str(value)[:6000]) for key, value in self.parameters.items()],
                tags=[RunTag(key, value) for key, value in machine().items()],
            )

    def log(self, step: int, values: dict[str, float]) -> None:
        """Note metric values; they are written in batches. The first ones start MLflow's own watch over the machine:

        it is a thread, and processes that train beside this one are forked before there is anything to note.
        """
        from mlflow.entities import Metric

        if self._machine is None:
            self._watch()
        now = int(time.time() * 1000)
        self._waiting += [Metric(key, value, now, step) for key, value in values.items()]
        if len(self._waiting) >= BATCH:
            self.flush()

    def _watch(self) -> None:
        """CPU, memory and (where its library is there) GPU as `system/…`, every `WATCHED_EVERY` seconds."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)
        self._machine = SystemMetricsMonitor(
            self.run_id,
            sampling_interval=WATCHED_EVERY,
            resume_logging=self._resumed,
            tracking_uri=config.places().tracking_uri,
        )
        self._machine.start()

    def flush(self) -> None:
        """Write what waits."""
        assert self._client
        if self._waiting:
            self._client.log_batch(self.run_id, metrics=self._waiting)
            self._waiting = []

    def log_dataset(self, path: Path, name: str) -> None:
        """Record which data taught this run, by the digest of its content."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        assert self._client
        if self._resumed:
            return
        digest = sha256_of(path)
        with path.open("rb") as lines:
            rows = sum(1 for line in lines if line.strip())
        dataset = Dataset(
            name=name,
            digest=digest[:36],  # as long as MLflow takes; the whole one is a tag
            source_type="local",
            source=json.dumps({"uri": str(path)}),
            profile=json.dumps({"num_rows": rows}),
        )
        tags = [InputTag("mlflow.data.context", "training"), InputTag("sha256", digest)]
        self._client.log_inputs(self.run_id, [DatasetInput(dataset, tags)])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._client
        if self._machine is not None:
            self._machine.finish()
        status = "FINISHED" if kind is None else "KILLED" if kind is KeyboardInterrupt else "FAILED"
        try:
            self.flush()
            self._client.set_terminated(self.run_id, status)
        except Exception as problem:
            if kind is None:
                raise StageError(f"MLflow took no more metrics: {first_line(problem)}") from problem


class NoRun:
    """What the other processes of a launched training note: nothing. The first one has the run."""

    run_id = ""

    def __enter__(self) -> NoRun:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def log(self, step: int, values: dict[str, float]) -> None:
        """As `Run.log`."""

    def log_dataset(self, path: Path, name: str) -> None:
        """As `Run.log_dataset`."""


def ensure_experiment(client: MlflowClient, task: str, uri: str) -> str:
    """The id of the experiment named like the task; artifacts of a local store lie beside its database."""
    there = client.get_experiment_by_name(task)
    if there is not None:
        return str(there.experiment_id)
    where = None
    if uri.startswith("sqlite:///"):
        where = (Path(uri.removeprefix("sqlite:///")).parent / "artifacts" / task).resolve().as_uri()
    return str(client.create_experiment(task, artifact_location=where))


def machine() -> dict[str, str]:
    """What the training ran on."""
    import os

    import torch

    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else platform.processor() or platform.machine()
    return {
        "device": device,
        "cores": str(os.cpu_count()),
        "torch": torch.__version__,
        "threads": str(torch.get_num_threads()),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
    }


def _answering(uri: str) -> None:
    """Ask an HTTP server once: MLflow's client would retry for minutes."""
    if uri.startswith(("http://", "https://")):
        import httpx

        httpx.get(f"{uri.rstrip('/')}/health", timeout=5).raise_for_status()
    elif uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
