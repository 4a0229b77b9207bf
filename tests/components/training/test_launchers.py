"""Processes that somebody launched train as one does, and where one dies, all go on from the last checkpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from components import layout
from components.models import read_manifest
from components.training.__main__ import main
from tests.components.training.conftest import PARAMS, settings
from tests.conftest import ROOT

VERSION = layout.trained("toy")

TRAINING = """
import json, logging, os, signal, sys
from pathlib import Path

from components.optimization import replicas
from components.stage import StageError
from components.training.launchers import member, ray_cluster, torchrun


def train(given):
    import torch

    from components.optimization import loop, optimizers
    from components.optimization.checkpoints import Checkpoints

    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), *(torch.nn.Linear(16, 16) for _ in range(3)))
    home = Path(given["home"])

    def batch(step):
        if step == 10 and replicas.rank() == 1 and given["event"] == "kill" and not (home / "killed").exists():
            (home / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if step == 10 and replicas.rank() == 0 and given["event"] == "refuse":
            with (home / "tries").open("a") as tries:
                tries.write("x")
            raise StageError("row 7 is wrong")
        return torch.randn(6, 8, generator=torch.Generator().manual_seed(step))

    def loss(model, rows):
        return ((model(rows)[:, :8] - rows.flip(1)) ** 2).mean(), len(rows)

    def share(rows, rank, count):
        return rows[rank::count], len(rows[rank::count]) / len(rows)

    plan = loop.Plan(section="train", steps=20, warmup=0.1, seed=3, batch=batch, loss=loss, share=share)
    began = Checkpoints("it", every=4, home=home).load()
    history = loop.fit(model, optimizers.muon(model, 0.02), plan, Checkpoints("it", every=4, home=home))
    weights = [parameter.flatten().tolist() for parameter in model.parameters()]
    (home / "made.json").write_text(json.dumps([history.losses, weights, began["done"] if began else 0]))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    how, home, event = sys.argv[1:]
    given = {"home": home, "event": event}
    try:
        if member.launched():
            member.take_part(lambda: train(given))
        elif how == "torchrun":
            torchrun.start((__file__, *sys.argv[1:]), 2, 1)
        elif how == "ray":
            import training

            with ray_cluster.connected(Path(__file__).parent):
                ray_cluster.start(training.train, given, 2, 1, False)
    except (StageError, replicas.Lost) as error:
        sys.exit(str(error))
"""


def _run(folder: Path, how: str, event: str = "") -> subprocess.CompletedProcess[str]:
    """Train in a process of its own; what was made lies in `<folder>/<how>`."""
    home = folder / how
    home.mkdir()
    (folder / "training.py").write_text(TRAINING)
    return subprocess.run(
        [sys.executable, str(folder / "training.py"), how, str(home), event],
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def _made(folder: Path, how: str) -> Any:
    return json.loads((folder / how / "made.json").read_text())


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What one process makes of it."""
    folder = tmp_path_factory.mktemp("alone")
    training: dict[str, Any] = {"__name__": "training"}
    exec(TRAINING, training)
    training["train"]({"home": str(folder), "event": ""})
    return json.loads((folder / "made.json").read_text())


@pytest.mark.parametrize("how", ["torchrun", pytest.param("ray", marks=pytest.mark.slow)])
def test_a_worker_is_killed_and_what_two_make_is_what_one_makes_but_for_rounding(
    how: str, tmp_path: Path, alone: Any
) -> None:
    done = _run(tmp_path, how, "kill")
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / how / "killed").exists()
    losses, weights, began = _made(tmp_path, how)
    assert began in (4, 8), "those that came after the kill went on from a checkpoint"
    assert losses == pytest.approx(alone[0], rel=1e-4)
    for shared, own in zip(weights, alone[1], strict=True):
        assert shared == pytest.approx(own, rel=1e-3, abs=1e-5)


def test_what_one_of_them_cannot_do_is_said_once_and_not_tried_again(tmp_path: Path) -> None:
    done = _run(tmp_path, "torchrun", "refuse")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == "row 7 is wrong"
    assert (tmp_path / "torchrun" / "tries").read_text() == "x"


def test_the_stage_makes_the_version_of_one_process_but_for_rounding(toy: Path) -> None:
    main(settings())
    alone = load_file(VERSION / "adapter_model.safetensors")
    Path("params.yaml").write_text(
        yaml.safe_dump(PARAMS | {"train": PARAMS["train"] | {"launcher": "torchrun", "processes": 2}})
    )
    done = subprocess.run(
        [sys.executable, "-m", "components", "training"],
        env={**os.environ, "PYTHONPATH": f"{toy}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    together = load_file(VERSION / "adapter_model.safetensors")
    assert all(torch.allclose(tensor, together[name], rtol=1e-3, atol=1e-5) for name, tensor in alone.items())
    assert read_manifest(VERSION).created_by["train"]["launcher"] == "torchrun"
    assert json.loads((layout.training("toy") / "metrics.json").read_text())["steps"] == 10
