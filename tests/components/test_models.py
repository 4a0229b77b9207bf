"""Hashing and reading weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from components.models import ModelError, read_base, read_manifest, tensor_hash


def _tensors() -> dict[str, torch.Tensor]:
    return {"a": torch.arange(6.0).reshape(2, 3), "b": torch.arange(4, dtype=torch.int64)}


def test_the_hash_is_of_the_tensors_and_not_of_how_they_lie_in_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    save_file(_tensors(), tmp_path / "one/model.safetensors", metadata={"made": "today"})
    for number, (name, tensor) in enumerate(_tensors().items()):
        save_file({name: tensor}, tmp_path / f"two/model-{number}.safetensors")
    assert tensor_hash(tmp_path / "one") == tensor_hash(tmp_path / "two")


@pytest.mark.parametrize("change", ["value", "shape", "name", "dtype"])
def test_the_hash_moves_with_every_property_of_a_tensor(change: str, tmp_path: Path) -> None:
    save_file(_tensors(), tmp_path / "model.safetensors")
    before = tensor_hash(tmp_path)
    tensors = _tensors()
    match change:
        case "value":
            tensors["a"][0, 0] = 9
        case "shape":
            tensors["a"] = tensors["a"].reshape(3, 2)
        case "name":
            tensors["c"] = tensors.pop("a")
        case "dtype":
            tensors["b"] = tensors["b"].view(torch.float64)
    save_file(tensors, tmp_path / "model.safetensors")
    assert tensor_hash(tmp_path) != before


def test_a_torn_weights_file_is_named(tmp_path: Path) -> None:
    save_file(_tensors(), tmp_path / "model.safetensors")
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(ModelError, match=r"model\.safetensors cannot be read"):
        tensor_hash(tmp_path)


def test_a_folder_without_safetensors_is_refused_even_if_it_has_pickles(tmp_path: Path) -> None:
    torch.save(_tensors(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"holds no \.safetensors file"):
        tensor_hash(tmp_path)


@pytest.mark.parametrize("content", ["", "{}", '{"kind": "elsewhere"}', "\xff"])
def test_damaged_descriptions_say_what_to_do(content: str, tmp_path: Path) -> None:
    (tmp_path / "base.json").write_text(content, encoding="latin-1")
    (tmp_path / "manifest.json").write_text(content, encoding="latin-1")
    with pytest.raises(ModelError, match=r"base\.json is damaged: build the base again"):
        read_base(tmp_path)
    with pytest.raises(ModelError, match="this is no complete version"):
        read_manifest(tmp_path)
