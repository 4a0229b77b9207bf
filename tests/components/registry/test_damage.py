"""What happens to the registry's files from outside is told in one line that names the file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from components import registry
from components.files import sha256_of, write_json
from components.models import BaseReference, ModelError, load_model, weights_folder
from components.registry.store import RegistryError, client
from tests.components.evaluation.conftest import World
from tests.components.registry.test_versions import register


@pytest.mark.parametrize("damage", ["no database", "torn pages", "empty folder in its place"])
def test_a_damaged_database_of_mlflow_is_named_and_left_as_it_is(
    damage: str, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(world, world.champion)
    file = tmp_path / "damaged" / "mlflow.db"
    file.parent.mkdir()
    content = bytearray((tmp_path / "mlflow.db").read_bytes())
    match damage:
        case "no database":
            file.write_bytes(b"a letter to the editor\n" * 300)
        case "torn pages":
            for start in range(4096, len(content), 8192):
                content[start : start + 4096] = bytes(len(content[start : start + 4096]))
            file.write_bytes(content)
        case _:
            file.mkdir()
    before = file.read_bytes() if file.is_file() else b""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")
    with pytest.raises(registry.RegistryError, match=rf"^MLflow's database {file} cannot be used .*restore it from"):
        registry.versions("toy")
    assert (file.read_bytes() if file.is_file() else b"") == before


def test_mlflow_alone_refuses_a_damaged_adapter_and_names_its_file(world: World, tmp_path: Path) -> None:
    import mlflow

    register(world, world.good)
    registry.promote("toy", "1")
    artifact = next((tmp_path / "artifacts").rglob("adapter_model.safetensors"))
    content = bytearray(artifact.read_bytes())
    content[-1] ^= 1
    artifact.write_bytes(content)
    with pytest.raises(ModelError, match=r"adapter_model\.safetensors: the weights' hash is .* the file is damaged"):
        mlflow.pyfunc.load_model("models:/toy@champion")
    artifact.write_bytes(bytes(content[:-8]))
    with pytest.raises(ModelError, match=r"adapter_model\.safetensors cannot be read"):
        mlflow.pyfunc.load_model("models:/toy@champion")


def test_a_store_that_was_moved_still_finds_its_versions_and_bases(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = register(world, world.good)
    there = tmp_path / "mounted elsewhere"
    there.mkdir()
    for name in ("mlflow.db", "artifacts"):
        (tmp_path / name).rename(there / name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{there / 'mlflow.db'}")
    monkeypatch.setenv("SAQIA_HOME", str(tmp_path / "another home"))
    found = registry.get("toy", made.version)
    assert sha256_of(registry.local_version(found)) == made.files_sha256
    assert load_model(registry.local_base(found)) is not None
    shutil.rmtree(there / "artifacts")
    shutil.rmtree(tmp_path / "another home")
    with pytest.raises(registry.RegistryError, match=r"the artifacts of models:/m-.* cannot be fetched from sqlite:"):
        registry.local_version(found)


def test_a_base_folder_that_is_gone_is_named_with_what_to_do(tmp_path: Path) -> None:
    gone = tmp_path / "my-model"
    write_json(tmp_path / "base" / "base.json", BaseReference(kind="folder", location=str(gone), sha256="0" * 64))
    for use in (weights_folder, load_model):
        with pytest.raises(
            ModelError, match=rf"base\.json: the base's folder {gone} does not exist; bring it there"
        ) as e:
            use(tmp_path / "base")
        assert "huggingface" not in str(e.value)


def test_a_password_in_the_stores_address_is_in_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("postgresql://saqia:hunter2@127.0.0.1:9/mlflow", "http://saqia:hunter2@127.0.0.1:9"):
        told = str(RegistryError(f"MLflow at {address} cannot be opened (no route to '{address}')"))
        assert "hunter2" not in told
        assert "saqia:…@127.0.0.1:9" in told
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://saqia:hunter2@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RegistryError) as refused:
        client()
    assert "hunter2" not in str(refused.value)
