"""A safetensors file as bytes: what torch would read, without torch, and nothing from a damaged file."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from components import tensors
from components.models import tensor_hash


def kinds() -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(3)
    return {
        "matrix": torch.randn(3, 4, generator=random),
        "half": torch.randn(2, 2, 2, generator=random).to(torch.bfloat16),
        "eighth": torch.randn(5, generator=random).to(torch.float8_e4m3fn),
        "scalar": torch.tensor(1.5, dtype=torch.float64),
        "nothing": torch.zeros(0, 3),
        "flags": torch.tensor([True, False]),
        "numbers": torch.arange(6),
        "größe": torch.ones(1, dtype=torch.float16),
    }


def test_every_tensor_is_read_as_torch_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file(kinds(), file, metadata={"made": "today"})
    found = {t.name: (t.dtype, t.shape, bytes(t.content)) for t in tensors.read(file)}
    expected = {}
    with safe_open(file, framework="pt") as opened:
        for name in opened.keys():  # noqa: SIM118 - safe_open is no mapping
            tensor = opened.get_tensor(name)
            content = tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
            expected[name] = (str(tensor.dtype), tuple(tensor.shape), content)
    assert found == expected


def test_the_hash_stays_what_versions_were_registered_with(tmp_path: Path) -> None:
    """SHA-256 over the sorted pairs of name and digest of `name|torch type|shape|bytes`: never to change."""
    save_file({"b": torch.tensor([1, 2]), "a": torch.tensor([[0.5]])}, tmp_path / "model.safetensors")
    total = hashlib.sha256()
    total.update(hashlib.sha256(b"a|torch.float32|(1, 1)|" + b"\x00\x00\x00\x3f").digest())
    total.update(hashlib.sha256(b"b|torch.int64|(2,)|" + b"\x01" + 7 * b"\0" + b"\x02" + 7 * b"\0").digest())
    assert tensor_hash(tmp_path) == total.hexdigest()


def test_hashing_imports_no_torch(tmp_path: Path) -> None:
    save_file(kinds(), tmp_path / "model.safetensors")
    code = (
        "import sys, pathlib, components.models as m; m.tensor_hash(pathlib.Path(sys.argv[1])); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 0


@pytest.mark.parametrize(
    ("header", "content", "wrong"),
    [
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"1234", "not where the header says"),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"123456789", "belong to none"),
        ({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, b"12345678", "needs another number"),
        ({"a": {"dtype": "F99", "shape": [2], "data_offsets": [0, 8]}}, b"12345678", "F99"),
        ({"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, -8]}}, b"", "negative"),
        ({"a": {"dtype": "F32", "data_offsets": [0, 8]}}, b"12345678", "shape"),
        (
            {name: {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]} for name in "ab"},
            b"12",
            "not where the header says",
        ),
        ([], b"", "no JSON of the format"),
    ],
)
def test_a_header_that_does_not_fit_its_content_is_refused(
    header: object, content: bytes, wrong: str, tmp_path: Path
) -> None:
    text = json.dumps(header).encode()
    (tmp_path / "x.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + content)
    with pytest.raises(tensors.TensorFileError, match=wrong):
        list(tensors.read(tmp_path / "x.safetensors"))


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\xff" * 20, (5).to_bytes(8, "little") + b"{nope"])
def test_what_is_no_safetensors_file_at_all_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(tensors.TensorFileError):
        list(tensors.read(tmp_path / "x.safetensors"))
