"""Stage `train`: a version from a toy base, by each method, and through a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest
import torch
import yaml

from components import config, golden, layout
from components.files import DataError, sha256_of, write_rows
from components.models import ModelError, load_model, load_tokenizer, read_base, read_manifest, tensor_hash
from components.stage import StageError
from components.training.__main__ import main
from components.training.methods import prepare_model
from tests.components.training.conftest import PARAMS, settings

VERSION = layout.trained("toy")


def _hidden_logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=torch.arange(12)[None]).logits
    return logits


def test_a_version_holds_adapter_tokenizer_template_golden_prompts_and_manifest(toy: Path) -> None:
    main(settings())
    assert {path.name for path in VERSION.iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", "golden.json", "manifest.json",
        "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    manifest = read_manifest(VERSION)
    assert manifest.task == "toy"
    assert manifest.base == read_base(layout.BASE)
    assert manifest.adapter_sha256 == tensor_hash(VERSION)
    assert manifest.chat_template_sha256 == sha256_of(VERSION / "chat_template.jinja")
    assert manifest.system == "Name it."
    assert manifest.created_by["train"]["steps"] == 10
    assert manifest.created_by["computed_in"] == "float32"
    metrics = json.loads((layout.training("toy") / "metrics.json").read_text())
    assert metrics["steps"] == 10
    assert metrics["tokens_per_second"] > 0
    assert len((layout.training("toy") / "loss.csv").read_text().splitlines()) == 11


def test_equal_inputs_give_equal_files(toy: Path) -> None:
    main(settings())
    first = sha256_of(VERSION)
    main(settings())
    assert sha256_of(VERSION) == first
    main(settings(lr=1e-3))
    assert sha256_of(VERSION) != first


def test_it_learns_the_answers(toy: Path) -> None:
    main(settings(method="full", steps=60, lr=0.01))
    losses = [float(line.split(",")[1]) for line in (layout.training("toy") / "loss.csv").read_text().splitlines()[1:]]
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


@pytest.mark.parametrize(("method", "trained"), [("lora", (0.0, 0.5)), ("full", (1.0, 1.0)), ("freeze", (0.3, 0.9))])
def test_every_method_trains_its_share_and_loads_again(method: str, trained: tuple[float, float], toy: Path) -> None:
    main(settings(method=method, freeze_top=1, lr=0.01))
    assert (VERSION / "adapter_config.json").exists() == (method == "lora")
    assert (VERSION / "model.safetensors").exists() == (method != "lora")
    share = json.loads((layout.training("toy") / "metrics.json").read_text())["trainable_share"]
    assert trained[0] < share < trained[1] or share == trained[0] == trained[1]
    model = load_model(layout.BASE, VERSION)
    assert not torch.equal(_hidden_logits(model), _hidden_logits(load_model(layout.BASE)))
    assert golden.differences(model, load_tokenizer(layout.BASE), golden.read(VERSION)) == []


def test_freeze_leaves_the_lower_layers_as_they_were(toy: Path) -> None:
    main(settings(method="freeze", freeze_top=1, lr=0.01))
    before = dict(load_model(layout.BASE).named_parameters())
    changed = {
        name for name, tensor in load_model(layout.BASE, VERSION).named_parameters() if not tensor.equal(before[name])
    }
    assert not [name for name in changed if ".layers.0." in name]
    assert [name for name in changed if ".layers.1." in name]


def test_a_new_turn_goes_on_from_the_champion_where_asked(toy: Path) -> None:
    main(settings(steps=4))
    (layout.CHAMPION / "none.json").unlink()
    layout.CHAMPION.rmdir()
    VERSION.rename(layout.CHAMPION)
    champion = load_model(layout.BASE, layout.CHAMPION)
    started = prepare_model(settings(start="champion"), layout.BASE, layout.CHAMPION).eval()
    assert torch.equal(_hidden_logits(started), _hidden_logits(champion))
    assert [name for name, parameter in started.named_parameters() if parameter.requires_grad]
    main(settings(start="champion", steps=4))
    assert read_manifest(VERSION).adapter_sha256 != read_manifest(layout.CHAMPION).adapter_sha256
    with pytest.raises(StageError, match=r"the champion is a LoRA adapter"):
        main(settings(start="champion", method="full"))
    for lora, message in [
        ({"r": 2, "alpha": 8}, r"r=4, alpha=8"),
        ({"r": 4, "alpha": 8, "use_dora": True}, r"use_dora=false"),
        ({"r": 4, "alpha": 8, "target_modules": ["q_proj"]}, r"stands on down_proj, .*target_modules to the same"),
    ]:
        with pytest.raises(StageError, match=message):
            main(settings(start="champion", lora=lora))


def test_the_first_turn_starts_at_the_base_though_the_champion_is_asked_for(toy: Path) -> None:
    main(settings())
    first = tensor_hash(VERSION)
    main(settings(start="champion"))
    assert tensor_hash(VERSION) == first


def test_the_first_version_is_trained_shorter_only_on_a_base_that_was_taught_its_task(toy: Path) -> None:
    def steps(task: str) -> int:
        given = settings(steps=4, first_steps=2)
        main(given.model_copy(update={"corpus": given.corpus.model_copy(update={"task": task})}))
        return int(json.loads((layout.training("toy") / "metrics.json").read_text())["steps"])

    assert (steps("toy"), steps("another")) == (2, 4)
    (layout.CHAMPION / "none.json").unlink()
    layout.CHAMPION.rmdir()
    VERSION.rename(layout.CHAMPION)
    assert steps("toy") == 4


def test_the_run_in_mlflow_has_parameters_metrics_and_the_digest_of_the_rows(toy: Path) -> None:
    main(settings())
    client = mlflow.MlflowClient(config.places().tracking_uri)
    run_id = json.loads((layout.training("toy") / "metrics.json").read_text())["mlflow_run"]
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["train.lora.r"] == "4"
    assert [point.step for point in client.get_metric_history(run_id, "loss")] == [10]
    assert run.data.tags["threads"] == "1"
    (dataset,) = run.inputs.dataset_inputs
    digest = sha256_of(layout.curated("toy") / "train.jsonl")
    assert dataset.dataset.digest == digest[:36]
    assert {tag.key: tag.value for tag in dataset.tags}["sha256"] == digest


def test_an_mlflow_that_cannot_be_reached_is_one_clear_line(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(StageError, match=r"MLflow at http://127\.0\.0\.1:9 cannot be used: .*saqia up"):
        main(settings())
    assert not VERSION.exists()


def test_a_damaged_base_is_refused_before_anything_is_trained(toy: Path) -> None:
    weights = layout.BASE / "model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    with pytest.raises(ModelError, match="the base changed or is damaged"):
        main(settings())


def test_a_missing_base_names_the_stage_that_builds_it(toy: Path) -> None:
    (layout.BASE / "base.json").unlink()
    with pytest.raises(ModelError, match="dvc repro instruct"):
        main(settings())


def test_an_empty_training_set_is_refused(toy: Path) -> None:
    write_rows(layout.curated("toy") / "train.jsonl", [])
    with pytest.raises(DataError, match="no training examples"):
        main(settings())


def test_freezing_more_layers_than_there_are_is_refused(toy: Path) -> None:
    with pytest.raises(StageError, match=r"train\.freeze_top = 3, but the base has 2 layers"):
        main(settings(method="freeze", freeze_top=3))


def _start_stage() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "components.training"], env=os.environ | {"OMP_NUM_THREADS": "1"})


def test_a_stage_killed_by_the_system_and_run_again_ends_at_the_same_tensor_hash(toy: Path) -> None:
    values = PARAMS | {
        "threads": 2,  # two processes, on Linux
        "train": PARAMS["train"] | {"steps": 80, "checkpoint_every": 2, "lora": {"r": 4, "dropout": 0.2}},
    }
    Path("params.yaml").write_text(yaml.safe_dump(values))
    assert _start_stage().wait() == 0
    unkilled, runs = sha256_of(VERSION), {_run_id()}
    import shutil

    shutil.rmtree(VERSION)
    stage = _start_stage()
    checkpoints = config.places().home / "checkpoints"
    deadline = time.monotonic() + 120
    while not list(checkpoints.rglob("checkpoint.pt")) and time.monotonic() < deadline:
        time.sleep(0.002)
    stage.send_signal(signal.SIGKILL)
    stage.wait()
    assert stage.returncode == -signal.SIGKILL, "it had ended before it could be killed: give it more steps"
    assert not VERSION.exists()
    assert list(checkpoints.rglob("checkpoint.pt"))
    assert _start_stage().wait() == 0
    assert sha256_of(VERSION) == unkilled
    assert not list(checkpoints.rglob("checkpoint.pt"))
    client = mlflow.MlflowClient(config.places().tracking_uri)
    experiment = client.get_experiment_by_name("toy")
    assert experiment is not None
    found = {run.info.run_id: run.info.status for run in client.search_runs([experiment.experiment_id])}
    assert found == dict.fromkeys(runs | {_run_id()}, "FINISHED"), "the resumed training is the same run"


def _run_id() -> str:
    return str(json.loads((layout.training("toy") / "metrics.json").read_text())["mlflow_run"])
