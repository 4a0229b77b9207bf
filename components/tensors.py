"""Reading a safetensors file as bytes: names, types, shapes and raw content, without importing torch.

The format (https://huggingface.co/docs/safetensors, Format): eight bytes with the header's
length, little-endian; the header, a JSON object; the tensors, one behind the other.
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_HEADER = 100_000_000
"""Bytes; the format's own limit."""
TYPES: dict[str, tuple[str, int]] = {
    "BOOL": ("torch.bool", 1),
    "U8": ("torch.uint8", 1),
    "I8": ("torch.int8", 1),
    "F8_E4M3": ("torch.float8_e4m3fn", 1),
    "F8_E5M2": ("torch.float8_e5m2", 1),
    "F8_E8M0": ("torch.float8_e8m0fnu", 1),
    "I16": ("torch.int16", 2),
    "U16": ("torch.uint16", 2),
    "F16": ("torch.float16", 2),
    "BF16": ("torch.bfloat16", 2),
    "I32": ("torch.int32", 4),
    "U32": ("torch.uint32", 4),
    "F32": ("torch.float32", 4),
    "I64": ("torch.int64", 8),
    "U64": ("torch.uint64", 8),
    "F64": ("torch.float64", 8),
    "C64": ("torch.complex64", 8),
}
"""The format's types, by torch's names, with their size in bytes."""


class TensorFileError(ValueError):
    """The file is no whole safetensors file; the message says what is wrong with it."""


@dataclass(frozen=True)
class Tensor:
    """One tensor as it lies in the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    content: memoryview
    """Row-major, little-endian; valid until the next one is asked for."""


def read(file: Path) -> Iterator[Tensor]:
    """The file's tensors in the order in which they lie there, one at a time and never copied.

    Raises:
        TensorFileError: the header is damaged, or header and content do not fit together.
        OSError: the file cannot be read.
    """
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        size = file.stat().st_size
        if not 2 <= length <= min(MAX_HEADER, size - 8):
            raise TensorFileError(f"its header would be {length} bytes, the file is {size}")
        described = _header(opened.read(length))
        position, start = 0, 8 + length
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as whole:
            for name, dtype, shape, begin, end in described:
                if begin != position or start + end > size:
                    raise TensorFileError(f"tensor {name!r} is not where the header says: the file is cut or damaged")
                position = end
                with whole[start + begin : start + end] as content:
                    yield Tensor(name, dtype, shape, content)
        if start + position != size:
            raise TensorFileError(f"{size - start - position} bytes after the last tensor belong to none")


def _header(text: bytes) -> list[tuple[str, str, tuple[int, ...], int, int]]:
    """Name, torch's type, shape, first byte and end of every tensor, in the order of the bytes."""
    try:
        values: dict[str, Any] = json.loads(text)
        found = []
        for name, value in values.items():
            if name == "__metadata__":
                continue
            begin, end = value["data_offsets"]
            dtype, width = TYPES[value["dtype"]]
            shape = tuple(value["shape"])
            if not all(isinstance(n, int) and n >= 0 for n in (*shape, begin, end)):
                raise TensorFileError(f"tensor {name!r} has a negative or broken size")
            if end - begin != width * math.prod(shape):
                raise TensorFileError(f"tensor {name!r} is {end - begin} bytes, its shape needs another number")
            found.append((name, dtype, shape, begin, end))
    except KeyError as error:
        raise TensorFileError(f"the header lacks or does not know {error}") from None
    except (ValueError, TypeError, AttributeError) as error:
        if isinstance(error, TensorFileError):
            raise
        raise TensorFileError("the header is no JSON of the format") from None
    return sorted(found, key=lambda tensor: (tensor[3], tensor[4]))
