"""Loading a base model and an adapter on it, wherever the base came from.

models/base/base.json says which base it is and proves it by the hash of its tensors; a
local base lies beside that file, a Hugging Face folder or a hub model is loaded from
where it is. Only safetensors are read, and no code that comes with a model is run.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import Field, ValidationError

from components import tensors
from components.chat import PLAIN_TEMPLATE
from components.files import write_text
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


class Manifest(Record):
    """What a version is: manifest.json of its folder (docs/architecture.md, Versions)."""

    task: str
    base: BaseReference
    method: Literal["lora", "qlora", "full", "freeze"]
    adapter_sha256: str
    """`tensor_hash` of the folder: of the adapter, or of the whole weights for full and freeze."""
    chat_template_sha256: str
    system: str
    answer: Literal["json", "text", "label"]
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    """JSON schema of a structured answer."""
    created_by: dict[str, Any] = Field(default_factory=dict)
    """Parameters of the training."""


def read_base(folder: Path) -> BaseReference:
    """Read base.json.

    Raises:
        ModelError: there is none (the base was not built), or it is damaged.
    """
    try:
        return BaseReference.model_validate_json((folder / "base.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{folder}/base.json is missing: build the base first (dvc repro instruct)") from None
    except (ValidationError, UnicodeDecodeError):
        raise ModelError(f"{folder}/base.json is damaged: build the base again (dvc repro -f instruct)") from None


def weights_folder(folder: Path) -> Path:
    """Where the base's safetensors lie; a hub model is looked up in the local cache or fetched.

    Raises:
        ModelError: with one line that says what is missing and what to do.
    """
    reference = read_base(folder)
    if reference.kind == "local":
        return folder
    if reference.kind == "folder":
        return model_folder(reference.location, named_by=f"{folder}/base.json")
    return fetch_hub_model(reference.location, reference.revision)


def model_folder(location: str, named_by: str = "model.base") -> Path:
    """A Hugging Face folder on this machine that can be a base; `named_by` is who says so.

    Raises:
        ModelError: naming what the folder lacks.
    """
    folder = Path(location).expanduser()
    if not folder.is_dir():
        raise ModelError(
            f"{named_by}: the base's folder {folder} does not exist; bring it there, or name another base "
            "(model.base in params.yaml, base in tasks/NAME/task.yaml, --base of saqia init)"
        )
    if not (folder / "config.json").exists():
        raise ModelError(f"{named_by}: {folder} has no config.json, so it is no Hugging Face model folder")
    if not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"{named_by}: {folder} holds no .safetensors file; other weight formats can run code and are not read"
        )
    return folder.resolve()


def fetch_hub_model(name: str, revision: str | None) -> Path:
    """Find in the local cache, or download, a hub model's safetensors, tokenizer and config.

    Raises:
        ModelError: it is neither in the cache nor reachable, or it has no safetensors.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    wanted = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
    try:
        try:
            folder = snapshot_download(name, revision=revision, allow_patterns=wanted, local_files_only=True)
        except LocalEntryNotFoundError as missing:
            if not hub_reachable():
                raise ConnectionError("the hub cannot be reached") from missing
            folder = snapshot_download(name, revision=revision, allow_patterns=wanted)
        return model_folder(folder)
    except ModelError:
        raise
    except Exception as error:
        raise _not_to_be_had(name, first_line(error)) from None


def check_available(base: str, revision: str | None) -> None:
    """Say within seconds, and without downloading anything, whether a base that is not `local` can be had.

    Raises:
        ModelError: the folder is missing or incomplete, or the hub model is neither cached nor to be found.
    """
    if is_folder(base):
        model_folder(base)
        return
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    why = "the hub cannot be reached"
    try:
        snapshot_download(base, revision=revision, allow_patterns=["config.json"], local_files_only=True)
        return
    except HFValidationError as error:
        why = first_line(error)
    except LocalEntryNotFoundError:
        if hub_reachable():
            try:
                HfApi().model_info(base, revision=revision, timeout=10)
                return
            except Exception as error:
                why = first_line(error)
    raise _not_to_be_had(base, why)


def _not_to_be_had(name: str, why: str) -> ModelError:
    return ModelError(
        f"model.base: {name!r} is no folder here, is not in the local Hugging Face cache "
        f"and cannot be fetched ({why}); check the name and the network, or set model.base to a folder or to 'local'"
    )


def hub_reachable(seconds: float = 3.0) -> bool:
    """Whether a model could be downloaded now: one short question instead of the hub client's 23 s of retries."""
    import httpx
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        httpx.head(constants.ENDPOINT, timeout=seconds)
    except httpx.HTTPError:
        return False
    return True


def resolve_base(base: str, revision: str | None) -> BaseReference:
    """Resolve `model.base` (a folder or a hub id) to weights that exist here, and hash them.

    A name that is a folder on this machine is a folder; anything path-like is never
    looked up on the hub.

    Raises:
        ModelError: the folder is missing or incomplete, or the hub model can be had neither
            from the cache nor from the hub.
    """
    folder = external_base(base, revision)
    if is_folder(base):
        return BaseReference(kind="folder", location=str(folder), sha256=tensor_hash(folder))
    # The cache names a snapshot's folder after its commit: a branch moves, a commit does not.
    return BaseReference(kind="hub", location=base, revision=folder.name, sha256=tensor_hash(folder))


def external_base(base: str, revision: str | None) -> Path:
    """Where the files of a base that is not `local` lie on this machine.

    Raises:
        ModelError: as `resolve_base`.
    """
    return model_folder(base) if is_folder(base) else fetch_hub_model(base, revision)


def is_folder(base: str) -> bool:
    """Whether `model.base` means a folder of this machine: one that is there, or anything path-like."""
    return Path(base).expanduser().is_dir() or base.startswith((".", "/", "~")) or base.count("/") != 1


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a base (or of any folder that holds one); without a chat template it gets a plain-text one.

    Raises:
        ModelError: there is none, or it cannot be read.
    """
    where = weights_folder(folder) if (folder / "base.json").exists() else folder
    try:
        tokenizer: PreTrainedTokenizerBase = _tokenizer_class(where).from_pretrained(
            where, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:
        raise ModelError(
            f"{where} holds no usable tokenizer ({first_line(error)}): "
            "run the stage that makes it (dvc repro tokenizer), or set model.base to a complete model"
        ) from error
    if not tokenizer.chat_template:
        tokenizer.chat_template = PLAIN_TEMPLATE
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _tokenizer_class(folder: Path) -> Any:
    """The class that reads a folder's tokenizer.

    Ours are plain `tokenizers` files, which need neither AutoTokenizer nor the three seconds
    (and torch) that importing it takes.
    """
    import transformers

    try:
        named = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8")).get("tokenizer_class")
    except (OSError, ValueError):
        named = None
    plain = named in ("PreTrainedTokenizerFast", "TokenizersBackend") and (folder / "tokenizer.json").exists()
    return transformers.PreTrainedTokenizerFast if plain else transformers.AutoTokenizer


def load_model(folder: Path, adapter: Path | None = None, dtype: str = "auto", **loading: Any) -> PreTrainedModel:
    """The base model in evaluation mode, with a version's adapter on it if one is given.

    A version of `train.method` full or freeze holds whole weights, which take the base's place.
    Weights are checked against the hashes in base.json and manifest.json before they are used
    (a hub model is addressed by its commit instead).

    Args:
        loading: what transformers' `from_pretrained` also takes for the base, a quantisation say.

    Raises:
        ModelError: missing or damaged weights, or an adapter made for another base.
    """
    if adapter is not None:
        check_adapter(folder, adapter)
        if not (adapter / "adapter_config.json").exists():
            return load_weights(adapter, dtype).eval()
    where = weights_folder(folder)
    reference = read_base(folder)
    if reference.kind != "hub":
        found = tensor_hash(where)
        if found != reference.sha256:
            raise ModelError(
                f"{where}: the weights' hash is {found[:12]}, {folder}/base.json says {reference.sha256[:12]}: "
                "the base changed or is damaged; build it again (dvc repro -f instruct)"
            )
    model = load_weights(where, dtype, **loading)
    if adapter is None:
        return model.eval()
    from peft import PeftModel

    try:
        adapted = PeftModel.from_pretrained(model, str(adapter))
    except Exception as error:
        raise ModelError(f"{adapter} holds no usable adapter: {first_line(error)}") from error
    return cast("PreTrainedModel", adapted.eval())


def load_weights(where: Path, dtype: str = "auto", **loading: Any) -> PreTrainedModel:
    """A folder's causal language model, from safetensors and without running any code of its own.

    Args:
        loading: what transformers' `from_pretrained` also takes.

    Raises:
        ModelError: the folder holds no such model.
    """
    from transformers import AutoModelForCausalLM

    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            where, dtype=dtype, use_safetensors=True, trust_remote_code=False, local_files_only=True, **loading
        )
    except Exception as error:
        raise ModelError(f"{where} holds no usable causal language model: {first_line(error)}") from error
    return model


def read_manifest(adapter: Path) -> Manifest:
    """Read a version's manifest.json.

    Raises:
        ModelError: it is missing or damaged.
    """
    try:
        return Manifest.model_validate_json((adapter / "manifest.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError, UnicodeDecodeError):
        raise ModelError(f"{adapter}/manifest.json is missing or damaged: this is no complete version") from None


def write_manifest(adapter: Path, manifest: Manifest) -> None:
    """Write a version's manifest.json."""
    # Not sorted: the order of a schema's properties is the order in which the model was taught to write them.
    values = manifest.model_dump(mode="json", by_alias=True)
    write_text(adapter / "manifest.json", json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def check_adapter(base: Path, adapter: Path) -> None:
    """Refuse an adapter that was made for another base or whose weights changed since.

    Raises:
        ModelError: saying which of the two hashes differs.
    """
    manifest = read_manifest(adapter)
    reference = read_base(base)
    if manifest.base.sha256 != reference.sha256:
        raise ModelError(
            f"{adapter} was trained on base {manifest.base.sha256[:12]}, but {base} is {reference.sha256[:12]}: "
            "use the base that the version names, or train again"
        )
    found = tensor_hash(adapter)
    if manifest.adapter_sha256 != found:
        named = ", ".join(file.name for file in sorted(adapter.glob("*.safetensors")))
        raise ModelError(
            f"{adapter}/{named}: the weights' hash is {found[:12]}, the manifest says {manifest.adapter_sha256[:12]}: "
            "the file is damaged; fetch the version again"
        )


def tensor_hash(folder: Path) -> str:
    """SHA-256 over every tensor of a folder's safetensors: names, dtypes, shapes and bytes, in sorted order.

    Unlike a file hash it does not move with metadata or sharding.

    Raises:
        ModelError: there are no safetensors, or one cannot be read.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(f"{folder} holds no .safetensors file")
    entries: list[tuple[str, bytes]] = []
    for file in files:
        try:
            for tensor in tensors.read(file):
                digest = hashlib.sha256(f"{tensor.name}|{tensor.dtype}|{tensor.shape}|".encode())
                digest.update(tensor.content)
                entries.append((tensor.name, digest.digest()))
        except (tensors.TensorFileError, OSError) as error:
            raise ModelError(f"{file} cannot be read: {first_line(error)}") from None
    total = hashlib.sha256()
    for _, digest_bytes in sorted(entries):
        total.update(digest_bytes)
    return total.hexdigest()


def first_line(error: BaseException) -> str:
    """The first line of an exception's text, for one-line messages."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
