"""Stage `instruct`: the local base, and references to other bases."""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path

import pytest
from huggingface_hub import constants

from components import config, layout
from components.files import DataError
from components.models import ModelError, load_model, load_tokenizer, read_base, tensor_hash
from components.stage import StageError
from components.training.instruct import REPORT, main
from tests.components.training.conftest import PARAMS


def _settings(**changes: object) -> config.Settings:
    return config.parse(PARAMS | changes)


def test_the_base_is_the_whole_pretrained_model_tuned_with_its_hash_beside_it(toy: Path) -> None:
    before = tensor_hash(layout.PRETRAINED)
    main(_settings())
    base = read_base(layout.BASE)
    assert base.kind == "local"
    assert base.sha256 == tensor_hash(layout.BASE) != before
    assert load_model(layout.BASE).config.model_type == "llama"
    assert json.loads((REPORT / "metrics.json").read_text())["examples"] == 60
    main(_settings())
    assert read_base(layout.BASE).sha256 == base.sha256


def test_a_folder_base_is_referred_to_by_its_hash_and_loaded_from_where_it_is(toy: Path) -> None:
    main(_settings(model={"base": str(layout.PRETRAINED), "context": 64}))
    base = read_base(layout.BASE)
    assert (base.kind, base.location) == ("folder", str(layout.PRETRAINED.resolve()))
    assert base.sha256 == tensor_hash(layout.PRETRAINED)
    assert [path.name for path in layout.BASE.iterdir()] == ["base.json"]
    assert load_model(layout.BASE).config.hidden_size == 32
    assert load_tokenizer(layout.BASE).chat_template


def test_a_folder_base_whose_weights_changed_since_is_refused(toy: Path) -> None:
    main(_settings(model={"base": str(layout.PRETRAINED), "context": 64}))
    weights = layout.PRETRAINED / "model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    with pytest.raises(ModelError, match="the base changed or is damaged"):
        load_model(layout.BASE)


@pytest.mark.parametrize(
    ("lacking", "message"),
    [("model.safetensors", "holds no .safetensors file"), ("config.json", "has no config.json")],
)
def test_a_folder_that_is_no_model_says_what_it_lacks(lacking: str, message: str, toy: Path) -> None:
    (layout.PRETRAINED / lacking).unlink()
    with pytest.raises(ModelError, match=message):
        main(_settings(model={"base": str(layout.PRETRAINED)}))


def test_a_missing_folder_is_named(toy: Path) -> None:
    with pytest.raises(ModelError, match=r"folder no/such/folder does not exist"):
        main(_settings(model={"base": "./no/such/folder"}))


def test_a_hub_model_that_cannot_be_reached_is_one_line_at_once(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    before = time.monotonic()
    with pytest.raises(
        ModelError,
        match=r"'some/model' is no folder here, is not in the local Hugging Face cache and cannot be fetched",
    ):
        main(_settings(model={"base": "some/model"}))
    assert time.monotonic() - before < 15, "the hub client's own retries take 23 seconds and more"


def test_no_rows_to_teach_is_an_error(toy: Path) -> None:
    (layout.CORPUS / "instruct.jsonl").write_text("")
    with pytest.raises(DataError, match="no training examples"):
        main(_settings())


def test_weights_that_a_full_disk_cannot_take_are_a_system_error_and_the_old_base_stays(toy: Path) -> None:
    main(_settings())
    before = read_base(layout.BASE)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"File too large: 'models/base'"):
            main(_settings(instruct={"steps": 12, "batch_size": 8, "checkpoint_every": 50}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert read_base(layout.BASE) == before
    assert load_model(layout.BASE)


def test_a_full_disk_is_one_line_and_leaves_the_old_base_and_no_half_file(toy: Path) -> None:
    main(_settings())
    before = read_base(layout.BASE)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # no file may grow beyond that, as on a full disk
    try:
        with pytest.raises(StageError, match=r"the checkpoint .* cannot be written: .*free some disk space"):
            main(_settings(instruct={"steps": 12, "batch_size": 8, "checkpoint_every": 5}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert read_base(layout.BASE) == before
    assert load_model(layout.BASE)
    assert not [path for path in config.places().home.rglob("*") if path.is_file()]
