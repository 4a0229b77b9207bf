"""The stage on real small versions: what lies between two is a version, and a kill leaves nothing half."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from components import config, golden, label_head, layout
from components.files import sha256_of, write_rows
from components.models import check_adapter, load_model, load_tokenizer, read_manifest, tensor_hash, write_manifest
from components.selection.__main__ import main
from components.selection.mixing import unlike, write_between
from components.selection.record import Selection
from tests.components.selection.conftest import Versions
from tests.conftest import ROOT

CANDIDATE, TRAINED = layout.adapter("toy"), layout.trained("toy")


def selection() -> Selection:
    return Selection.model_validate_json((layout.selection("toy") / "selection.json").read_text())


def with_strengths(settings: config.Settings, *strengths: float, **select: Any) -> config.Settings:
    values = settings.model_dump(mode="json") | {"select": {"strengths": list(strengths), **select}}
    return config.parse(values)


def logits(version: Path) -> torch.Tensor:
    ids = torch.arange(30).reshape(2, 15)
    with torch.no_grad():
        found: torch.Tensor = load_model(layout.BASE, version, dtype="float32")(input_ids=ids).logits
    return found


def between(strength: float, folder: Path) -> Path:
    folder.mkdir()
    tokenizer = load_tokenizer(layout.BASE)
    write_between(folder, layout.CHAMPION, TRAINED, strength, layout.BASE, tokenizer, 64)
    return folder


METHODS: list[dict[str, Any]] = [
    {},
    {"lora": {"r": 4, "use_dora": True}},
    {"method": "full"},
    {"method": "freeze", "freeze_top": 1},
]


@pytest.mark.parametrize("champion", METHODS)
def test_strength_0_answers_as_the_champion_and_1_as_the_trained_version(
    versions: Versions, tmp_path: Path, champion: dict[str, Any]
) -> None:
    versions(champion)
    zero, one, half = (between(s, tmp_path / f"at-{s}") for s in (0.0, 1.0, 0.5))
    assert tensor_hash(zero) == tensor_hash(layout.CHAMPION)
    assert tensor_hash(one) == tensor_hash(TRAINED)
    assert torch.equal(logits(zero), logits(layout.CHAMPION))
    assert torch.equal(logits(one), logits(TRAINED))
    assert not torch.allclose(logits(half), logits(TRAINED), atol=1e-4)
    assert not torch.allclose(logits(half), logits(layout.CHAMPION), atol=1e-4)
    (file,) = half.glob("*.safetensors")
    old, new, mixed = (load_file(folder / file.name) for folder in (layout.CHAMPION, TRAINED, half))
    for name in mixed:
        assert torch.allclose(mixed[name], (old[name] + new[name]) / 2, atol=1e-6), name


def test_what_lies_between_is_a_whole_version_with_golden_prompts_of_its_own(
    versions: Versions, tmp_path: Path
) -> None:
    settings = versions()
    half = between(0.5, tmp_path / "half")
    check_adapter(layout.BASE, half)
    assert {p.name for p in half.iterdir()} == {p.name for p in TRAINED.iterdir()}
    manifest, trained = read_manifest(half), read_manifest(TRAINED)
    assert manifest.created_by == trained.created_by | {"select": {"strength": 0.5}}
    prompts = golden.read(half)
    assert [p.messages for p in prompts] == [p.messages for p in golden.read(TRAINED)]
    assert len(prompts) == settings.train.golden_prompts
    model, tokenizer = load_model(layout.BASE, half, dtype="float32"), load_tokenizer(layout.BASE)
    assert golden.differences(model, tokenizer, prompts) == []
    assert golden.differences(model, tokenizer, golden.read(TRAINED)) != [], "the proof tells the two apart"


def test_the_candidate_is_the_taken_point_and_the_report_names_every_one(versions: Versions) -> None:
    settings = with_strengths(versions(), 0.25, 0.75)
    main(settings)
    said = selection()
    assert [p.strength for p in said.points] == [0.0, 0.25, 0.75, 1.0], "the trained version is always looked at"
    assert (said.target_rows, said.guard_rows, said.left_out) == (15, 25, ())
    made_by = read_manifest(CANDIDATE).created_by.get("select", {"strength": 1.0})
    assert made_by == {"strength": said.taken}
    check_adapter(layout.BASE, CANDIDATE)
    seconds = json.loads((layout.selection("toy") / "seconds.json").read_text())
    assert set(seconds) == {"champion", "strength 0.25", "strength 0.75", "trained"}
    first = sha256_of(CANDIDATE), (layout.selection("toy") / "selection.json").read_bytes()
    main(settings)
    assert (sha256_of(CANDIDATE), (layout.selection("toy") / "selection.json").read_bytes()) == first
    assert not [p for p in CANDIDATE.parent.iterdir() if p.name.startswith(".")], "no point is left lying"


def test_a_label_head_is_mixed_with_the_weights_below_it(versions: Versions, tmp_path: Path) -> None:
    Path("tasks/toy/task.yaml").write_text("name: toy\ntitle: Toy\nanswer: label\nsystem: Name it.\n")
    settings = versions({"objective": "classify", "calibration_share": 0.2})
    zero, one, half = (between(s, tmp_path / f"at-{s}") for s in (0.0, 1.0, 0.5))
    assert [tensor_hash(zero), tensor_hash(one)] == [tensor_hash(layout.CHAMPION), tensor_hash(TRAINED)]
    old, new, mixed = (label_head.read(folder) for folder in (layout.CHAMPION, TRAINED, half))
    assert torch.allclose(mixed.weight, (old.weight + new.weight) / 2, atol=1e-6)
    assert not torch.allclose(mixed.weight, new.weight, atol=1e-4)
    assert mixed.temperature == pytest.approx((old.temperature + new.temperature) / 2)
    model = load_model(layout.BASE, half, dtype="float32")
    assert golden.differences(model, load_tokenizer(layout.BASE), golden.read(half), mixed) == []
    main(with_strengths(settings, 0.5))
    assert len(selection().points) == 3
    labels = json.loads((layout.CHAMPION / label_head.LABELS).read_text())
    (layout.CHAMPION / label_head.LABELS).write_text(json.dumps(labels | {"labels": labels["labels"][::-1]}))
    assert unlike(layout.CHAMPION, TRAINED) == "other_labels"


def test_where_time_is_up_what_was_looked_at_is_chosen_from(versions: Versions) -> None:
    settings = versions()
    main(with_strengths(settings, 0.5, 1.0, minutes=1e-9))
    assert (selection().reason, selection().left_out) == ("no_time", (1.0, 0.5))
    assert [p.strength for p in selection().points] == [0.0]
    assert sha256_of(CANDIDATE) == sha256_of(TRAINED)


def test_the_time_is_kept_between_two_points(versions: Versions, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, now = versions(), iter([0.0, 0.0, 10.0, 10.0, 40.0, 40.0, 40.0])
    monkeypatch.setattr("components.selection.__main__.monotonic", lambda: next(now))
    main(with_strengths(settings, 0.25, 0.5, 1.0, minutes=1.0))
    assert [p.strength for p in selection().points] == [0.0, 1.0], "another 30 seconds end after the minute"
    assert selection().left_out == (0.5, 0.25)


def no_champion(settings: config.Settings) -> config.Settings:
    shutil.rmtree(layout.CHAMPION)
    layout.CHAMPION.mkdir()
    (layout.CHAMPION / "none.json").write_text("{}")
    return settings


def no_rows(settings: config.Settings) -> config.Settings:
    write_rows(layout.curated("toy") / "tuning_target.jsonl", [])
    return settings


def other_base(settings: config.Settings) -> config.Settings:
    manifest = read_manifest(layout.CHAMPION)
    write_manifest(
        layout.CHAMPION, manifest.model_copy(update={"base": manifest.base.model_copy(update={"sha256": "0" * 64})})
    )
    return settings


def other_template(settings: config.Settings) -> config.Settings:
    write_manifest(layout.CHAMPION, read_manifest(layout.CHAMPION).model_copy(update={"chat_template_sha256": "1"}))
    return settings


def other_shape(settings: config.Settings) -> config.Settings:
    file = layout.CHAMPION / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"lora_alpha": 99}))
    return settings


def not_floating(settings: config.Settings) -> config.Settings:
    for version in (layout.CHAMPION, TRAINED):
        file = version / "adapter_model.safetensors"
        save_file(load_file(file) | {"packed": torch.zeros(3, dtype=torch.uint8)}, file)
    return settings


def same_weights(settings: config.Settings) -> config.Settings:
    shutil.rmtree(layout.CHAMPION)
    shutil.copytree(TRAINED, layout.CHAMPION)
    return settings


def no_strengths(settings: config.Settings) -> config.Settings:
    return with_strengths(settings, 1.0)


NOTHING_BETWEEN: list[Callable[[config.Settings], config.Settings]] = [
    no_champion,
    no_rows,
    no_strengths,
    not_floating,
    other_base,
    other_shape,
    other_template,
    same_weights,
]


@pytest.mark.parametrize("make", NOTHING_BETWEEN, ids=lambda make: make.__name__)
def test_where_nothing_lies_between_the_trained_version_is_the_candidate(versions: Versions, make: Any) -> None:
    settings = make(versions())
    main(settings)
    assert (selection().reason, selection().taken, selection().points) == (make.__name__, 1.0, ())
    assert sha256_of(CANDIDATE) == sha256_of(TRAINED)


def test_an_adapter_that_began_at_the_base_has_factors_of_its_own(versions: Versions) -> None:
    main(versions(start="base", steps=31))
    assert selection().reason == "other_start"


def test_an_adapter_and_whole_weights_have_nothing_between_them(versions: Versions) -> None:
    main(versions(method="full", start="base"))
    assert selection().reason == "other_shape"


def test_whole_weights_may_begin_at_the_base(versions: Versions) -> None:
    versions({"method": "full"}, start="base", steps=31)
    assert unlike(layout.CHAMPION, TRAINED) is None


def test_a_kill_leaves_the_candidate_of_before_and_nothing_half(versions: Versions) -> None:
    settings = versions()
    main(with_strengths(settings, 1.0))
    before = sha256_of(CANDIDATE)
    values = settings.model_dump(mode="json") | {"select": {"strengths": [round(0.001 * n, 3) for n in range(1, 900)]}}
    layout.PARAMS.write_text(yaml.safe_dump(values))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "SAQIA_HOME": str(Path.cwd() / ".saqia")}
    process = subprocess.Popen(
        [sys.executable, "-m", "components", "selection"], env=environment, stdout=subprocess.DEVNULL
    )
    until = time.monotonic() + 60
    while not list(CANDIDATE.parent.glob(".selection.*/0.*")):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert sha256_of(CANDIDATE) == before
    main(with_strengths(settings, 0.5))
    assert selection().points
    assert not list(CANDIDATE.parent.glob(".*")), "what the killed one left is gone"
