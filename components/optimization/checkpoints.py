"""Checkpoints that make a killed training end as if it had not been killed.

A checkpoint belongs to the inputs it was made from: its folder is named after a digest of
settings, data, starting weights and the training code itself. Another input never finds it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from components import config
from components.files import replacing, sha256_of
from components.models import first_line
from components.stage import StageError

CODE = (Path(__file__).parent, Path(__file__).parents[1] / "training", Path(__file__).parents[1] / "pretraining")


def digest_of(**inputs: object) -> str:
    """A name for exactly these inputs and this training code; values are JSON-able, paths are read."""
    values = {name: sha256_of(value) if isinstance(value, Path) else value for name, value in sorted(inputs.items())}
    values["code"] = [
        hashlib.sha256(file.read_bytes()).hexdigest() for folder in CODE for file in sorted(folder.rglob("*.py"))
    ]
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:24]


class Checkpoints:
    """The one newest checkpoint of one training, under `<shared>/checkpoints/<digest>/`."""

    def __init__(self, digest: str, every: int, home: Path | None = None) -> None:
        self.folder = (home or config.places().shared or config.places().home) / "checkpoints" / digest
        self.every = every

    @property
    def file(self) -> Path:
        return self.folder / "checkpoint.pt"

    def save(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint by this state, whole or not at all.

        Raises:
            StageError: the disk is full or cannot be written.
        """
        import torch

        try:
            with replacing(self.file) as temporary:
                torch.save(state, temporary)
        except (OSError, RuntimeError) as error:  # torch's own writer raises RuntimeError
            raise StageError(
                f"the checkpoint {self.file} cannot be written: {first_line(error)}; free some disk space and run "
                "again: training goes on from the checkpoint before"
            ) from error

    def load(self) -> dict[str, Any] | None:
        """The newest state, or None. An unreadable one (a torn disk) is put aside, and training starts anew."""
        import torch

        if not self.file.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.file, map_location="cpu", weights_only=True)
        except Exception:
            self.file.rename(self.file.with_suffix(".unreadable"))
            return None
        return state

    def remove(self) -> None:
        """Forget the checkpoint: the result has been written."""
        shutil.rmtree(self.folder, ignore_errors=True)
