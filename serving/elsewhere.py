"""A fixed model of an upstream server in the place of a champion: nothing of it is in the registry or on this disk.

Its answers carry its name as their version, so that feedback and storage know what they speak of.
There are no golden prompts: readiness means that the server answers and has the model.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from components import task
from components.config import Settings
from components.models import ModelError
from serving.engine.interface import Engine
from serving.engine.upstream_engine import UpstreamEngine
from serving.resident import Source
from serving.versions import Served

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def upstream_champion(settings: Settings) -> Source | None:
    """The one model that `serving.upstream.model` names; None where versions of the registry are served."""
    serving = settings.serving
    if serving.engine != "upstream" or "{version}" in serving.upstream.model:
        return None
    name = serving.upstream.model.format(task=settings.task, version="")
    digest = hashlib.sha256(f"{serving.upstream.base_url} {name}".encode()).hexdigest()

    def served(engine: Engine) -> Served:
        assert isinstance(engine, UpstreamEngine), "EngineMaker makes what serving.engine names"
        engine.require(name)
        chosen = task.load(settings.task)
        schema = chosen.schema_model()
        return Served(
            settings.task,
            name,
            engine,
            byte_tokenizer(),
            chosen.system,
            f"fp_{digest[:12]}",
            schema=None if schema is None else schema.model_json_schema(),
        )

    return Source(name, digest, _nothing_here, Path, elsewhere=served)


def _nothing_here() -> Path:
    raise ModelError("an upstream server's model has no files here")


@cache
def byte_tokenizer() -> PreTrainedTokenizerBase:
    """Bytes for tokens, where the upstream model's own tokenizer is not known: only the server counts truly."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from components.chat import CHAT_TEMPLATE, SPECIAL_TOKENS

    pieces = [*SPECIAL_TOKENS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    core = Tokenizer(models.BPE(vocab={piece: id for id, piece in enumerate(pieces)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token=SPECIAL_TOKENS[0], pad_token=SPECIAL_TOKENS[0], chat_template=CHAT_TEMPLATE
    )
