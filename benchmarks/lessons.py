"""One training as a folder, the same for every tool that is to do it: base, rows, rows to test on, parameters.

Two models. `default`: the project's instruct base and what its newest version was taught, with corrections repeated
as `train` repeats them; where nothing is built, a Llama of the same size with random weights and the task's own rows.
`95m`: a Llama with random weights and a hub model's vocabulary, for figures of speed and memory only.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from components import chat, config, layout
from components.curation.evaluation_sets import evaluation_files
from components.files import read_rows, write_json, write_rows
from components.models import BaseReference, load_tokenizer, tensor_hash, weights_folder
from components.schema import Example, Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MODELS = ("default", "95m")
LARGE = {"hidden_size": 768, "layers": 10, "heads": 12}
LARGE_VOCABULARY = 32_000
"""Of Llama 1 and 2 and many a model since; rows use the few entries that the project's tokenizer knows."""


@dataclass(frozen=True)
class Lesson:
    """A folder with base/, pool.jsonl (all rows), rows.jsonl (those of this training, in a random order),
    heldout/<set>.jsonl and settings.json."""

    folder: Path
    settings: config.Settings
    useful: int
    """Tokens of all rows, padding not counted."""
    parameters: int
    trained: bool
    """Whether the base has learned anything: else exact match says nothing."""

    @property
    def sets(self) -> list[Path]:
        return sorted((self.folder / "heldout").glob("*.jsonl"))


def prepare(
    folder: Path,
    model: str,
    changes: Mapping[str, Any],
    test_rows: int,
    filled: bool = False,
    threads: int | None = None,
) -> Lesson:
    """Lay out a lesson from the project in the working directory.

    Args:
        model: one of `MODELS`.
        changes: keys of section `train` that are to be other than the project's; `lr: null` becomes a number.
        test_rows: most rows of each held-out set.
        filled: rows joined to conversations that fill the context.
        threads: other than the project's.
    """
    settings = config.load()
    settings = settings.model_copy(update={"threads": threads or settings.threads})
    rows, heldout, built = _rows(settings)
    _base(folder / "base", model, settings, rows, built)
    if filled:
        rows = list(_filled(rows, load_tokenizer(folder / "base"), settings.model.context))
    write_rows(folder / "pool.jsonl", rows)
    for name, found in heldout.items():
        write_rows(folder / "heldout" / f"{name}.jsonl", found[:test_rows])
    return _written(folder, settings, changes, built and model == "default")


def again(lesson: Lesson, folder: Path, changes: Mapping[str, Any]) -> Lesson:
    """The same lesson with other parameters, in a folder of its own that uses the first one's base and rows."""
    folder.mkdir(parents=True)
    for name in ("base", "pool.jsonl", "heldout"):
        (folder / name).symlink_to(lesson.folder.resolve() / name)
    return _written(folder, lesson.settings, {"lr": None, **changes}, lesson.trained)


def _written(folder: Path, settings: config.Settings, changes: Mapping[str, Any], trained: bool) -> Lesson:
    """Draw the rows and write the parameters, the learning rate among them."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from components.training.batches import encode
    from components.training.methods import learning_rate

    described = AutoConfig.from_pretrained(folder / "base")
    train = config.TrainSettings.model_validate({**settings.train.model_dump(), **changes})
    rate = learning_rate(train, cast(Any, SimpleNamespace(config=described)))
    settings = settings.model_copy(update={"train": train.model_copy(update={"lr": rate})})
    (folder / "settings.json").write_text(settings.model_dump_json(indent=1), encoding="utf-8")
    rows = _drawn(read_rows(folder / "pool.jsonl", Example), train.steps * train.batch_size, settings.seed)
    write_rows(folder / "rows.jsonl", rows)
    encoded = encode(load_tokenizer(folder / "base"), rows, settings.model.context)
    with torch.device("meta"):
        shape = AutoModelForCausalLM.from_config(described)
    parameters = sum(parameter.numel() for parameter in shape.parameters())
    return Lesson(folder, settings, sum(len(example.ids) for example in encoded), parameters, trained)


def of(folder: Path) -> config.Settings:
    """The parameters of a lesson's folder."""
    return config.parse(json.loads((folder / "settings.json").read_text(encoding="utf-8")), str(folder))


def _rows(settings: config.Settings) -> tuple[list[Example], dict[str, list[Example]], bool]:
    """What to teach, the held-out sets by name, and whether the project has a base."""
    from components.training.mixture import mixed

    taught = layout.curated(settings.task) / "train.jsonl"
    if taught.exists() and (layout.BASE / "base.json").exists():
        rows = mixed(read_rows(taught, Example), settings.train.feedback_share)
        files = evaluation_files(layout.examples(settings.task))
        return rows, {file.stem: read_rows(file, Example) for file in files}, True
    from components.examples.__main__ import rows as of_task

    sets, _ = of_task(settings.task, settings)
    return list(sets.pop("train")), {name: list(found) for name, found in sets.items() if name != "traffic"}, False


def _drawn(rows: Sequence[Example], count: int, seed: int) -> list[Example]:
    """So many rows in a random order, each again only when all others were drawn as often."""
    drawn: list[Example] = []
    order = random.Random(seed)
    while len(drawn) < count:
        drawn += order.sample(rows, min(len(rows), count - len(drawn)))
    return drawn


def _filled(rows: Sequence[Example], tokenizer: PreTrainedTokenizerBase, context: int) -> Iterator[Example]:
    """Rows joined to conversations of as many turns as the context holds; the last answer is what each teaches."""
    turns: list[Message] = []
    for row in rows:
        joined = [*(turns or row.messages), *(row.messages[-2:] if turns else ())]
        if turns and len(chat.example_ids(tokenizer, joined)[0]) > context:
            yield row.model_copy(update={"messages": tuple(turns)})
            joined = list(row.messages)
        turns = joined


def _base(into: Path, model: str, settings: config.Settings, rows: Sequence[Example], built: bool) -> None:
    """Write the base with its tokenizer and base.json."""
    import torch

    if built and model == "default":
        shutil.copytree(weights_folder(layout.BASE), into)
    else:
        tokenizer = load_tokenizer(layout.BASE) if built else _tokenizer(settings, rows)
        torch.manual_seed(settings.seed)
        _llama(model, settings, tokenizer).save_pretrained(into)
        tokenizer.save_pretrained(into)
    write_json(into / "base.json", BaseReference(kind="local", location=".", sha256=tensor_hash(into)))


def _tokenizer(settings: config.Settings, rows: Sequence[Example]) -> PreTrainedTokenizerBase:
    from components.tokenizer.bpe import train_tokenizer
    from components.tokenizer.frames import frames

    texts = [message.content for row in rows for message in row.messages]
    found = frames(row.answer for row in rows)
    return train_tokenizer(texts, settings.tokenizer.vocab_size, settings.model.context, found)


def _llama(model: str, settings: config.Settings, tokenizer: PreTrainedTokenizerBase) -> Any:
    from components.pretraining.llama import new_llama

    shape = settings.pretrain.model_copy(update=LARGE if model == "95m" else {})
    llama = new_llama(shape, settings.model.context, tokenizer)
    if model == "95m":
        llama.resize_token_embeddings(LARGE_VOCABULARY, mean_resizing=False)
    return llama
