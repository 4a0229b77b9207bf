"""From the registry's alias to what answers, without a restart and without a failed request.

Every `serving.poll_seconds` the champion alias is read. A new version is fetched, loaded
beside the one that serves, proven on its golden prompts, and only then given the name.
Whatever goes wrong on the way leaves the old one serving, and says so in the log and in
/readyz. The version before stays loaded, so that a rollback is immediate; and the candidate,
which waits for a decision, is loaded already, so that its promotion is only a switch.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from components import models
from components.config import ServingSettings
from components.models import ModelError
from serving.canary import Judge
from serving.engine.interface import Engine, EngineError
from serving.parity import Parity
from serving.resident import Resident, Source
from serving.versions import Served, Trial, Versions

log = logging.getLogger("saqia.rollout")

LOOK_AGAIN_SECONDS = 0.5
"""However often somebody asks for readiness, the registry is not asked more often than this."""

KEEP = 2
"""Champions kept loaded: the one that serves and the one before it."""
RETRY_SECONDS = 30.0
"""A version that was refused is tried again this much later: its files may have been restored."""


@dataclass(frozen=True)
class Refusal:
    """Why the newest champion does not serve."""

    version: str
    reason: str
    at: float


class Rollout:
    """Keeps what is served in step with the registry; nothing else loads or drops versions.

    The champion is followed by a thread of its own. Any other registered version is loaded when a
    request names it (`find` looks it up by number or alias), and the one unused longest goes again;
    the candidate is one of these, loaded once without being named.
    """

    def __init__(
        self,
        versions: Versions,
        champion: Callable[[], Source | None],
        make_engine: Callable[[Path], Engine],
        settings: ServingSettings,
        find: Callable[[str], Source | None] = lambda _: None,
        prepare: Callable[[], None] = lambda: None,
        canary: Callable[[], Source | None] = lambda: None,
        judge: Judge | None = None,
        candidate: Callable[[], Source | None] = lambda: None,
    ) -> None:
        self._versions = versions
        self._champion = champion
        self._find = find
        self._prepare = prepare
        """What can be done towards the first version before there is one."""
        self._canary = canary
        self.judge = judge
        """Decides about the canary; without one there is none."""
        self._candidate = candidate
        self._waiting: str | None = None
        """The candidate that was last loaded, or not, as the case was."""
        self._found: dict[str, tuple[float, Source | None]] = {}
        """What `find` said of a number or alias, and when."""
        self._asked: dict[str, float] = {}
        """Versions loaded because a request named them → when that was last."""
        self._resident = Resident(versions, make_engine, settings.deadline_seconds)
        self._settings = settings
        self._recent: list[str] = []
        """Versions that were champion, the newest last."""
        self._tried: str | None = None
        """The version that was last loaded as canary."""
        self._canary_problem: str | None = None
        """Why the registry could not be asked for it at the last look."""
        self.refusal: Refusal | None = None
        self.coming: str | None = None
        """The version that is to be champion and is being loaded."""
        self.problem: str | None = None
        """Why the registry could not be read at the last look."""
        self.looked = threading.Event()
        """Set after the first look, however it ended."""
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._looked_at = 0.0
        self._thread = threading.Thread(target=self._watch, name="rollout", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def close(self, drain_seconds: float) -> None:
        """Stop watching; let the engines finish what they have."""
        self._stop.set()
        self._wake.set()
        for engine in self._resident.engines:
            engine.close(drain_seconds)
        self._thread.join(5)

    @property
    def engines(self) -> list[Engine]:
        """Engines that run now: one a base."""
        return self._resident.engines

    @property
    def parity(self) -> Mapping[str, Parity]:
        """Proof of each loaded version that its answers are those of the training side."""
        return self._resident.parity

    def look(self) -> None:
        """Read the aliases once and act on them. Never raises: the next look may find things better."""
        self._follow_champion()
        if self.judge is not None:
            self._follow_canary(self.judge)
            self.judge.look()
        self._follow_candidate()

    def _follow_canary(self, judge: Judge) -> None:
        """Load the canary beside the champion and let it answer its share; a withdrawn one goes."""
        try:
            source = self._canary()
        except Exception as error:
            if (said := models.first_line(error)) != self._canary_problem:
                log.warning("the canary cannot be read from the registry: %s; its trial goes on as it was", said)
            self._canary_problem = said
            return
        self._canary_problem = None
        champion, now = self._versions.champion, self._versions.trial
        if source is None or source.trial is None or champion is None or champion.version == source.version:
            self._versions.try_out(None)
            self._end_trial()
            return
        id, share = source.trial
        if now is not None and now.id == id:
            return
        try:
            with self._resident.held(source):
                self._tried = source.version
                self._versions.try_out(Trial(id, source.version, share))
        except Exception as error:
            with suppress(Exception):  # it will be tried, and refused, again
                judge.withdraw(source.version, f"it cannot be served: {models.first_line(error)}")
            return
        log.info("version %s is canary of %s, for %.0f%% of the users", source.version, champion.version, 100 * share)

    def _end_trial(self) -> None:
        with self._resident.changing:
            tried, self._tried = self._tried, None
            if tried is not None:
                self._drop_unless_needed(tried)
                self._resident.drop_unused_engines()

    def _follow_candidate(self) -> None:
        """Have the version that waits for a decision ready beside the champion; one that waits no longer goes."""
        try:
            source = self._candidate()
        except Exception:
            return  # following the champion has said what is wrong with the registry
        if self._versions.champion is None or (source.version if source else None) == self._waiting:
            return
        with self._resident.changing:
            before, self._waiting = self._waiting, source.version if source else None
            if before is not None:
                self._asked.pop(before, None)
                self._drop_unless_needed(before)
                self._resident.drop_unused_engines()
        # A second base is memory that its owner did not ask for: it comes with the promotion.
        if (
            source is not None
            and self._resident.stands_on(source.base_sha256)
            and self._resident.loaded(source.version) is None
        ):
            threading.Thread(target=self._get_ready, args=(source,), name="candidate", daemon=True).start()

    def _get_ready(self, source: Source) -> None:
        """Load the candidate; whatever goes wrong with it concerns nobody until it is promoted."""
        began = time.monotonic()
        try:
            with self._resident.held(source):
                self._asked[source.version] = time.monotonic()
                self._let_go()
                if self._waiting != source.version:  # decided about while it was being loaded
                    self._asked.pop(source.version, None)
                    self._drop_unless_needed(source.version)
                    return
        except Exception as error:
            if not self._stop.is_set():
                log.warning("candidate %s cannot be loaded yet: %s", source.version, models.first_line(error))
            return
        log.info("candidate %s is ready (%.2f s)", source.version, time.monotonic() - began)

    def _follow_champion(self) -> None:
        try:
            source = self._champion()
            self.problem = None
        except Exception as error:
            if self.problem is None:
                log.warning("the registry cannot be read: %s", models.first_line(error))
            self.problem = models.first_line(error)
            return
        now = self._versions.champion
        if source is None or (now is not None and now.version == source.version):
            self.refusal = None if source is None or now is not None else self.refusal
            return
        refused = self.refusal
        if refused and refused.version == source.version and time.monotonic() - refused.at < RETRY_SECONDS:
            return
        began = time.monotonic()
        self.coming = source.version
        try:
            self._bring_in(source)
        except Exception as error:
            reason = models.first_line(error)
            self.refusal = Refusal(source.version, reason, time.monotonic())
            goes_on = f"version {now.version} goes on serving" if now else "nothing serves yet"
            expected = isinstance(error, ModelError | EngineError | OSError | RuntimeError)
            log.error(
                "version %s is refused: %s; %s", source.version, reason, goes_on, exc_info=None if expected else error
            )
            return
        finally:
            self.coming = None
        self.refusal = None
        log.info(
            "version %s serves (was %s; %.2f s)",
            source.version,
            now.version if now else "none",
            time.monotonic() - began,
        )

    def find(self, which: str) -> Source | None:
        """A registered version by number or alias (`previous`, `candidate`), loaded or not; None where there is none.

        Raises:
            Exception: the registry cannot be read.
        """
        known = self._found.get(which)
        if known is None or time.monotonic() - known[0] > self._settings.poll_seconds:
            if len(self._found) > 1000:
                self._found.clear()  # a client must not fill the memory with numbers that do not exist
            known = self._found[which] = (time.monotonic(), self._find(which))
        return known[1]

    def bring(self, which: str) -> Served | None:
        """A registered version by number or alias, loaded and proven first if it is not yet; None where there is none.

        Raises:
            ModelError, EngineError, RegistryError: it cannot be served.
        """
        source = self.find(which)
        if source is None:
            return None
        if (served := self._resident.loaded(source.version)) is not None:
            return served
        with self._resident.held(source):
            if source.version not in self._recent and source.version != self._tried:
                self._asked[source.version] = time.monotonic()
            self._let_go()
            log.info("version %s is loaded because a request named it", source.version)
            return self._resident.loaded(source.version)

    def used(self, version: str) -> None:
        """A request names this version: it is not the next to go."""
        if version in self._asked:
            self._asked[version] = time.monotonic()

    def _loaded(self, version: str) -> Served | None:
        return next((served for served in self._versions.all() if served.version == version), None)

    def _watch(self) -> None:
        self.look()
        self.looked.set()
        if self._versions.champion is None and self.refusal is None:
            with suppress(Exception):  # what fails here fails again, and is said, where a version is loaded
                self._prepare()
        while True:
            self._wake.wait(self._settings.poll_seconds)
            if self._stop.is_set():
                return
            self._wake.clear()
            self.look()
            self._looked_at = time.monotonic()

    def look_soon(self) -> None:
        """Somebody wants to know what serves: look at the registry now, unless that was just done."""
        if time.monotonic() - self._looked_at > LOOK_AGAIN_SECONDS:
            self._wake.set()

    def _bring_in(self, source: Source) -> None:
        """Load, prove, switch, and let go of what is no longer needed."""
        with self._resident.held(source):
            self._versions.switch(source.version)
            self._resident.show_base(source.base_sha256)
            self._recent = [v for v in self._recent if v != source.version] + [source.version]
            self._let_go()

    def _let_go(self) -> None:
        gone = []
        while len(self._recent) > KEEP:
            gone.append(self._recent.pop(0))
        while len(self._asked) > self._settings.loaded_versions:
            oldest = min(self._asked, key=self._asked.__getitem__)
            del self._asked[oldest]
            gone.append(oldest)
        for old in gone:
            self._drop_unless_needed(old)
        self._resident.drop_unused_engines()

    def _drop_unless_needed(self, version: str) -> None:
        if not (version in self._recent or version in self._asked or version == self._tried):
            self._resident.drop(version)
