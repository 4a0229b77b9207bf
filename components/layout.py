"""Where the pipeline's files lie, in one place. dvc.yaml names the same paths.

Everything is relative to the project's root, which is every stage's working directory.
"""

from __future__ import annotations

from pathlib import Path

PARAMS = Path("params.yaml")
CORPUS = Path("data/corpus")
"""text.jsonl and heldout.jsonl ({"text": …} a line), instruct.jsonl (Example a line)."""
TOKENIZER = Path("models/tokenizer")
PRETRAINED = Path("models/pretrained")
BASE = Path("models/base")
"""The base that adapters stand on: base.json, and for a local base the model itself."""
CHAMPION = Path("models/champion")
"""The champion's adapter folder as fetched from the registry; only `none.json` without one."""
BEST = Path("models/best")
"""The best version that ever served, where that is not the champion; else only `none.json`."""


RESERVED = frozenset({"base", "best", "champion", "corpus", "pretrained", "tokenizer"})
"""Names that no task can have, since data/, models/ or reports/ hold folders of the pipeline so called."""


def task_folder(task: str) -> Path:
    """The user's own folder: task.yaml, schema, generator or examples."""
    return Path("tasks") / task


def preferences(task: str) -> Path:
    """Pairs and judged answers that the user brought, in any form that `components/examples/preferences.py` knows."""
    return task_folder(task) / "preferences.jsonl"


def examples(task: str) -> Path:
    """One `<set>.jsonl` of Example per set (train, test, unseen, …), and skipped.jsonl."""
    return Path("data") / task / "examples"


def snapshots(task: str) -> Path:
    """`0001.jsonl`, … of FeedbackRow: one immutable file a turn; `votes-0001.jsonl` (Voted) where people voted."""
    return Path("data") / task / "snapshots"


def curated(task: str) -> Path:
    """Example rows: train.jsonl (everything to teach now: corrections beside replayed old rows),
    replay.jsonl (old rows that no adapter is
    taught; a local base's instruction tuning has met them: what replay must preserve), target.jsonl (locked feedback
    that the champion was not taught), regression.jsonl (locked in the turns it was taught), critical.jsonl (what a
    reviewer marked: no version may break it; each row stands in another file, too). tuning_target.jsonl and
    tuning_guard.jsonl choose the candidate and are no part of the verdict: locked feedback that was set aside, of the
    same turns as target, and own rows held back with that of earlier turns. Preference rows: preferences.jsonl (to
    teach) and preferences_heldout.jsonl (to show what was learned); so with Judged rows: judged.jsonl,
    judged_heldout.jsonl.
    Beside them review.jsonl (FeedbackRow waiting for a person) and dropped.jsonl (Dropped)."""
    return Path("data") / task / "curated"


def quality(task: str) -> Path:
    """Great Expectations' results: quality.json and docs/ (Data Docs)."""
    return Path("reports") / task / "quality"


def trained(task: str) -> Path:
    """What train writes: adapter, tokenizer, chat template, golden.json, manifest.json."""
    return Path("models") / task / "trained"


def adapter(task: str) -> Path:
    """The candidate, a version like `trained`: what select made of it and the champion, or the trained one itself."""
    return Path("models") / task / "adapter"


def selection(task: str) -> Path:
    """selection.json: every point that was looked at and the one that was taken; seconds.json: this machine's times."""
    return Path("reports") / task / "selection"


def training(task: str) -> Path:
    """metrics.json and loss.csv of the training."""
    return Path("reports") / task / "training"


def evaluation(task: str) -> Path:
    """verdict.json, metrics.json (flat), results.jsonl (a Score and whose), moved.jsonl (what got better, worse or
    stayed wrong), scores.csv, about.json; latency.json holds this machine's times. All but that one reproduce."""
    return Path("reports") / task / "evaluation"
