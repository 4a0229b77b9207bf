"""Which engine answers for a base: what params.yaml asks for, and what this machine has."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from components import config
from components.config import Settings
from components.cores import SMALL
from serving.engine.interface import EngineError

if TYPE_CHECKING:
    from serving.engine.interface import Engine
    from serving.engine.torch_engine import TorchEngine

log = logging.getLogger("saqia.engine")


class EngineMaker:
    """Builds an engine for a base with the installation's settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __call__(self, base: Path) -> Engine:
        """The engine of one base.

        Raises:
            EngineError: the engine that serving.engine names cannot run here.
            ModelError: the base is damaged.
        """
        wanted = self._settings.serving.engine
        match wanted:
            case "upstream":
                from serving.engine.upstream_engine import UpstreamEngine

                return UpstreamEngine(self._settings)
            case "torch":
                return self._torch(base)
            case "auto" | "openvino":
                return self._fastest(base, strict=wanted == "openvino")

    def prepare(self) -> None:
        """Import what loading a version needs (seconds), so that the first one serves as soon as it is there."""
        if self._settings.serving.engine == "upstream":
            return
        import peft  # noqa: F401
        from transformers import AutoModelForCausalLM, PreTrainedModel  # noqa: F401

        from serving.engine import auto_engine, torch_engine  # noqa: F401

    def _fastest(self, base: Path, *, strict: bool) -> Engine:
        """openvino and torch together; torch alone on a GPU, or where openvino is missing or would take too much."""
        import torch

        from serving.engine import openvino_engine

        missing = openvino_engine.available()
        if strict and missing:
            raise EngineError(f"serving.engine is openvino, but {missing}")
        reference = self._torch(base)
        serving = self._settings.serving
        why = missing
        if not strict and torch.cuda.is_available():
            why = "this machine has a GPU"
        elif not strict and reference.parameters > serving.merge_up_to:
            why = f"the base has more parameters than serving.merge_up_to ({serving.merge_up_to})"
        if why:
            reference.note = f"not openvino: {why}"
            log.info("torch answers; %s", reference.note)
            return reference

        from serving.engine.auto_engine import AutoEngine

        fast = openvino_engine.OpenVinoEngine(
            base,
            config.places().home / "openvino",
            max_batch=serving.max_batch,
            max_queue=serving.max_queue,
            context=self._settings.model.context,
            threads=1 if reference.parameters <= SMALL else self._settings.threads,
            hand_over=reference.adopt,
        )
        return AutoEngine(reference, fast, strict=strict)

    def _torch(self, base: Path) -> TorchEngine:
        import torch
        from transformers.utils import logging as transformers_logging

        from serving.engine.torch_engine import TorchEngine

        transformers_logging.disable_progress_bar()
        torch.set_num_threads(self._settings.threads)
        serving = self._settings.serving
        return TorchEngine(
            base,
            max_batch=serving.max_batch,
            max_queue=serving.max_queue,
            context=self._settings.model.context,
            merge_up_to=serving.merge_up_to,
            prefix_cache_bytes=int(serving.prefix_cache_mb * 2**20),
        )
