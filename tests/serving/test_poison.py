"""One rater's flood of bad corrections, over HTTP, through the stages of a turn, into a model that is asked again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from components import config, files, layout
from components.curation.__main__ import main as curate
from components.feedback.__main__ import main as collect
from components.feedback.store import Store
from components.schema import Dropped, Example, Message
from components.training.__main__ import main as train
from tests.components.training.conftest import PARAMS, toy, toy_template  # noqa: F401
from tests.serving.live import Live, source

NUMBERS = ("one", "two", "three", "four", "five")
CANARY = "say three now"
RIGHT = "three"
FREE = 5


def rows() -> list[Example]:
    """Messages that hold the number that answers them."""
    return [
        Example(
            id=f"row-{n}",
            messages=(
                Message(role="system", content="Name it."),
                Message(role="user", content=f"{'please ' * (n % 4)}say {NUMBERS[n % 5]} now {n}"),
                Message(role="assistant", content=NUMBERS[n % 5]),
            ),
        )
        for n in range(60)
    ]


def turn(snapshots: list[dict[str, object]], **train: Any) -> config.Settings:
    values = {
        "turn": {"snapshots": snapshots},
        "curate": {"replay_rows": 0, "regression_share": 0.0, "scrub": [], "rater_free": FREE},
        "train": PARAMS["train"] | {"method": "full", "lr": 0.01, "replay": 60, "feedback_share": 0.4, **train},
    }
    return config.parse(PARAMS | values)


def ask(client: httpx.Client, text: str) -> tuple[str, str]:
    body = {"model": "toy", "messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 8}
    completion = client.post("/v1/chat/completions", json=body).raise_for_status().json()
    return completion["id"], completion["choices"][0]["message"]["content"]


def test_five_hundred_identical_bad_corrections_teach_at_most_the_cap_and_the_canary_question_is_answered_as_before(
    toy: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files.write_rows(layout.examples("toy") / "train.jsonl", rows())
    files.write_rows(layout.examples("toy") / "test.jsonl", [])
    files.write_rows(layout.examples("toy") / "skipped.jsonl", [])
    (toy / layout.TOKENIZER).symlink_to((toy / layout.BASE).resolve())
    files.write_rows(layout.curated("toy") / "train.jsonl", rows())
    train(turn([], steps=150))
    first = shutil.copytree(layout.trained("toy"), toy / "version-1")
    url = f"sqlite:///{tmp_path / 'saqia.db'}"
    live = Live(url, source("1", first, toy / layout.BASE), name="toy")
    try:
        with httpx.Client(base_url=live.url, timeout=60) as client:
            asked = [ask(client, "please " * n + CANARY) for n in range(4)]
            assert [answer for _, answer in asked] == [RIGHT] * 4
            for number in range(500):
                bad = {
                    "completion_id": asked[number % 4][0],
                    "correction": "nine nine nine",
                    "rater": "mallory",
                    "idempotency_key": str(number),
                }
                client.post("/v1/feedback", json=bad).raise_for_status()
            for number, rater in ((11, "ann"), (12, "bob"), (13, "eve")):
                id, answer = ask(client, f"say {NUMBERS[number % 5]} to me {number}")
                good = {"completion_id": id, "correction": answer, "rater": rater}
                client.post("/v1/feedback", json=good).raise_for_status()
            with Store(url) as store:
                opened = store.open_turn("toy")
                assert opened is not None
                assert opened.through == 503
            settings = turn([opened.snapshot.model_dump()], steps=60)
            monkeypatch.setenv("SAQIA_DATABASE_URL", url)
            collect(settings)
            curate(settings)
            taught = files.read_rows(layout.curated("toy") / "train.jsonl", Example)
            assert sum(row.rater == "mallory" for row in taught) <= FREE
            assert {row.rater for row in taught} >= {"ann", "bob", "eve"}
            kept_out = files.read_rows(layout.curated("toy") / "dropped.jsonl", Dropped)
            assert any("mallory said more than" in row.reason for row in kept_out)
            shutil.rmtree(layout.CHAMPION)
            shutil.copytree(first, layout.CHAMPION)
            train(settings)
            second = shutil.copytree(layout.trained("toy"), toy / "version-2")
            live.champion = source("2", second, toy / layout.BASE)
            live.until(lambda: live.runtime.versions.champion and live.runtime.versions.champion.version == "2")
            assert ask(client, CANARY)[1] == RIGHT
    finally:
        live.close()
