"""The trial of a canary: what becomes of its answers, and what follows from that.

A request for TASK goes to the canary or to the champion by its user (`Versions.resolve`), and its answer is
stored with the trial's id. At every look at the registry the outcomes of both are compared
(components/canary.py); the verdict moves the registry's alias, which the rollout then follows as ever.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from components.canary import Decision, Outcome, decide
from components.config import CanarySettings
from components.models import first_line
from components.sentences import say
from serving.versions import Served, Trial, Versions

log = logging.getLogger("saqia.canary")


@dataclass(frozen=True)
class Registry:
    """What a verdict does: both take the version and the reason, and are safe to repeat."""

    promote: Callable[[str, str], object]
    withdraw: Callable[[str, str], object]


class Judge:
    """Counts errors, looks at what people said, and decides."""

    def __init__(
        self,
        versions: Versions,
        settings: CanarySettings,
        outcomes: Callable[[str], Mapping[str, tuple[int, int]]],
        registry: Registry,
    ) -> None:
        self._versions = versions
        self._settings = settings
        self._outcomes = outcomes
        self._registry = registry
        self._lock = threading.Lock()
        self._errors: Counter[tuple[str, str]] = Counter()
        """(trial, version) → requests that ended in an error and so left no answer."""
        self.decision: Decision | None = None
        """Of the running trial, at the last look."""

    def failed(self, served: Served) -> None:
        """A request ended in an error of ours."""
        if served.trial is not None:
            with self._lock:
                self._errors[served.trial, served.version] += 1

    def look(self) -> None:
        """Compare, and act on it. Never raises: what fails now is tried again at the next look."""
        trial, champion = self._versions.trial, self._versions.champion
        if trial is None or champion is None:
            self.decision = None
            return
        try:
            canary, other = self.outcomes(trial, champion)
            self.decision = decide(canary, other, self._settings)
            if self.decision.what == "withdraw":
                self.withdraw(trial.version, self.decision.why)
            elif self.decision.what == "promote":
                self._registry.promote(trial.version, say("by_canary", why=self.decision.why))
                log.info("canary %s is promoted: %s", trial.version, self.decision.why)
        except Exception as error:
            log.warning("the canary %s cannot be judged now: %s", trial.version, first_line(error))

    def withdraw(self, version: str, why: str) -> None:
        """Take a version out of the running: at once here, then in the registry."""
        self._versions.try_out(None)
        self._registry.withdraw(version, say("withdrawn", why=why))
        log.warning("canary %s is withdrawn: %s", version, why)

    def outcomes(self, trial: Trial, champion: Served) -> tuple[Outcome, Outcome]:
        """Of the canary and of the champion, in this trial."""
        found = self._outcomes(trial.id)
        return self._with_errors(trial, trial.version, found), self._with_errors(trial, champion.version, found)

    def _with_errors(self, trial: Trial, version: str, found: Mapping[str, tuple[int, int]]) -> Outcome:
        answers, failures = found.get(version, (0, 0))
        with self._lock:
            errors = self._errors[trial.id, version]
        return Outcome(answers + errors, failures + errors)
