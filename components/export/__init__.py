"""A version for use elsewhere: whole weights, a GGUF file, an Ollama model, a training for LLaMA-Factory.

    write(format, version, base, into)      safetensors, gguf or ollama
    llamafactory.write(..., into)           data and settings

Each is checked against the version's golden prompts where it is a model, and appears whole or not at all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from components.files import replacing_folder
from components.stage import StageError

Format = Literal["safetensors", "gguf", "ollama", "llamafactory"]


class ExportError(StageError):
    """A version cannot be exported so; the message is one line that says why and what to do."""


def write(how: Format, version: Path, base: Path, into: Path) -> list[str]:
    """Write a version as a model of one of the formats; return lines for people: what is there, what was checked.

    Args:
        version: the version's folder.
        base: the folder with the base.json that it stands on.
        into: a folder that does not exist yet, or is empty.

    Raises:
        ExportError: the folder is taken, the version writes no text, or what was written does not answer as it does.
        ModelError: the version or its base is damaged, or is of a kind that the format cannot hold.
    """
    from components import label_head
    from components.export import ollama, single_file, whole

    writers = {"safetensors": whole.write, "gguf": single_file.write, "ollama": ollama.write}
    check_free(into)
    if label_head.there(version):
        raise ExportError("the version is a label head (train.objective classify), which none of these formats holds")
    with replacing_folder(into) as folder:
        return writers[how](version, base, folder)


def check_free(into: Path) -> None:
    """Refuse a folder that holds something: an export replaces nothing.

    Raises:
        ExportError
    """
    if into.exists() and not (into.is_dir() and not any(into.iterdir())):
        raise ExportError(f"{into} is there already: name a folder that does not exist yet")
