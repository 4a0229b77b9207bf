"""Loading a base model and an adapter on it, wherever the base came from.

models/base/base.json says which base it is and proves it by the hash of its tensors; a
local base lies beside that file, a Hugging Face folder or a hub model is loaded from
where it is. Only safetensors are read, and no code that comes with a model is run.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from components.chat import PLAIN_TEMPLATE
from components.schema import Record

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class ModelError(RuntimeError):
    """A base or an adapter is missing, damaged, or not what its manifest says."""


class BaseReference(Record):
    """Which base an adapter stands on."""

    kind: Literal["local", "folder", "hub"]
    location: str
    """`.` for local (beside base.json), an absolute folder, or a hub id."""
    revision: str | None = None
    sha256: str
    """`tensor_hash` of the weights."""
    note: str = ""


def read_base(folder: Path) -> BaseReference:
    """Read base.json.

    Raises:
        ModelError: there is none: the base was not built.
    """
    try:
        return BaseReference.model_validate_json((folder / "base.json").read_text())
    except FileNotFoundError:
        raise ModelError(f"{folder}/base.json is missing: build the base first (dvc repro instruct)") from None


def weights_folder(folder: Path) -> Path:
    """Where the base's safetensors lie; a hub model is looked up in the local cache or fetched.

    Raises:
        ModelError: with one line that says what is missing and what to do.
    """
    reference = read_base(folder)
    if reference.kind == "local":
        return folder
    if reference.kind == "folder":
        return Path(reference.location)
    return fetch_hub_model(reference.location, reference.revision)


def fetch_hub_model(name: str, revision: str | None) -> Path:
    """Download (or find in the cache) a hub model's safetensors, tokenizer and config.

    Raises:
        ModelError: it is neither in the cache nor reachable.
    """
    from huggingface_hub import snapshot_download

    wanted = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except Exception as error:
        raise ModelError(
            f"model.base: {name!r} is not in the local Hugging Face cache and cannot be fetched "
            f"({type(error).__name__}); check the name and the network, or set model.base to a folder or to 'local'"
        ) from None


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The base's tokenizer; one without a chat template gets a plain-text one."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(weights_folder(folder), trust_remote_code=False)
    if not tokenizer.chat_template:
        tokenizer.chat_template = PLAIN_TEMPLATE
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(folder: Path, adapter: Path | None = None, dtype: str = "auto") -> PreTrainedModel:
    """The base model in evaluation mode, with an adapter on it if one is given.

    The base's tensor hash is checked against base.json for a local base, the adapter's base
    against the one it is put on.

    Raises:
        ModelError: missing or damaged weights, or an adapter made for another base.
    """
    from transformers import AutoModelForCausalLM

    where = weights_folder(folder)
    try:
        model = AutoModelForCausalLM.from_pretrained(where, dtype=dtype, use_safetensors=True, trust_remote_code=False)
    except Exception as error:
        raise ModelError(f"{where} holds no usable causal language model: {first_line(error)}") from error
    if adapter is not None:
        from peft import PeftModel

        check_adapter(folder, adapter)
        try:
            model = PeftModel.from_pretrained(model, str(adapter))
        except Exception as error:
            raise ModelError(f"{adapter} holds no usable adapter: {first_line(error)}") from error
    return model.eval()


def check_adapter(base: Path, adapter: Path) -> None:
    """Refuse an adapter that was made for another base or whose weights changed since.

    Raises:
        ModelError: saying which of the two hashes differs.
    """
    try:
        manifest = json.loads((adapter / "manifest.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        raise ModelError(f"{adapter}/manifest.json is missing or unreadable: this is no complete version") from None
    reference = read_base(base)
    if manifest["base"]["sha256"] != reference.sha256:
        raise ModelError(
            f"{adapter} was trained on base {manifest['base']['sha256'][:12]}, but {base} is {reference.sha256[:12]}: "
            "use the base that the version names, or train again"
        )
    found = tensor_hash(adapter)
    if manifest["adapter_sha256"] != found:
        raise ModelError(
            f"{adapter}: the weights' hash is {found[:12]}, the manifest says {manifest['adapter_sha256'][:12]}: "
            "the adapter is damaged; fetch the version again"
        )


def tensor_hash(folder: Path) -> str:
    """SHA-256 over every tensor of a folder's safetensors: names, dtypes, shapes and bytes, in sorted order.

    Unlike a file hash it does not move with metadata or sharding.

    Raises:
        ModelError: there are no safetensors, or one cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(f"{folder} holds no .safetensors file")
    entries: list[tuple[str, bytes]] = []
    for file in files:
        try:
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118 - safe_open is no mapping
                    tensor = tensors.get_tensor(name).contiguous()
                    digest = hashlib.sha256(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
                    digest.update(tensor.view(-1).view(dtype=_bytes_type()).numpy().data if tensor.numel() else b"")
                    entries.append((name, digest.digest()))
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{file} cannot be read: {first_line(error)}") from None
    total = hashlib.sha256()
    for _, digest_bytes in sorted(entries):
        total.update(digest_bytes)
    return total.hexdigest()


def _bytes_type():  # type: ignore[no-untyped-def]
    import torch

    return torch.uint8


def first_line(error: BaseException) -> str:
    """The first line of an exception's text, for one-line messages."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
