"""Bad candidates, made on purpose: none of them may be promoted.

After an honest first turn a second one is made; its folder, with what it was taught from and the champion that it was
compared with, is brought back from the version's own commit. Of it every planted candidate is a copy in which one
thing is wrong, and from there dvc.yaml's own stages run. A candidate that `select` mends is no longer bad: the
independent draw says of each what it is.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.turns import families, people
from benchmarks.turns.answering import answer
from benchmarks.turns.families import OLD
from benchmarks.turns.truth import stratified, truth
from benchmarks.turns.wheel import TASK, Broken, Wheel, is_right, line_of, numbers, said
from benchmarks.wheel_workspace import outs, run_stage, set_params, stages_from
from components import layout
from components.files import read_rows, write_rows
from components.schema import Example, Message, Verdict
from components.stage import StageError

FORGETTING_STEPS = 700
LUCKY_STEPS, LUCKY_LR = 40, 0.0003
LUCKY_ROWS, LUCKY_DRAWS = 20, 5
"""Of so many draws of so many messages, those on which the candidate happens to do best are the target."""
HOSTILE_SHARE = 0.5
"""Of the feedback, as much as one person may give (`curate.rater_share`): as if nobody had noticed."""
TEMPLATES: tuple[tuple[str, str], ...] = (
    ("<|im_start|>assistant\n", "<|im_start|>assistant"),
    ("<|im_start|>user", "<|im_start|>human"),
    ("<|im_end|>\n", "<|im_end|>"),
    ("<|im_start|>assistant\n", "<|im_start|>assistant\n\n"),
)
FEEDBACK_FILES = ("train", "target", "tuning_target")


@dataclass
class Case:
    """One planted candidate: its folder, its number among its kind, and chance."""

    folder: Path
    number: int
    rng: random.Random

    def rows(self, name: str) -> list[Example]:
        file = self.folder / layout.curated(TASK) / f"{name}.jsonl"
        return read_rows(file, Example) if file.exists() else []

    def write(self, name: str, rows: Sequence[Example]) -> None:
        file = self.folder / layout.curated(TASK) / f"{name}.jsonl"
        file.unlink(missing_ok=True)  # never through a link into a cache
        write_rows(file, rows)

    def relabel(self, change: Callable[[list[str]], list[str]]) -> None:
        """Replace the answers of the feedback rows of every file by what `change` makes of them."""
        for name in FEEDBACK_FILES:
            if not (rows := self.rows(name)):
                continue
            places = [i for i, row in enumerate(rows) if row.of_feedback]
            for place, new in zip(places, change([rows[i].answer for i in places]), strict=True):
                rows[place] = _with_answer(rows[place], new)
            self.write(name, rows)


class Planted(Wheel):
    """The honest beginning, and the candidates."""

    def run(self) -> None:
        with said("build"):
            self.build()
        for number in (1, 2):
            with said(f"turn {number}"):
                self.turn(number)
            print(line_of(self.state.values["turns"][number - 1]), flush=True)
        honest = self.honest()
        results = self.state.values.setdefault("planted", {})
        for kind in KINDS:
            for number in range(self.plan.planted):
                name = f"{kind} {number + 1}"
                if name in results:
                    continue
                with said(name):
                    results[name] = self.plant(kind, number, honest)
                print(f"{name}: {results[name]['decision']}", flush=True)
                self.state.save()
        self.state.values["done"] = True
        self.state.save()

    def honest(self) -> Path:
        """The second turn's folder as it was, from its version's commit."""
        from components import registry
        from flows import pipeline, workspace

        folder = self.state.folder / "honest"
        if folder.exists():
            return folder
        second = self.state.values["turns"][1]
        if "candidate" not in second:
            raise Broken(f"turn 2 made no candidate that bad ones could be copied from: {second['message']}")
        commit = registry.get(TASK, second["candidate"]).lineage.git_commit
        assert commit is not None
        with workspace.checked_out(Path.cwd(), commit, "honest", TASK, self.places) as made:
            pipeline.graph(made)  # which puts what DVC keeps in place
            unfinished = folder.with_name("honest-unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(made.root, unfinished, ignore=shutil.ignore_patterns(".git", "__pycache__"))
            unfinished.rename(folder)
        return folder

    def plant(self, kind: str, number: int, honest: Path) -> dict[str, Any]:
        """Make one, let the stages judge it, and say what came of it."""
        folder = self.state.folder / "candidate"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(honest, folder)
        (folder / layout.evaluation(TASK) / "verdict.json").unlink(missing_ok=True)
        case = Case(folder, number, random.Random(f"{self.plan.seed}/{kind}/{number}"))
        began = time.perf_counter()
        try:
            what = KINDS[kind](self, case)
            verdict = Verdict.model_validate_json((folder / layout.evaluation(TASK) / "verdict.json").read_text())
        except StageError as error:
            return {"kind": kind, "decision": "stopped", "reasons": [str(error)]}
        result = {
            "kind": kind,
            "what": what,
            "decision": verdict.decision,
            "reasons": list(verdict.reasons),
            "comparisons": [c.model_dump(mode="json") for c in verdict.comparisons],
            "seconds": round(time.perf_counter() - began, 1),
        }
        if kind != "broken template":  # whose answers depend on who renders the prompts
            result["truth"] = self.real(f"{kind}-{number}".replace(" ", "-"), folder, verdict.delta)
        return result

    def real(self, name: str, folder: Path, delta: float) -> dict[str, Any]:
        """What the independent draw says of a planted candidate."""
        counts = self.counts(2)
        base = folder / layout.BASE
        before = self.scores.of("planted-champion", base, folder / layout.CHAMPION, counts)
        after = self.scores.of(f"planted-{name}", base, folder / layout.adapter(TASK), counts)
        pairs = {kind: (before[kind], after[kind]) for kind in counts}
        target = stratified(pairs, self.weights(2))
        guards = {name: stratified(pairs, weights) for name, weights in self.guards(2).items()}
        return {
            "is": truth(target, list(guards.values()), delta),
            "target": numbers(target),
            "guards": {name: numbers(guard) for name, guard in guards.items()},
        }

    def stages(self, case: Case, *names: str) -> None:
        """Run stages of dvc.yaml on the candidate; without names, `train` and all after it."""
        from flows import environment

        env = {**environment.variables(self.places), "PYTHONPATH": str(case.folder)}
        import os

        for name in names or stages_from(case.folder, "train"):
            run_stage(case.folder, name, {**os.environ, **env})

    # The kinds ----------------------------------------------------------------------------

    def forgetting(self, case: Case) -> str:
        """Taught the corrections alone, with no old row beside them."""
        rows = [row for row in case.rows("train") if row.of_feedback]
        case.write("train", rows)
        set_params(case.folder, {"train.steps": FORGETTING_STEPS})
        self.stages(case)
        return f"{FORGETTING_STEPS} steps on {len(rows)} corrections without replay"

    def wrong_labels(self, case: Case) -> str:
        """Every person's answers stand beside other messages."""

        def shuffled(answers: list[str]) -> list[str]:
            return case.rng.sample(answers, len(answers))

        case.relabel(shuffled)
        self.stages(case)
        return "the answers of all feedback are shuffled"

    def hostile_rater(self, case: Case) -> str:
        """Half of the feedback has its severity turned, in what is taught as in what is tested with, and none of it
        is about a new family: there is nothing to gain but the hostile person's applause."""
        new = self.came[1].name
        for name in FEEDBACK_FILES:
            rows = case.rows(name)
            if rows:
                case.write(name, [r for r in rows if not (r.of_feedback and json.loads(r.answer)["symptom"] == new)])

        def poisoned(answers: list[str]) -> list[str]:
            return [people.turned(a) if case.rng.random() < HOSTILE_SHARE else a for a in answers]

        case.relabel(poisoned)
        self.stages(case)
        return f"{HOSTILE_SHARE:.0%} of the feedback is a hostile person's, and nobody noticed"

    def lucky_win(self, case: Case) -> str:
        """Hardly another model than the champion (taught nothing new), on the few messages that it happens to win."""
        case.write("train", [row for row in case.rows("train") if not row.id.startswith("f-2-")])
        seed = self.plan.seed + 100 + case.number
        set_params(case.folder, {"train.steps": LUCKY_STEPS, "train.lr": LUCKY_LR, "seed": seed})
        self.stages(case, "train")
        _take(outs(case.folder, "train", TASK)[0], case.folder / layout.adapter(TASK))
        rows = self.fresh(case.rng, LUCKY_ROWS * LUCKY_DRAWS)
        after, before = (
            answer(case.folder / layout.BASE, case.folder / adapter, rows, self.settings)
            for adapter in (layout.adapter(TASK), layout.CHAMPION)
        )
        gains = [
            is_right(self.task, row, new) - is_right(self.task, row, old)
            for row, new, old in zip(rows, after, before, strict=True)
        ]
        best = max(range(LUCKY_DRAWS), key=lambda d: sum(gains[d * LUCKY_ROWS : (d + 1) * LUCKY_ROWS]))
        chosen = slice(best * LUCKY_ROWS, (best + 1) * LUCKY_ROWS)
        case.write("target", [row.model_copy(update={"source": "correction"}) for row in rows[chosen]])
        self.stages(case, "evaluate")
        return f"won {sum(gains[chosen]):+d} of {LUCKY_ROWS} messages"

    def broken_template(self, case: Case) -> str:
        """The honest candidate, but served with another chat template than it was taught with."""
        import hashlib

        adapter = case.folder / layout.adapter(TASK)
        file, manifest = adapter / "chat_template.jinja", adapter / "manifest.json"
        text = file.read_text(encoding="utf-8")
        possible = [(old, new) for old, new in TEMPLATES if _in_jinja(old) in text or old in text]
        old, new = possible[case.number % len(possible)]
        changed = text.replace(_in_jinja(old), _in_jinja(new)).replace(old, new)
        _rewrite(file, changed)
        values = json.loads(manifest.read_text(encoding="utf-8"))
        values["chat_template_sha256"] = hashlib.sha256(changed.encode()).hexdigest()
        _rewrite(manifest, json.dumps(values, indent=2))
        self.stages(case, "evaluate")
        return f"{old!r} became {new!r}"

    def critical_case(self, case: Case) -> str:
        """The honest candidate, and a case marked critical that the champion has right and it has wrong."""
        broken = self.broken()
        row = broken[case.number % len(broken)].model_copy(update={"source": "correction"})
        case.write("critical", [row])
        self.stages(case, "evaluate")
        return f"breaks {row.id}"

    def broken(self) -> list[Example]:
        """Rows of the independent draw that the second turn's champion has right and its candidate wrong.

        Raises:
            StageError: there is none.
        """
        from components import registry

        entry, counts = self.state.values["turns"][1], self.counts(2)
        before = self.score(registry.get(TASK, entry["served_before"]), counts)
        after = self.score(registry.get(TASK, entry["candidate"]), counts)
        rows = [
            row
            for kind, count in counts.items()
            for row, b, a in zip(self.draws.rows(kind, count), before[kind], after[kind], strict=True)
            if b and not a
        ]
        if not rows:
            raise StageError("the honest candidate breaks nothing at all: no critical case can be made of it")
        return rows

    def fresh(self, rng: random.Random, count: int) -> list[Example]:
        """New messages of kinds that the champion knows."""
        weights = {OLD: 0.5, self.came[0].name: 0.5}
        seen = families.written([])
        return families.traffic(f"{rng.random()}", weights, count, self.known, self.came, seen, self.draws.texts)


KINDS: dict[str, Callable[[Planted, Case], str]] = {
    "forgetting": Planted.forgetting,
    "wrong labels": Planted.wrong_labels,
    "hostile rater": Planted.hostile_rater,
    "lucky win": Planted.lucky_win,
    "broken template": Planted.broken_template,
    "critical case": Planted.critical_case,
}


def _with_answer(row: Example, text: str) -> Example:
    return row.model_copy(update={"messages": (*row.prompt, Message(role="assistant", content=text))})


def _in_jinja(text: str) -> str:
    """As a template writes it inside a string."""
    return text.replace("\n", "\\n")


def _rewrite(file: Path, text: str) -> None:
    file.unlink()
    file.write_text(text, encoding="utf-8")


def _take(folder: Path, into: Path) -> None:
    """Make a trained version the candidate, past `select`."""
    if folder != into:
        shutil.rmtree(into, ignore_errors=True)
        shutil.copytree(folder, into)
