"""What can be asked for by name: the base, the loaded versions, and the alias that moves.

TASK                    whatever serves now: the champion, and for a share of the users the canary
TASK@champion           the champion
TASK@canary             the version that is tried on a share of the traffic
TASK@3                  version 3; loaded when it is first asked for
TASK@previous           the champion before this one, and what `saqia rollback` brings back
TASK@candidate          the version that waits for a decision
base                    the base model without any adapter
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components import chat, label_head, models
from components.schema import Message
from serving.engine.interface import BASE, Engine

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Served:
    """One model that answers, with everything needed to ask it."""

    task: str
    version: str
    """Registered version, or `base`."""
    engine: Engine
    tokenizer: PreTrainedTokenizerBase
    """The API's own copy: the engine decodes with another one on its own thread."""
    system: str
    fingerprint: str
    """Changes with the weights: OpenAI's `system_fingerprint`."""
    created: int = field(default_factory=lambda: int(time.time()))
    schema: Mapping[str, Any] | None = None
    """JSON schema of its answers, as its manifest has it."""
    has_labels: bool = False
    """It answers by a label head: with one of its labels, whatever is asked."""
    trial: str | None = None
    """The canary's trial that chose this version for a request; None where nothing had to be chosen."""

    @property
    def name(self) -> str:
        """How the API calls it: `intake@3` or `base`."""
        return BASE if self.version == BASE else f"{self.task}@{self.version}"

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together."""
        return self.engine.context(self.version)

    def with_system(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """The conversation as the model was taught it: the task's system message first, unless the client sent one."""
        if self.system and not any(message.role == "system" for message in messages):
            return (Message(role="system", content=self.system), *messages)
        return tuple(messages)

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Token ids that ask for the next assistant turn."""
        return chat.prompt_ids(self.tokenizer, messages)


def read_served(task: str, version: str, folder: Path, engine: Engine, tokenizer: PreTrainedTokenizerBase) -> Served:
    """A version as its manifest describes it."""
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    digest = hashlib.sha256(f"{manifest['base']['sha256']} {manifest['adapter_sha256']}".encode()).hexdigest()
    system = str(manifest.get("system") or "")
    schema = manifest.get("schema") and in_taught_order(manifest["schema"])
    has_labels = label_head.there(folder)
    return Served(task, version, engine, tokenizer, system, f"fp_{digest[:12]}", schema=schema, has_labels=has_labels)


def in_taught_order(schema: Any) -> Any:
    """A JSON schema with its properties in the order of `required`, then the others.

    Grammars write properties in the order in which the schema has them, and manifests were once
    written with sorted keys: a model held to another order than it was taught answers worse.
    """
    if isinstance(schema, list):
        return [in_taught_order(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    ordered = {key: in_taught_order(part) for key, part in schema.items()}
    properties, required = ordered.get("properties"), ordered.get("required")
    if isinstance(properties, dict) and isinstance(required, list):
        first = {name: properties[name] for name in required if name in properties}
        ordered["properties"] = first | properties
    return ordered


def read_base(task: str, folder: Path, engine: Engine) -> Served:
    """The bare base; it gets no system message, since it was taught none."""
    reference = models.read_base(folder)
    return Served(task, BASE, engine, models.load_tokenizer(folder), "", f"fp_{reference.sha256[:12]}")


ALIASES = ("previous", "candidate", "canary")
"""Names that move, beside `champion`, and are looked up in the registry when a request uses them."""


@dataclass(frozen=True)
class Trial:
    """A version that answers a share of the task's users."""

    id: str
    version: str
    share: float

    def takes(self, key: str) -> bool:
        """Whether the canary answers this user (or conversation): always the same in one trial, others in the next."""
        drawn = int.from_bytes(hashlib.sha256(f"{self.id}|{key}".encode()).digest()[:8])
        return drawn < self.share * 2**64


class UnknownModel(LookupError):
    """No such model is loaded; the message names those that are."""


class NoVersionYet(LookupError):
    """The task has no champion yet: there is nothing to answer with."""


class Versions:
    """The names that clients may use now. The rollout changes them; requests read them."""

    def __init__(self, task: str) -> None:
        self.task = task
        self._lock = threading.Lock()
        self._served: dict[str, Served] = {}
        self._champion: str | None = None
        self._trial: Trial | None = None

    def add(self, served: Served) -> None:
        """Make a model answer under its own name."""
        with self._lock:
            self._served[served.version] = served

    def remove(self, version: str) -> None:
        """No new request may name it."""
        with self._lock:
            if version == self._champion:
                raise ValueError(f"version {version} is the champion")
            if self._trial is not None and version == self._trial.version:
                self._trial = None
            self._served.pop(version, None)

    def switch(self, version: str | None) -> None:
        """From now on `TASK` means this version."""
        with self._lock:
            assert version is None or version in self._served, f"version {version} is not loaded"
            self._champion = version
            if self._trial is not None and version == self._trial.version:
                self._trial = None

    def try_out(self, trial: Trial | None) -> None:
        """From now on `TASK` means the trial's version for its share of the users; None ends the trial."""
        with self._lock:
            assert trial is None or trial.version in self._served, f"version {trial and trial.version} is not loaded"
            self._trial = trial

    @property
    def trial(self) -> Trial | None:
        """The trial that runs now."""
        with self._lock:
            return self._trial

    def instead_of(self, served: Served) -> Served | None:
        """What answers a request that the canary could not: the champion, outside the trial; None for any other."""
        champion = self.champion
        if served.trial is None or champion is None or served.version == champion.version:
            return None
        return champion

    @property
    def champion(self) -> Served | None:
        """What `TASK` means now."""
        with self._lock:
            return self._served[self._champion] if self._champion is not None else None

    def all(self) -> list[Served]:
        """Every loaded model, the base first."""
        with self._lock:
            return sorted(self._served.values(), key=lambda s: (s.version != BASE, len(s.version), s.version))

    def names(self) -> list[str]:
        """Every name that `resolve` takes now."""
        names = [served.name for served in self.all()]
        return names + ([self.task, f"{self.task}@champion"] if self.champion else [])

    def helps(self, name: str) -> bool:
        """Does the name stand for the task (or an alias of it), rather than for one version or the base?"""
        task, _, which = name.partition("@")
        return task == self.task and which in ("", "champion", *ALIASES)

    def registered(self, name: str) -> str | None:
        """The number or alias that a name means in the registry: `3` for `intake@3`; None where it means none."""
        task, at, which = name.partition("@")
        number = which.isascii() and which.isdigit() and len(which) <= 9 and not which.startswith("0")
        return which if task == self.task and at and (number or which in ALIASES) else None

    def resolve(self, name: str, user: str | None = None) -> Served:
        """The model that a request's `model` names; while a canary is tried, `user` decides what the task means.

        Without a user it means the champion, and the answer is no part of the trial.

        Raises:
            NoVersionYet: the task has no champion.
            UnknownModel: no such model is loaded.
        """
        if name in (self.task, f"{self.task}@champion"):
            if (champion := self.champion) is None:
                raise NoVersionYet(f"{self.task} has no version that answers")
            with self._lock:
                trial = self._trial
                if trial is None or user is None or name != self.task:
                    return champion
                chosen = self._served[trial.version] if trial.takes(user) else champion
            return replace(chosen, trial=trial.id)
        for served in self.all():
            if name == served.name:
                return served
        raise UnknownModel(f"The model '{name}' does not exist; models here: {', '.join(self.names()) or 'none yet'}.")
