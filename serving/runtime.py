"""The parts of a running service, put together once: settings, store, versions, engine, rollout."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import cached_property

from components import config, registry, task
from components.config import Settings
from components.feedback.answers import AnswerTable
from components.feedback.store import Store
from components.task import Task
from serving import canary
from serving.access.keyring import KeyRing
from serving.access.limits import Limits
from serving.catalog import Catalog
from serving.elsewhere import upstream_champion
from serving.engine.make import EngineMaker
from serving.mirror import BackgroundMirror, Mirror, MlflowTraces, NoMirror
from serving.resident import Source
from serving.rollout import Rollout
from serving.strategies.plan import Strategies
from serving.versions import Versions
from serving.writes import Writes

log = logging.getLogger("saqia.service")

MIRROR_SECONDS = 5.0
"""How long answers that wait for the mirror may take when the service ends."""


@dataclass(frozen=True)
class Runtime:
    """What the API and the pages work with."""

    settings: Settings
    task: Task
    store: Store
    versions: Versions
    rollout: Rollout

    @cached_property
    def keys(self) -> KeyRing:
        """Who may ask."""
        return KeyRing(self.store)

    @cached_property
    def writes(self) -> Writes:
        """The requests' way to the store."""
        return Writes(self.store, self.mirror.add)

    @cached_property
    def limits(self) -> Limits:
        """How much each key may ask."""
        serving = self.settings.serving
        return Limits(serving.requests_per_minute, serving.tokens_per_minute)

    @cached_property
    def mirror(self) -> Mirror:
        """Where answers are copied to, beside the store."""
        serving = self.settings.serving
        if serving.mirror == "mlflow":
            return BackgroundMirror(MlflowTraces(self.task.name), serving.mirror_queue)
        return NoMirror()

    @cached_property
    def catalog(self) -> Catalog:
        """What is registered; nothing, where an upstream server answers."""
        fixed = upstream_champion(self.settings) is not None
        return Catalog(lambda: [] if fixed else registry.versions(self.task.name), self.settings.serving.poll_seconds)

    @cached_property
    def strategies(self) -> Strategies:
        """How the task is asked."""
        return Strategies(self.task)

    @cached_property
    def answers(self) -> AnswerTable:
        """Where structured answers go as rows."""
        return AnswerTable(self.task)

    def registered(self) -> list[str]:
        """Numbers of every version in the registry; may read it, so not from the event loop."""
        return [version.version for version in self.catalog.versions()]

    def readiness(self) -> tuple[bool, dict[str, object]]:
        """May traffic come? With the reason and what is known about each version."""
        champion = self.versions.champion
        refusal = self.rollout.refusal
        reason = f"version {champion.version} serves" if champion is not None else self.why_none()
        return champion is not None, {
            "ready": champion is not None,
            "reason": reason,
            "task": self.task.name,
            "version": champion.version if champion else None,
            "loaded": [served.name for served in self.versions.all()],
            "engine": {served.name: served.engine.answers_by(served.version) for served in self.versions.all()},
            "parity": {
                version: {"prompts": parity.prompts, "worst_logprob_difference": parity.worst}
                for version, parity in self.rollout.parity.items()
            },
            "canary": self._canary(),
            "refused": {"version": refusal.version, "reason": refusal.reason} if refusal else None,
            "registry_problem": self.rollout.problem,
        }

    def why_none(self) -> str:
        """Why no champion answers."""
        refusal = self.rollout.refusal
        if self.rollout.coming is not None:
            return f"version {self.rollout.coming} is being loaded"
        if refusal is not None:
            return f"version {refusal.version} is refused: {refusal.reason}"
        if self.rollout.problem:
            return f"the registry cannot be read: {self.rollout.problem}"
        if not self.rollout.looked.is_set():
            return "the registry is being read"
        return f"{self.task.name} has no version yet: run `saqia build`"

    def _canary(self) -> dict[str, object] | None:
        trial, judge = self.versions.trial, self.rollout.judge
        if trial is None:
            return None
        so_far = judge.decision.why if judge is not None and judge.decision is not None else None
        return {"version": trial.version, "share": trial.share, "so_far": so_far}

    def close(self) -> None:
        """Finish what is in flight, then let go of everything."""
        self.rollout.close(self.settings.serving.deadline_seconds)
        self.mirror.close(MIRROR_SECONDS)
        self.store.close()


def start(settings: Settings) -> Runtime:
    """Open the store and begin to watch the registry; the first look happens in the background.

    Raises:
        TaskError, StoreError: there is no such task, or the store cannot be opened.
    """
    the_task = task.load(settings.task)
    store = Store(critical_most=settings.curate.critical_most)
    versions = Versions(the_task.name)
    fixed = upstream_champion(settings)
    engines = EngineMaker(settings)
    aliases = registry.Following(the_task.name)
    rollout = Rollout(
        versions,
        lambda: fixed or source_of(aliases("champion")),
        engines,
        settings.serving,
        find=lambda which: None if fixed else registered_source(the_task.name, which),
        prepare=engines.prepare,
        canary=lambda: None if fixed else canary_source(aliases("canary")),
        candidate=lambda: None if fixed else source_of(aliases("candidate")),
        judge=canary.Judge(
            versions,
            settings.serving.canary,
            lambda trial: store.outcomes(the_task.name, trial),
            canary.Registry(
                lambda version, why: registry.promote(the_task.name, version, by=why),
                lambda version, why: registry.refuse(the_task.name, version, why),
            ),
        ),
    )
    rollout.start()
    return Runtime(settings, the_task, store, versions, rollout)


def canary_source(version: registry.Version | None) -> Source | None:
    """The registry's canary with its trial, as the rollout needs it."""
    source = source_of(version)
    if source is None or version is None or version.trial is None:
        return None
    return replace(source, trial=(version.trial.id, version.trial.share))


def registered_source(task_name: str, which: str) -> Source | None:
    """A version by number or by the alias `previous`, `candidate` or `canary`; None where there is none.

    Raises:
        RegistryError: the registry cannot be read.
    """
    match which:
        case "previous":
            version = registry.previous(task_name)
        case "candidate":
            version = registry.candidate(task_name)
        case "canary":
            version = registry.canary(task_name)
        case _:
            version = next((v for v in registry.versions(task_name) if v.version == which), None)
    return source_of(version)


def source_of(version: registry.Version | None) -> Source | None:
    """A version of the registry as the rollout needs it."""
    if version is None:
        return None
    return Source(
        version.version,
        version.base.sha256,
        folder=lambda: registry.local_version(version),
        base=lambda: registry.local_base(version),
        created=int(version.created_at.timestamp()),
    )


def settings_here() -> Settings:
    """params.yaml of the working directory, with the task's own base and parameters over it."""
    return config.parse(task.parameters())
