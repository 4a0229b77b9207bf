"""The API over real HTTP in this process: real engine, real store, version folders instead of a registry."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import uvicorn

from components import config, models, task
from components.feedback.store import Store
from serving.api.app import create_app
from serving.canary import Judge, Registry
from serving.engine.make import EngineMaker
from serving.resident import Source
from serving.rollout import Rollout
from serving.runtime import Runtime
from serving.versions import Versions
from tests.waiting import until


def source(version: str, folder: Path, base: Path) -> Source:
    """What the registry would say of a version folder."""
    return Source(version, models.read_base(base).sha256, lambda: folder, lambda: base)


class Live:
    """A running API; `champion` is what the registry's alias would point to, `changes` go into the task."""

    def __init__(
        self,
        store_url: str,
        champion: Source | None,
        changes: dict[str, object] | None = None,
        name: str = "intake",
        curate: dict[str, object] | None = None,
        **serving: object,
    ) -> None:
        self.champion = champion
        self.registered: dict[str, Source] = {}
        """What the registry would say of a number or alias."""
        settings = config.parse(
            {"threads": 1, "curate": curate or {}, "serving": {"engine": "torch", "poll_seconds": 0.05, **serving}}
        )
        the_task = task.load(name).model_copy(update=changes or {})
        versions = Versions(the_task.name)
        self.canary: Source | None = None
        """What the registry's alias `canary` would point to."""
        self.candidate: Source | None = None
        """What the registry's alias `candidate` would point to."""
        self.verdicts: list[tuple[str, str, str]] = []
        """What was done about canaries: promoted or withdrawn, the version, why."""
        store = Store(store_url)
        judge = Judge(
            versions,
            settings.serving.canary,
            lambda trial: store.outcomes(the_task.name, trial),
            Registry(self.promote, self.withdraw),
        )
        rollout = Rollout(
            versions,
            lambda: self.champion,
            EngineMaker(settings),
            settings.serving,
            self.find,
            canary=lambda: self.canary,
            judge=judge,
            candidate=lambda: self.candidate,
        )
        self.runtime = Runtime(settings, the_task, store, versions, rollout)
        self.app = create_app(settings.serving.max_body_mb, self.runtime)
        self.server = uvicorn.Server(uvicorn.Config(self.app, port=0, log_level="warning"))
        self._thread = threading.Thread(target=self.server.run, daemon=True)
        rollout.start()
        self._thread.start()
        self.until(lambda: self.server.started)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        if champion is not None:
            self.until(lambda: versions.champion is not None or rollout.refusal is not None)

    def promote(self, version: str, why: str) -> None:
        """As the registry does: the canary becomes the champion."""
        assert self.canary is not None
        assert self.canary.version == version
        self.champion, self.canary = self.canary, None
        self.verdicts.append(("promoted", version, why))

    def withdraw(self, version: str, why: str) -> None:
        """As the registry does: it is canary no longer."""
        self.canary = None
        self.verdicts.append(("withdrawn", version, why))

    def find(self, which: str) -> Source | None:
        """The registry's answer."""
        return self.registered.get(which)

    @staticmethod
    def until(condition: Callable[[], object], seconds: float = 180) -> None:
        """Wait for something that another thread does."""
        until(condition, "what another thread does", seconds, every=0.02)

    def close(self) -> None:
        self.server.should_exit = True
        self._thread.join(10)
        self.runtime.close()
