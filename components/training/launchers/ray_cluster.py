"""`train.launcher: ray`: workers of Ray Train, on one machine or a cluster.

Ray Train (https://docs.ray.io/en/latest/train/train.html) places the workers, has them meet by torch.distributed (gloo,
or NCCL where they have GPUs), and where one dies starts all of them again, which go on from the last checkpoint.

RAY_ADDRESS says which cluster; without it one is started on this machine and ends with the stage. Workers of other
machines need this project's environment there, and SAQIA_SHARED: a folder that all see at the same path. The stage's
inputs are copied into it, the workers work there, and what they made is fetched from it.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components import config, layout
from components.files import replacing_folder
from components.stage import StageError
from components.training.launchers import member

log = logging.getLogger(__name__)

Function = Callable[[dict[str, Any]], None]


def launch(settings: config.Settings) -> None:
    """Run the stage on `train.processes` workers.

    Raises:
        StageError: as `start`, or the workers could not see what they need.
    """
    places, here = config.places(), Path.cwd()
    with _folder(settings, here, places) as folder, connected(folder) as ray:
        if len([node for node in ray.nodes() if node["Alive"]]) > 1:
            _check(places)
        gpus = int(ray.cluster_resources().get("GPU", 0))
        processes = member.how_many(settings.train.processes, gpus, settings.threads)
        room = gpus or int(ray.cluster_resources().get("CPU", 0))
        if processes > room:
            what = f"train.processes = {processes}, but the cluster has {room} {'GPUs' if gpus else 'CPU cores'}"
            if "RAY_ADDRESS" not in os.environ:
                raise StageError(f"{what}: each worker needs its own; lower it")
            log.warning("%s: waiting until it has grown", what)
        start(_stage, {"folder": str(folder)}, processes, settings.train.restarts, bool(gpus))
        if folder != here:
            for made in (layout.trained(settings.task), layout.training(settings.task)):
                with replacing_folder(here / made) as temporary:
                    shutil.copytree(folder / made, temporary, dirs_exist_ok=True)


def _stage(given: dict[str, Any]) -> None:
    """The stage's part in a worker."""
    folder = Path(given["folder"])
    if not (folder / layout.PARAMS).exists():
        raise StageError(f"{folder} is not there on this worker's machine: SAQIA_SHARED must be one folder for all")
    os.chdir(folder)
    from components.training.__main__ import teach

    teach(config.load(layout.PARAMS))


@contextmanager
def connected(folder: Path) -> Iterator[Any]:
    """Ray, connected to the cluster of RAY_ADDRESS, or to one of this process's own; `folder` holds the workers' code.

    Raises:
        StageError: Ray is not installed, or there is no such cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = os.environ.get("RAY_ADDRESS", "local")
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "600")  # importing on a busy machine takes minutes
    if address == "local":
        # Ray's watch over machines that are about to be taken away: a process more, and this one stays
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
        os.environ.setdefault("RAY_worker_niceness", "0")  # else workers give way to everything else that runs here
    try:
        import ray
    except ImportError:
        raise StageError("train.launcher: ray needs the package ray: pip install -e '.[ray]'") from None
    try:
        ray.init(
            address=address,
            runtime_env={"env_vars": _environment(folder)},
            include_dashboard=False if address == "local" else None,
            log_to_driver=False,  # Ray's own processes say more than the training; see `_following`
            logging_level=logging.ERROR,
        )
    except Exception as error:
        raise StageError(f"Ray at {address} cannot be reached: {error}; correct RAY_ADDRESS or unset it") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def start(function: Function, argument: dict[str, Any], processes: int, restarts: int, gpu: bool) -> None:
    """Run `function(argument)` in so many workers until all have ended well.

    Raises:
        StageError: what one of them said that it cannot do; or some died once more than `restarts` times.
    """
    from ray.train import FailureConfig, LoggingConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.exceptions import TrainingFailedError

    from components.optimization.launched import WAIT

    places, name = config.places(), uuid.uuid4().hex
    assert places.shared
    runs = places.shared / "ray"
    note, lines = runs / f"{name}.refused", runs / f"{name}.log"
    runs.mkdir(parents=True, exist_ok=True)
    log.info("train.launcher: ray: %d workers", processes)
    trainer = TorchTrainer(
        _take_part,
        train_loop_config={"function": function, "argument": argument, "note": str(note), "log": str(lines)},
        torch_config=TorchConfig(timeout_s=int(WAIT.total_seconds())),
        scaling_config=ScalingConfig(num_workers=processes, use_gpu=gpu),
        run_config=RunConfig(
            name=name,
            storage_path=str(runs),
            failure_config=FailureConfig(max_failures=restarts),
            logging_config=LoggingConfig(log_level="ERROR"),  # type: ignore[call-arg]  # its stubs are of version 1
        ),
    )
    try:
        with _following(lines):
            trainer.fit()
        member.raise_refusal(note)
    except TrainingFailedError as error:
        member.raise_refusal(note)
        last = [line.strip() for line in str(error).splitlines() if line.strip()][-1]
        raise StageError(
            f"train.launcher: ray: a worker died, and train.restarts: {restarts} is used up: {last}; "
            "run it again to go on from the last checkpoint"
        ) from error
    finally:
        note.unlink(missing_ok=True)
        lines.unlink(missing_ok=True)
        shutil.rmtree(runs / name, ignore_errors=True)


def _take_part(given: dict[str, Any]) -> None:
    """In a worker."""
    lines = logging.FileHandler(given["log"])
    lines.setFormatter(logging.Formatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[lines], force=True)
    os.environ[member.NOTE] = given["note"]
    member.take_part(lambda: given["function"](given["argument"]), tied=False)


@contextmanager
def _following(lines: Path) -> Iterator[None]:
    """Tell what the workers write into their log, as it comes."""
    over = threading.Event()

    def follow() -> None:
        told = ""
        while True:
            last = over.wait(0.5)
            text = lines.read_text(encoding="utf-8", errors="replace") if lines.exists() else ""
            whole = text[: text.rfind("\n") + 1]
            for line in whole[len(told) :].splitlines():
                log.info("%s", line)
            told = whole
            if last:
                return

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        yield
    finally:
        over.set()
        follower.join()


def _environment(folder: Path) -> dict[str, str]:
    """What a worker needs to know of this installation, as absolute places."""
    wanted = ("GOMP_", "HF_", "OMP_", "TOKENIZERS_")
    there = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    inherited = {key: value for key, value in os.environ.items() if key.startswith(wanted)}
    return {**inherited, **config.places().as_env(), "PYTHONPATH": os.pathsep.join([str(folder), *there])}


def _check(places: config.Places) -> None:
    """Whether workers of other machines can work for this installation.

    Raises:
        StageError: something is a file of this machine alone.
    """
    if places.shared == places.home:
        raise StageError(
            "train.launcher: ray: the cluster has several machines: set SAQIA_SHARED to a folder that all of them see "
            "at the same path"
        )
    if str(places.tracking_uri).startswith("sqlite:"):
        raise StageError(
            f"train.launcher: ray: MLflow is a file of this machine ({places.tracking_uri}): set MLFLOW_TRACKING_URI "
            "to a server that all of the cluster's machines reach"
        )


@contextmanager
def _folder(settings: config.Settings, here: Path, places: config.Places) -> Iterator[Path]:
    """Where the workers work: here, or in a copy of what the stage reads in the folder that all machines share."""
    assert places.shared
    if places.shared == places.home:
        yield here
        return
    from components.training import objectives

    folder = places.shared / "trainings" / uuid.uuid4().hex
    try:
        shutil.copytree(here / "components", folder / "components", ignore=shutil.ignore_patterns("__pycache__"))
        for part in (layout.task_folder(settings.task), layout.curated(settings.task), layout.BASE, layout.CHAMPION):
            shutil.copytree(here / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        for file in (
            layout.PARAMS,
            Path("tasks/__init__.py"),
            *objectives.find(settings.train.objective).inputs(settings),
        ):
            if (here / file).exists():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(here / file, folder / file)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
