"""One seed's wheel, in a process of its own within a copy of the project: `python -m benchmarks.turns.wheel FOLDER`.

Everything that decides is the project's own: the flows `build` and `improve` run as `saqia build` and `saqia improve`
run them, against a Prefect server that this process starts. The people's feedback goes straight into the store instead
of over HTTP. FOLDER holds plan.json and project/, the copy; state.json and truth/ appear in it. Run again, it goes on.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from benchmarks.turns import families, people
from benchmarks.turns.answering import Scores, answer
from benchmarks.turns.families import OLD, Draws
from benchmarks.turns.plan import Plan, State
from benchmarks.turns.truth import Gain, judge, stratified, truth
from benchmarks.wheel_workspace import set_params
from components import config, layout, registry
from components.feedback.store import Answered, Store
from components.files import read_rows
from components.registry import Version
from components.schema import Example, Feedback, Interaction
from components.scoring import score
from components.task import load as load_task
from flows.progress import Listener
from flows.results import Result

TASK = "intake"
ATTEMPTS = 3
"""At a turn that fails; the flow carries on where it was."""


class Broken(RuntimeError):
    """The project's own part failed; the message is its own."""


class Wheel:
    """The copy's wheel and what is known of it."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.plan = plan
        self.state = State(folder)
        self.task = load_task(TASK)
        self.settings = config.parse(yaml.safe_load(layout.PARAMS.read_text()))
        self.places = config.places()
        self.known, later = self._families()
        self.came = families.order(plan.seed, later)
        self.draws = Draws(plan.seed, self.known, later)
        self.scores = Scores(folder / "truth", self.draws, self.task, self.settings)

    def _families(self) -> tuple[Any, Any]:
        return families.split()

    # The project's own parts --------------------------------------------------------------

    def flow(self, name: str, reason: str) -> tuple[Any, float, dict[str, float]]:
        """Run `build` or `improve`; return its final state, its seconds, and those of the stages that ran."""
        from flows import progress
        from flows.build import build
        from flows.improve import improve

        watch = _Watch()
        began = time.perf_counter()
        with progress.listening(watch):
            state = {"build": build, "improve": improve}[name](task=TASK, reason=reason, return_state=True)
        return state, time.perf_counter() - began, watch.seconds

    def build(self) -> None:
        """Version 1."""
        if "build" in self.state.values:
            return
        state, seconds, stages = self.flow("build", "benchmarks.turns")
        if not state.is_completed():
            raise Broken(f"build: {state.message}")
        self.state.values["build"] = {"seconds": seconds, "stages": stages, "version": self.served().version}
        self.state.save()

    def served(self) -> Version:
        """The champion."""
        champion = registry.champion(TASK)
        if champion is None:
            raise Broken("nothing serves: the build made no champion")
        return champion

    # One turn -----------------------------------------------------------------------------

    def turn(self, number: int) -> None:
        """Messages, answers, people, improve, and the truth of it; what is done already is not done again."""
        turns: list[dict[str, Any]] = self.state.values["turns"]
        if len(turns) < number:
            turns.append({"turn": number, "family": self.brings(number)})
        entry = turns[number - 1]
        if "feedback" not in entry:
            entry |= self.collect(number)
            self.state.save()
        if "decision" not in entry:
            entry |= self.improve(number, entry["versions"])
            self.state.save()
        if "truth" not in entry:
            entry["truth"] = self.truth(number, entry)
            entry["scores"] = self.look(number, self.served())
            self.state.save()

    def brings(self, number: int) -> str:
        """The family that a turn brings."""
        return self.came[number - 1].name

    def messages(self, number: int) -> list[Example]:
        """The messages of a turn; those of earlier turns are drawn again to keep apart from them."""
        sets = [read_rows(self.examples(s.name), Example) for s in self.task.sets]
        seen = families.written([row for rows in sets for row in rows])
        self.draws.rows(OLD, self.plan.truth)
        for family in self.came:
            self.draws.rows(family.name, self.plan.truth)
        rows: list[Example] = []
        for turn in range(1, number + 1):
            name = f"{self.plan.seed}/traffic/{turn}"
            rows = families.traffic(
                name, self.weights(turn), self.plan.messages, self.known, self.came, seen, self.draws.texts
            )
        return rows

    def examples(self, name: str) -> Path:
        """A set of the task's own rows, as the build kept it."""
        return self.places.home / "examples" / TASK / f"{name}.jsonl"

    def judged(self, number: int, answers: Sequence[people.Answered]) -> list[Feedback]:
        return people.look(answers, number, self.plan.seed, self.plan.hostile_from)

    def collect(self, number: int) -> dict[str, Any]:
        """The served version answers the turn's messages; people judge the answers; both go into the store."""
        served = self.served()
        rows = self.messages(number)
        texts = answer(registry.local_base(served), registry.local_version(served), rows, self.settings)
        began = datetime(2026, 1, 1, 8, tzinfo=UTC) + timedelta(days=number)
        interactions, answers = [], []
        for place, (row, text) in enumerate(zip(rows, texts, strict=True)):
            answers.append(people.Answered(f"c-{number}-{place}", row.answer, is_right(self.task, row, text)))
            interactions.append(
                Interaction(
                    id=answers[-1].id,
                    created_at=began + timedelta(seconds=place),
                    task=TASK,
                    model_version=served.version,
                    messages=row.prompt,
                    answer=text,
                    finish_reason="stop",
                    prompt_tokens=0,
                    completion_tokens=0,
                    latency_ms=0,
                    valid=self.task.parse(text) is not None,
                )
            )
        said = self.judged(number, answers)
        with Store(self.places.database_url) as store:
            for error in store.add_answers([Answered(i) for i in interactions]):
                if error is not None:
                    raise error
            store.add_all(said)
        corrections = [event for event in said if event.kind == "correction"]
        return {
            "served_before": served.version,
            "versions": [v.version for v in registry.versions(TASK)],
            "right": sum(a.right for a in answers) / len(answers),
            "feedback": {"messages": len(rows), "events": len(said), "corrections": len(corrections)},
        }

    def improve(self, number: int, versions_before: Sequence[str]) -> dict[str, Any]:
        """Run the flow until the turn has ended: with a version and a decision, or with a reason why there is none."""
        seconds, stages, message = 0.0, dict[str, float](), ""
        whole = self.state.values.get("improving") != number
        if not (self.state.values.get("improving") == number and self._ended(versions_before)):
            self.state.values["improving"] = number
            self.state.save()
            for _ in range(ATTEMPTS):
                state, took, ran = self.flow("improve", f"benchmarks.turns: turn {number}")
                seconds, stages, message = seconds + took, stages | ran, f"{state.name}: {state.message}"
                if state.is_completed() or state.name == "Gate closed":
                    break
                print(f"turn {number}: {message}", flush=True)
            else:
                raise Broken(f"turn {number} could not be made in {ATTEMPTS} attempts: {message}")
        candidate = next((v for v in reversed(registry.versions(TASK)) if v.version not in versions_before), None)
        served = self.served()
        if candidate is None:
            return {"decision": "stopped", "message": message, "seconds": seconds, "stages": stages, "timed": False}
        promoted = served.version == candidate.version
        return {
            "decision": "promoted" if promoted else "refused",
            "candidate": candidate.version,
            "reasons": list(candidate.verdict.reasons),
            "comparisons": [c.model_dump(mode="json") for c in candidate.verdict.comparisons],
            "rebroken": len(candidate.verdict.rebroken),
            "seconds": seconds,
            "stages": stages,
            "timed": whole and "train" in stages,  # else a killed run did a part of it, or DVC's cache had it
        }

    def _ended(self, versions_before: Sequence[str]) -> bool:
        """Whether a killed run had come to the end of the turn."""
        with Store(self.places.database_url) as store:
            is_open = any(turn.state == "open" for turn in store.turns(TASK))
        made = [v for v in registry.versions(TASK) if v.version not in versions_before]
        return bool(made) and not is_open

    # Its truth ----------------------------------------------------------------------------

    def score(self, version: Version, counts: Mapping[str, int]) -> dict[str, list[bool]]:
        """Which rows of the independent draw a version answers rightly."""
        return self.scores.of(
            version.sha256[:16], registry.local_base(version), registry.local_version(version), counts
        )

    def weights(self, number: int) -> dict[str, float]:
        """Of which kinds the turn's messages were."""
        return families.mixture(number, [family.name for family in self.came])

    def counts(self, number: int) -> dict[str, int]:
        """Rows a kind that a verdict's truth rests on: `truth` of the old, the new, and all earlier kinds together."""
        earlier = [family.name for family in self.came[: number - 1]]
        counts = {OLD: self.plan.truth, self.came[number - 1].name: self.plan.truth}
        return counts | {name: -(-self.plan.truth // len(earlier)) for name in earlier}

    def guards(self, number: int) -> dict[str, dict[str, float]]:
        """What was known before the turn: the old kinds, and the earlier families together."""
        earlier = [family.name for family in self.came[: number - 1]]
        return {OLD: {OLD: 1.0}, **({"earlier families": dict.fromkeys(earlier, 1.0)} if earlier else {})}

    def truth(self, number: int, entry: Mapping[str, Any]) -> dict[str, Any] | None:
        """The candidate beside the champion that it was compared with; None where no candidate was made."""
        if "candidate" not in entry:
            return None
        champion = registry.get(TASK, entry["served_before"])
        candidate = registry.get(TASK, entry["candidate"])
        counts = self.counts(number)
        before, after = self.score(champion, counts), self.score(candidate, counts)
        pairs = {kind: (before[kind], after[kind]) for kind in counts}
        target = stratified(pairs, self.weights(number))
        guards = {name: stratified(pairs, weights) for name, weights in self.guards(number).items()}
        is_better = truth(target, list(guards.values()), candidate.verdict.delta)
        return {
            "is": is_better,
            "judgement": judge(entry["decision"] == "promoted", is_better),
            "target": numbers(target),
            "guards": {name: numbers(guard) for name, guard in guards.items()},
        }

    def look(self, number: int, version: Version) -> dict[str, float]:
        """Exact match of a version a kind; families that no verdict rests on yet are looked at briefly."""
        counts = dict.fromkeys([family.name for family in self.came], self.plan.glance) | self.counts(number)
        return {kind: sum(right) / len(right) for kind, right in self.score(version, counts).items()}

    def whole(self, version: Version) -> dict[str, float]:
        """Exact match of a version on every kind, with rows enough to compare it with another one."""
        return self.whole_of(version.sha256[:16], registry.local_base(version), registry.local_version(version))

    def whole_of(self, name: str, base: Path, adapter: Path) -> dict[str, float]:
        """The same of a model that is no version; `name` is its own."""
        counts = {OLD: self.plan.truth, **{family.name: max(1, self.plan.truth // 5) for family in self.came}}
        scored = self.scores.of(name, base, adapter, counts)
        return {kind: sum(right) / len(right) for kind, right in scored.items()}

    def run(self) -> None:
        """Every turn, and the references at the end."""
        from benchmarks.turns.oracle import oracle

        with said("build"):
            self.build()
        if self.plan.objective != "sft":
            set_params(Path(), {"train.objective": self.plan.objective})
        for number in range(1, self.plan.turns + 1):
            with said(f"turn {number}"):
                self.turn(number)
            print(line_of(self.state.values["turns"][number - 1]), flush=True)
        values = self.state.values
        if "final" not in values:
            values["first"] = self.whole(registry.get(TASK, values["build"]["version"]))
            values["final"] = self.whole(self.served())
            self.state.save()
        if "oracle" not in values and self.plan.objective == "sft":
            with said("oracle"):
                values["oracle"] = oracle(self)
            self.state.save()
        values["done"] = True
        self.state.save()


class _Watch(Listener):
    """Seconds of the stages that a flow ran; whatever else a flow tells is heard by nobody."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def line(self, stage: str, text: str) -> None:
        return

    def finished(self, result: Result) -> None:
        if result.outcome == "ran":
            self.seconds[result.name] = round(result.seconds, 1)


def is_right(task: Any, row: Example, text: str) -> bool:
    return score(task, "traffic", row, text).exact


def numbers(gain: Gain) -> dict[str, float]:
    return {name: round(value, 5) for name, value in vars(gain).items()}


def line_of(entry: Mapping[str, Any]) -> str:
    """A turn in one line."""
    real = entry.get("truth")
    of = f"{real['judgement']} (truly {real['is']}, gain {real['target']['gain']:+.3f})" if real else ""
    return f"turn {entry['turn']} ({entry['family']}): {entry['decision']} in {entry['seconds']:.0f} s; {of}"


@contextmanager
def said(what: str) -> Iterator[None]:
    print(f"begin {what}", flush=True)
    yield
    print(f"end {what}", flush=True)


def in_copy(folder: Path, body: Callable[[Path, Plan], None]) -> None:
    """Run `body(folder, plan)` in the copy, with a Prefect server and the copy's own places."""
    folder = folder.resolve()
    plan = Plan.model_validate_json((folder / "plan.json").read_text())
    os.chdir(folder / "project")
    from flows import environment, stack
    from flows.by_hand import prefect_server, quiet_prefect

    root = environment.project_root()
    places = stack.where_it_runs(config.places(root))
    environment.enter(places)
    quiet_prefect()
    with prefect_server(root, places):
        body(folder, plan)


def main() -> None:
    """Run the plan of a folder."""

    def body(folder: Path, plan: Plan) -> None:
        if plan.kind == "turns":
            Wheel(folder, plan).run()
        elif plan.kind == "demo":
            from benchmarks.turns.demo import Demo

            Demo(folder, plan).run()
        else:
            from benchmarks.turns.planted import Planted

            Planted(folder, plan).run()

    try:
        in_copy(Path(sys.argv[1]), body)
    except Broken as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
