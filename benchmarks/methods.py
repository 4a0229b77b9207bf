"""What preferences and rewards are worth on the default task, and what they cost the old tests.

    python -m benchmarks.methods [--objectives sft dpo kto …] [--set train.rl.rounds=30 …] [--keep FOLDER]

Run it where a version has been built (`dvc repro`; from the cache after `saqia demo`). That version meets messages that
put things in ways which nothing has taught: the generator's unseen phrasings, drawn anew, none of them a near copy of a
message of any test set. It answers about four in five of them rightly, and each objective goes on from it:

sft               a simulated person (the generator's truth) corrects the wrong answers; they are taught beside old rows
dpo, kto, orpo    the same corrections as pairs, each over the answer that was served; old rows are the anchor
thumbs            kto without any correction: what was served, good where it was right and bad where it was wrong
grpo, rloo, ppo   no right answer is taught: answers are rewarded by `train.rl.rewards`, to those of the messages of
                  which the version is unsure (two answers drawn at temperature 1.5 are not equally good)

What is shown is measured on other new messages, of which nothing was taught (target), and on old sets. With --keep the
comparisons and every result stay in a folder, a second run adds to them, and the table shows all.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml
from rich.console import Console
from rich.table import Table

from components import chat, config, layout
from components.evaluation.generation import generate, load_merged
from components.evaluation.preferences import prefers
from components.files import read_rows, write_rows
from components.models import load_tokenizer
from components.schema import Example, Judged, Message, Preference, content_id
from components.scoring import score
from components.task import Task
from components.task import load as load_task
from components.training.rl.rewards import Answered, chosen, worth
from components.training.rl.rollouts import Rollouts, look, sample

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

REWARD = ("grpo", "rloo", "ppo")
SHOWN = ("sft", "dpo", "kto", "thumbs", "orpo", *REWARD)
KL_ROWS = 300
DRAWN_AT = 1.5
"""Temperature of the two answers that show of what the version is unsure: at 1 it says the same nine times in ten."""


def new_messages(task: Task, seed: int, taken: Sequence[str], count: int) -> list[Example]:
    """Messages in phrasings that are never taught, each with its truth; no near copies of each other or of `taken`."""
    from tasks.intake.distinct import Seen
    from tasks.intake.known_families import KNOWN
    from tasks.intake.message import draw

    seen, rng = Seen(), random.Random(f"{seed}/methods")
    rows: list[Example] = []
    for text in taken:
        seen.add(text)
    while len(rows) < count:
        case = draw(rng, rng.choice(KNOWN), unseen=True)
        if not seen.has(case.text):
            seen.add(case.text)
            answer = Message(role="assistant", content=task.normalise(case.note.model_dump_json()))
            messages = (*task.prompt(case.text), answer)
            rows.append(Example(id=content_id("methods", case.text), messages=messages, group=case.family))
    return rows


class Model:
    """A version that can be asked."""

    def __init__(self, task: Task, settings: config.Settings, adapter: Path) -> None:
        self.task, self.settings = task, settings
        self.tokenizer: PreTrainedTokenizerBase = load_tokenizer(layout.BASE)
        self.model: PreTrainedModel = load_merged(layout.BASE, adapter)
        self.end = chat.end_of_turn_id(self.tokenizer)

    def prompts(self, rows: Sequence[Example]) -> list[list[int]]:
        """Token ids."""
        return [list(ids) for ids in chat.prompts_ids(self.tokenizer, [row.prompt for row in rows])]

    def text(self, ids: Sequence[int]) -> str:
        """Of an answer."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def answers(self, rows: Sequence[Example]) -> list[str]:
        """The likeliest ones."""
        most = self.settings.evaluate.max_new_tokens
        drafts = chat.answers_ids(self.tokenizer, [row.answer for row in rows])
        found = generate(self.model, self.prompts(rows), end=self.end, max_new_tokens=most, drafts=drafts)
        return [self.text(ids) for ids in found]

    def drawn(self, rows: Sequence[Example], copies: int, temperature: float, seed: int) -> tuple[Rollouts, list[str]]:
        """`copies` answers to each."""
        most = self.settings.evaluate.max_new_tokens
        rollouts, ids, _ = sample(
            self.model,
            self.prompts(rows),
            end=self.end,
            max_new_tokens=most,
            copies=copies,
            temperature=temperature,
            seed=seed,
        )
        return rollouts, [self.text(answer) for answer in ids]


def fields(task: Task, row: Example, answer: str) -> float:
    """Share of an answer's fields that are right: how two answers to one message are compared."""
    return sum(score(task, "methods", row, answer).fields.values()) / len(task.parse(row.answer) or "-")


def corrections(model: Model, rows: Sequence[Example]) -> list[Preference]:
    """The right answer over the one that is served, wherever that is wrong: the pairs that a turn makes."""
    served = model.answers(rows)
    return [
        Preference(
            id=row.id, prompt=row.prompt, chosen=row.answer, rejected=text, source="human", rater="simulated-person"
        )
        for row, text in zip(rows, served, strict=True)
        if text.strip() and not score(model.task, "methods", row, text).exact
    ]


def thumbs(rows: Sequence[Example], pairs: Sequence[Preference]) -> list[Judged]:
    """Every served answer by itself: right ones up, wrong ones down, which are those that `pairs` reject."""
    wrong = {pair.id: pair.rejected for pair in pairs}
    return [
        Judged(
            id=row.id,
            prompt=row.prompt,
            answer=wrong.get(row.id, row.answer),
            desirable=row.id not in wrong,
            source="human",
            rater="simulated-person",
        )
        for row in rows
    ]


def unsure(model: Model, rows: Sequence[Example], seed: int) -> list[Example]:
    """The rows to which two drawn answers are not equally good: there is something to tell apart."""
    found = []
    for start in range(0, len(rows), 100):
        part = rows[start : start + 100]
        _, texts = model.drawn(part, 2, DRAWN_AT, seed + start)
        both = zip(part, texts[::2], texts[1::2], strict=True)
        found += [row for row, one, other in both if fields(model.task, row, one) != fields(model.task, row, other)]
    return found


def measure(model: Model, sets: dict[str, list[Example]], heldout: list[Preference]) -> dict[str, Any]:
    """Everything that is shown of one version; `answers` are those to the target."""
    task = model.task
    answers = {name: model.answers(rows) for name, rows in sets.items()}
    found: dict[str, Any] = {
        name: sum(score(task, name, row, text).exact for row, text in zip(rows, answers[name], strict=True)) / len(rows)
        for name, rows in sets.items()
    }
    found["answers"] = answers["target"]
    found["prefers"] = sum(prefers(model.model, model.tokenizer, heldout)) / len(heldout)
    rewards = chosen(task, model.settings.train.rl.rewards)
    given = [Answered(row, text, True) for row, text in zip(sets["target"], answers["target"], strict=True)]
    found["reward"] = sum(worth(rewards, given)["reward"]) / len(given)
    return found


@torch.inference_mode()
def divergence(model: Model, before: Model, rows: Sequence[Example]) -> float:
    """KL(version ‖ the one it went on from) of whole answers, in nats: the mean log-ratio of answers that it draws."""
    total, rows = 0.0, rows[:KL_ROWS]
    for start in range(0, len(rows), 100):
        rollouts, _ = model.drawn(rows[start : start + 100], 1, 1.0, start)
        there = look(before.model, rollouts, 1.0)
        total += float(((rollouts.logprobs - there.logprobs) * rollouts.mask).sum())
    return total / len(rows)


def prepare(folder: Path, project: Path, changes: dict[str, Any], taught: int, heldout: int) -> None:
    """Everything that the trainings read, and what the version at hand shows before them, in `folder`."""
    settings = changed(project, changes)
    if settings.task != "intake":
        sys.exit("benchmarks.methods: it draws messages by the generator of task intake; set task: intake")
    for path in (layout.BASE, layout.adapter("intake"), layout.examples("intake"), layout.curated("intake")):
        if not (project / path).is_dir():
            sys.exit(f"benchmarks.methods: {project / path} is missing: build a version first (dvc repro)")
    for source, place in (
        (Path("tasks"), Path("tasks")),
        (layout.BASE, layout.BASE),
        (layout.adapter("intake"), layout.CHAMPION),
        (layout.examples("intake"), layout.examples("intake")),
    ):
        shutil.copytree(project / source, folder / place)
    old = {
        name: read_rows(project / layout.curated("intake") / f"{name}.jsonl", Example) for name in ("train", "replay")
    }
    os.chdir(folder)
    task = load_task("intake")
    taken = [row.question for path in layout.examples("intake").glob("*.jsonl") for row in _rows(path)]
    rows = new_messages(task, settings.seed, taken, taught + heldout)
    learn, target = rows[:taught], rows[taught:]
    model = Model(task, settings, layout.CHAMPION)
    began = time.perf_counter()
    pairs, tested = corrections(model, learn), corrections(model, target)
    write_rows(Path("new.jsonl"), learn)
    write_rows(Path("unsure.jsonl"), unsure(model, learn, settings.seed))
    write_rows(Path("target.jsonl"), target)
    write_rows(Path("old.jsonl"), [row for row in old["train"] if row.source == "task"])
    write_rows(Path("replay.jsonl"), old["replay"])
    write_rows(Path("pairs.jsonl"), pairs)
    write_rows(Path("pairs_heldout.jsonl"), tested)
    found = measure(model, sets(), tested) | {"seconds": time.perf_counter() - began, "kl": 0.0}
    Path("before.json").write_text(json.dumps(found))


def _rows(path: Path) -> list[Example]:
    return [] if path.stem in ("skipped", "train") else read_rows(path, Example)


def sets() -> dict[str, list[Example]]:
    """What is answered: of the new messages those that nothing was taught of, and the old guards."""
    return {
        "target": read_rows(Path("target.jsonl"), Example),
        "test": read_rows(layout.examples("intake") / "test.jsonl", Example),
        "replay": read_rows(Path("replay.jsonl"), Example),
    }


def changed(folder: Path, changes: dict[str, Any]) -> config.Settings:
    """params.yaml of a folder with changes by dotted key."""
    values = yaml.safe_load((folder / layout.PARAMS).read_text())
    for key, value in changes.items():
        section = values
        *path, last = key.split(".")
        for part in path:
            section = section[part]
        section[last] = value
    return config.parse(values)


def trained(objective: str, project: Path, changes: dict[str, Any]) -> dict[str, Any]:
    """Train from the version at hand in the working directory, by stage `train`; what it shows."""
    named = "kto" if objective == "thumbs" else objective
    settings = changed(project, changes | {"train.objective": named, "train.start": "champion"})
    layout.PARAMS.write_text(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False))
    curated = layout.curated("intake")
    curated.mkdir(parents=True, exist_ok=True)
    new, old, asked = (read_rows(Path(f"{name}.jsonl"), Example) for name in ("new", "old", "unsure"))
    pairs = read_rows(Path("pairs.jsonl"), Preference)
    if objective == "sft":
        wrong = {pair.id for pair in pairs}
        old += [row.model_copy(update={"source": "correction"}) for row in new if row.id in wrong]
    write_rows(curated / "train.jsonl", asked if objective in REWARD else old)
    write_rows(curated / "preferences.jsonl", [] if objective == "thumbs" else pairs)
    write_rows(curated / "judged.jsonl", thumbs(new, pairs) if objective == "thumbs" else [])
    write_rows(curated / "judged_heldout.jsonl", [])
    for name, file in (("replay", "replay"), ("pairs_heldout", "preferences_heldout")):
        shutil.copy2(f"{name}.jsonl", curated / f"{file}.jsonl")
    here = {"SAQIA_HOME": str(Path.cwd() / ".saqia"), "MLFLOW_TRACKING_URI": f"sqlite:///{Path.cwd()}/mlflow.db"}
    paths = os.pathsep.join([str(project), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "components", "training"],
        env=os.environ | here | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{objective}: {done.stderr[-2000:]}")
    task = load_task("intake")
    after = Model(task, settings, layout.trained("intake"))
    found = measure(after, sets(), read_rows(Path("pairs_heldout.jsonl"), Preference))
    before = Model(task, settings, layout.CHAMPION)
    found["kl"] = divergence(after, before, sets()["target"])
    found["seconds"] = json.loads((layout.training("intake") / "metrics.json").read_text())["seconds"]
    return found


def table(before: dict[str, Any], results: dict[str, dict[str, Any]]) -> Table:
    """One line an objective, beside what all of them went on from."""
    target, task = read_rows(Path("target.jsonl"), Example), load_task("intake")
    columns = ("objective", "prefers", "win / tie / loss", "reward", "KL", "target", "test", "replay", "seconds")
    shown = Table(*columns, title="held out: pairs, answers better than before, reward, nats an answer, exact match")

    def line(name: str, found: dict[str, Any], wins: str) -> None:
        exact = (f"{found[each]:.3f}" for each in ("target", "test", "replay"))
        numbers = (f"{found['prefers']:.3f}", wins, f"{found['reward']:.3f}", f"{found['kl']:.2f}", *exact)
        shown.add_row(name, *numbers, f"{found['seconds']:.0f}")

    line("before", before, "")
    for name in sorted(results, key=lambda name: (SHOWN.index(name.split()[0]), name)):
        found = results[name]
        gains = [
            fields(task, row, new) - fields(task, row, old)
            for row, new, old in zip(target, found["answers"], before["answers"], strict=True)
        ]
        won, lost = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
        line(name, found, f"{won} / {len(gains) - won - lost} / {lost}")
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objectives", nargs="*", choices=SHOWN, default=SHOWN)
    parser.add_argument("--set", dest="changes", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--messages", type=int, nargs=2, default=(2000, 500), metavar=("TAUGHT", "HELD_OUT"))
    parser.add_argument("--keep", type=Path, help="keep comparisons and results here")
    parser.add_argument("--as", dest="said", default="", help="add this to the objective's name in the table")
    given = parser.parse_args()
    changes = {key: yaml.safe_load(value) for key, value in (change.split("=", 1) for change in given.changes)}
    project = Path.cwd()
    folder = given.keep.resolve() if given.keep else Path(tempfile.mkdtemp(prefix="saqia-methods-"))
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(changed(project, changes).threads)
    try:
        if not (folder / "before.json").exists():
            prepare(folder, project, changes, *given.messages)
        os.chdir(folder)
        for objective in given.objectives:
            found = trained(objective, project, changes)
            name = f"{objective} {given.said}".strip()
            Path(f"result {name}.json").write_text(json.dumps(found))
        results = {
            path.stem.removeprefix("result "): json.loads(path.read_text()) for path in Path().glob("result *.json")
        }
        files = [Path(f"{name}.jsonl") for name in ("new", "pairs", "unsure", "target", "pairs_heldout")]
        counts = [len(file.read_text(encoding="utf-8").splitlines()) for file in files]
        console = Console(width=130, highlight=False)
        console.print("new: {} messages, {} corrected, {} unsure; held out: {} messages, {} corrected".format(*counts))
        console.print(table(json.loads(Path("before.json").read_text()), results))
    finally:
        os.chdir(project)
        if not given.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
