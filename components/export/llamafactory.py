"""A version's training for LLaMA-Factory: its data, dataset_info.json and the settings of a run.

https://github.com/hiyouga/LLaMA-Factory, data/README.md (datasets) and src/llamafactory/hparams (settings).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import yaml

from components import chat, config, models
from components.curation.evaluation_sets import evaluation_files
from components.export import ExportError, check_free
from components.export.template import portable, shape_of
from components.files import read_rows, replacing_folder, write_json, write_text
from components.optimization.optimizers import BETAS
from components.schema import Example, Message, Preference
from components.training.methods import learning_rate

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "system_tag": "system",
}
"""Messages as OpenAI writes them, told to LLaMA-Factory's `sharegpt` format."""
CHATML = {role: (f"<|im_start|>{role}\n", "<|im_end|>\n") for role in ("system", "user", "assistant")}
LEARNED = ("replay", "regression", "target")
"""Curated sets that are tested on."""


def write(version: Path, base: Path, settings: config.Settings, curated: Path, examples: Path, into: Path) -> list[str]:
    """Write everything that `llamafactory-cli train train.yaml` needs into a folder; return lines for people.

    Args:
        settings: the parameters that made the version.
        curated: what the `curate` stage made for this version.
        examples: the task's own sets of then.
        into: a folder that does not exist yet, or is empty.

    Raises:
        ExportError: the folder is taken, the training was another than sft, or there is nothing to teach.
        DataError: a set is missing or damaged.
        ModelError: the version or its base is.
    """
    check_free(into)
    if (objective := str(settings.train.objective)) != "sft":
        raise ExportError(f"the training had train.objective {objective}: only sft is written for LLaMA-Factory")
    manifest = models.read_manifest(version)
    tokenizer = models.load_tokenizer(version)
    taught = read_rows(curated / "train.jsonl", Example)
    if not taught:
        raise ExportError(f"the version of {manifest.task} was taught nothing: there is no training to export")
    tested = [curated / f"{name}.jsonl" for name in LEARNED] + evaluation_files(examples)
    datasets: dict[str, Any] = {}
    said: list[str] = []
    with replacing_folder(into) as folder:

        def add(name: str, rows: Iterable[Mapping[str, Any]], what: str, **described: Any) -> None:
            found = list(rows)
            file = f"{name}.jsonl"
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
            write_text(folder / file, text)
            datasets[name] = {"file_name": file, "formatting": "sharegpt", **described, "tags": TAGS}
            said.append(f"{file}: {len(found)} {what}")

        columns = {"messages": "messages"}
        for name, rows in [("train", taught), *((file.stem, read_rows(file, Example)) for file in tested)]:
            usable = [row for row in rows if _alternates(row.messages)]
            if usable:
                lines = ({"messages": _messages(tokenizer, row.messages)} for row in usable)
                add(f"{manifest.task}_{name}", lines, "rows", columns=columns)
            if len(usable) < len(rows):
                said.append(f"note: {len(rows) - len(usable)} rows of {name} left out: their turns do not alternate")
        pairs = _pairs(curated / "preferences.jsonl")
        if pairs:
            ranked = {**columns, "chosen": "chosen", "rejected": "rejected"}
            rows_ = (_pair(tokenizer, pair) for pair in pairs)
            add(f"{manifest.task}_preferences", rows_, "preference pairs", ranking=True, columns=ranked)
        write_json(folder / "dataset_info.json", datasets)
        rate = _learning_rate(settings, base)
        run = _run(manifest, settings, rate, _model(base, tokenizer, folder), tokenizer, len(taught), datasets)
        write_text(folder / "train.yaml", _HEAD.format(task=manifest.task, sha256=manifest.adapter_sha256[:12]) + run)
    return [*said, f"train.yaml: cd {into} && llamafactory-cli train train.yaml"]


_HEAD = (
    "# The training of {task}, weights {sha256}, as LLaMA-Factory runs it from this folder:\n"
    "#   llamafactory-cli train train.yaml\n"
)


def _run(
    manifest: models.Manifest,
    settings: config.Settings,
    rate: float,
    model: str,
    tokenizer: PreTrainedTokenizerBase,
    rows: int,
    datasets: Mapping[str, Any],
) -> str:
    """The YAML of a run with the version's own parameters."""
    train = settings.train
    steps = _steps(settings)
    batch = min(train.batch_size, rows)
    micro = min(train.micro_batch_size or batch, batch)
    name = f"{manifest.task}_test"
    template = _template(tokenizer)
    parts: list[dict[str, Any]] = [
        {"model_name_or_path": model, "trust_remote_code": False},
        {"stage": "sft", "do_train": True, **_method(train)},
        {
            "dataset_dir": ".",
            "dataset": f"{manifest.task}_train",
            **({"eval_dataset": name, "do_eval": True} if name in datasets else {}),
            **({"template": template} if template else {}),
            "cutoff_len": settings.model.context,
            "mask_history": True,
            "overwrite_cache": True,
        },
        {
            "output_dir": "trained",
            "logging_steps": min(10, steps),
            "save_steps": max(1, min(steps, train.checkpoint_every)),
            "save_only_model": True,
            "report_to": "none",
        },
        {
            "per_device_train_batch_size": micro,
            "gradient_accumulation_steps": -(-batch // micro),
            "disable_gradient_checkpointing": not train.gradient_checkpointing,
            **({"bf16": True} if train.precision == "bfloat16" else {}),
            "learning_rate": rate,
            "max_steps": steps,
            "lr_scheduler_type": "linear",
            "warmup_steps": max(1, round(steps * train.warmup)),
            "weight_decay": 0.0,
            "adam_beta1": BETAS[0],
            "adam_beta2": BETAS[1],
            "max_grad_norm": 1.0,
            "seed": settings.seed,
        },
    ]
    return "\n".join(yaml.safe_dump(part, sort_keys=False, allow_unicode=True) for part in parts)


def _method(train: config.TrainSettings) -> dict[str, Any]:
    """How much of the base is trained, in their words."""
    if train.method == "full":
        return {"finetuning_type": "full"}
    if train.method == "freeze":
        return {"finetuning_type": "freeze", "freeze_trainable_layers": train.freeze_top}
    lora, target = train.lora, train.lora.target_modules
    return {
        "finetuning_type": "lora",
        "lora_rank": lora.r,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "lora_target": "all" if target == "all-linear" else ",".join(target),
        **({"use_dora": True} if lora.use_dora else {}),
        **({"use_rslora": True} if lora.use_rslora else {}),
        **({"quantization_bit": 4} if train.method == "qlora" else {}),
    }


def _learning_rate(settings: config.Settings, base: Path) -> float:
    """`train.lr`, or what the `train` stage took for this base."""
    from transformers import AutoConfig

    described = AutoConfig.from_pretrained(models.weights_folder(base), trust_remote_code=False)
    return learning_rate(settings.train, SimpleNamespace(config=described))  # type: ignore[arg-type]


def _steps(settings: config.Settings) -> int:
    """Steps of the version's training, as the `train` stage counts them."""
    taught = settings.model.base == "local" and settings.corpus.task == settings.task
    first = taught and settings.turn.champion is None
    return settings.train.first_steps or settings.train.steps if first else settings.train.steps


def _template(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """LLaMA-Factory's name for the version's template; None lets it read the tokenizer's own."""
    try:
        shape = shape_of(tokenizer, [])
    except ExportError:
        return None
    known = all(isinstance(tokenizer.convert_tokens_to_ids(token), int) for token in ("<|im_start|>", "<|im_end|>"))
    plain = shape.around == CHATML and not shape.without_system and shape.answer == CHATML["assistant"][0]
    return "chatml" if plain and known else None


def _model(base: Path, tokenizer: PreTrainedTokenizerBase, into: Path) -> str:
    """Where the run finds the base: a local one goes along, others stay where they are."""
    reference = models.read_base(base)
    if reference.kind != "local":
        return reference.location
    folder = into / "base"
    folder.mkdir()
    for file in base.iterdir():
        if file.is_file() and file.name != "base.json":
            shutil.copyfile(file, folder / file.name)
    assert isinstance(tokenizer.chat_template, str)
    tokenizer.chat_template = portable(tokenizer.chat_template)
    tokenizer.save_pretrained(folder)
    return "base"


def _alternates(messages: Sequence[Message]) -> bool:
    """Whether LLaMA-Factory takes a conversation: user and assistant in turns, after at most one system message."""
    roles = [message.role for message in messages]
    body = roles[1:] if roles[:1] == ["system"] else roles
    return body == ["user", "assistant"] * (len(body) // 2) and len(body) > 0


def _messages(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[dict[str, str]]:
    """Messages with every control token taken apart that somebody wrote out in them, as it was taught here."""
    return [{"role": m.role, "content": chat.plain_text(tokenizer, m.content)} for m in messages]


def _pairs(file: Path) -> list[Preference]:
    if not file.exists():
        return []
    return [pair for pair in read_rows(file, Preference) if _alternates([*pair.prompt, _said(pair.chosen)])]


def _pair(tokenizer: PreTrainedTokenizerBase, pair: Preference) -> dict[str, Any]:
    chosen, rejected = _messages(tokenizer, [_said(pair.chosen), _said(pair.rejected)])
    return {"messages": _messages(tokenizer, pair.prompt), "chosen": chosen, "rejected": rejected}


def _said(text: str) -> Message:
    return Message(role="assistant", content=text)
