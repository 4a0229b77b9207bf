"""params.yaml is typed: what it cannot mean is refused by the key's full path."""

from pathlib import Path

import pytest
import yaml

from components import config
from tests.conftest import ROOT


def test_the_shipped_params_are_valid_and_say_what_the_defaults_say_they_are() -> None:
    settings = config.load(ROOT / "params.yaml")
    assert settings.task == "intake"
    assert not settings.turn.snapshots, "the shipped params describe version 1"
    assert settings.turn.champion is None


def test_every_key_has_a_default_so_that_a_short_params_file_is_enough(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("task: clinic\n")
    assert config.load(tmp_path / "params.yaml").task == "clinic"


def test_the_shipped_params_spell_out_every_key() -> None:
    written = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, values in config.Settings().model_dump(mode="json").items():
        assert section in written, f"{section} is missing from params.yaml"
        if isinstance(values, dict):
            assert set(values) == set(written[section]), f"keys of {section}"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"train": {"lrr": 1}}, ["train.lrr", "not a known key", "batch_size"]),
        ({"tarin": {}}, ["tarin", "not a known key", "train"]),
        ({"train": {"lr": -1}}, ["train.lr", "-1", "greater than 0"]),
        ({"train": {"lora": {"r": 0}}}, ["train.lora.r", "greater than or equal to 1"]),
        ({"train": {"method": "magic"}}, ["train.method", "magic", "'lora', 'qlora', 'full' or 'freeze'"]),
        ({"task": "../x"}, ["task", "../x"]),
        ({"turn": {"snapshots": [{"through": 3, "sha256": "short"}]}}, ["turn.snapshots.0.sha256"]),
        ({"turn": {"unserved": 2}}, ["turn", "unserved is 2, but there are only 0 snapshots"]),
        ({"promotion": {"approval": "maybe"}}, ["promotion.approval", "'none' or 'human'"]),
        ({"train": {"steps": "many"}}, ["train.steps", "many", "integer"]),
        ({"improve": {"cron": "99 2 * * *"}}, ["improve.cron", "99 2", "minute", "five fields"]),
        ({"improve": {"timezone": "Mars"}}, ["improve.timezone", "Mars", "IANA"]),
    ],
)
def test_a_wrong_value_is_named_with_its_full_path_and_what_is_allowed(values: dict, named: list[str]) -> None:
    with pytest.raises(config.ConfigError) as refused:
        config.parse(values)
    for words in named:
        assert words in str(refused.value)


def test_all_wrong_keys_are_named_at_once() -> None:
    with pytest.raises(config.ConfigError) as refused:
        config.parse({"seed": -1, "train": {"steps": 0}})
    assert "seed" in str(refused.value)
    assert "train.steps" in str(refused.value)


@pytest.mark.parametrize("content", ["- a\n- b\n", "train: [", "", "\x00"])
def test_a_params_file_that_is_no_mapping_is_one_clear_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "params.yaml").write_text(content)
    with pytest.raises(config.ConfigError, match=r"params\.yaml"):
        config.load(tmp_path / "params.yaml")


def test_a_missing_params_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match="project's root"):
        config.load(tmp_path / "params.yaml")


def test_places_follow_the_environment_and_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SAQIA_DATABASE_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("SAQIA_HOME", "state")
    monkeypatch.setenv("SAQIA_PORT", "3999")
    places = config.places(tmp_path)
    assert places.home == tmp_path / "state"
    assert places.database_url == f"sqlite:///{tmp_path}/state/saqia.db"
    assert places.tracking_uri == f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    for name, value in places.as_env().items():
        monkeypatch.setenv(name, value)
    assert config.places(Path("/elsewhere")).as_env() == places.as_env(), "a child process finds the same places"
