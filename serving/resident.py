"""The versions that are loaded, each on the engine of its base.

Loading takes seconds and happens one version after the other; switching and dropping take no time
and never wait for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.models import ModelError
from serving.engine.interface import Engine
from serving.parity import Parity, prove
from serving.versions import Served, Versions, read_base, read_served

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Source:
    """A version that can be brought here. Its registry record, behind two functions."""

    version: str
    base_sha256: str
    folder: Callable[[], Path]
    base: Callable[[], Path]
    created: int = 0
    """When it was registered, in Unix seconds."""
    elsewhere: Callable[[Engine], Served] | None = None
    """Makes the version answerable where nothing of it is here: a fixed model of an upstream server."""
    trial: tuple[str, float] | None = None
    """Id of its trial and share of the users, where it is the canary."""


class Resident:
    """What is in memory: versions that proved themselves, and the engines that they share with others of their base."""

    def __init__(self, versions: Versions, make_engine: Callable[[Path], Engine], drain_seconds: float) -> None:
        self._versions = versions
        self._make_engine = make_engine
        self._drain_seconds = drain_seconds
        self._loading = threading.RLock()
        """Held while a version is loaded: one after the other."""
        self.changing = threading.RLock()
        """Held while versions are switched or dropped, which never waits for one that is being loaded."""
        self._engines: dict[str, Engine] = {}
        """Hash of a base → the engine that holds it."""
        self._bases: dict[str, str] = {}
        """Loaded version → hash of the base it stands on."""
        self._base: dict[str, Served] = {}
        """Hash → that base as a model of its own."""
        self.parity: dict[str, Parity] = {}

    @property
    def engines(self) -> list[Engine]:
        """Engines that run now: one a base."""
        return list(self._engines.values())

    def stands_on(self, sha256: str) -> bool:
        """Whether this base is in memory."""
        return sha256 in self._engines

    def loaded(self, version: str) -> Served | None:
        """The version, if it is in memory."""
        return next((served for served in self._versions.all() if served.version == version), None)

    @contextmanager
    def held(self, source: Source) -> Iterator[None]:
        """Within, the version is loaded and nothing is dropped. Loads it first if need be, while others are switched.

        Raises:
            ModelError, EngineError, RegistryError: it cannot be loaded.
        """
        with self.changing:
            if self.loaded(source.version) is not None:
                yield
                return
        with self._loading:
            if self.loaded(source.version) is None:
                with self.changing:
                    self._bases[source.version] = source.base_sha256  # keeps its base's engine meanwhile
                try:
                    self._load(source)
                except BaseException:
                    with self.changing:
                        self._bases.pop(source.version, None)
                        self.drop_unused_engines()
                    raise
            with self.changing:
                yield

    def _load(self, source: Source) -> None:
        if source.elsewhere is not None:
            self._versions.add(source.elsewhere(self._engine(source)))
            return
        folder = source.folder()
        engine = self._engine(source)
        engine.load(source.version, folder)
        try:
            served = read_served(self._versions.task, source.version, folder, engine, _tokenizer(folder))
            parity = prove(served, folder)
            if not parity.holds:
                raise ModelError(f"the parity proof fails: {parity.problem}")
        except BaseException:
            engine.unload(source.version)
            raise
        self.parity[source.version] = parity
        self._versions.add(served)

    def _engine(self, source: Source) -> Engine:
        """The engine of the version's base; a new base is loaded beside the old one."""
        engine = self._engines.get(source.base_sha256)
        if engine is None:
            folder = source.base()
            engine = self._make_engine(folder)
            with self.changing:
                self._engines[source.base_sha256] = engine
            if source.elsewhere is not None:
                return engine
            self._base[source.base_sha256] = read_base(self._versions.task, folder, engine)
            if self._versions.champion is None:
                self._versions.add(self._base[source.base_sha256])
        return engine

    def show_base(self, sha256: str) -> None:
        """`base` means this one from now on, if it is a model that can be asked."""
        if (base := self._base.get(sha256)) is not None:
            self._versions.add(base)

    def drop(self, version: str) -> None:
        """Forget a version; its engine stays until `drop_unused_engines`."""
        served = self.loaded(version)
        if served is None:
            return
        self._versions.remove(version)
        self.parity.pop(version, None)
        self._bases.pop(version, None)
        served.engine.unload(version)

    def drop_unused_engines(self) -> None:
        """An engine goes when none of the kept versions stands on its base; it finishes its requests first."""
        champion = self._versions.champion
        for sha256 in [sha for sha in self._engines if sha not in self._bases.values()]:
            engine = self._engines[sha256]
            if champion is None or champion.engine is engine:
                continue
            del self._engines[sha256]
            self._base.pop(sha256, None)
            threading.Thread(target=engine.close, args=(self._drain_seconds,), daemon=True).start()


def _tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    from serving.engine.torch_engine import load_version_tokenizer

    return load_version_tokenizer(folder)
