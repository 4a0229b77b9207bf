"""Objective kto on answers that were judged one by one, without a counterpart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components import config, layout
from components.files import DataError, sha256_of, write_rows
from components.optimization import loop
from components.schema import Judged
from components.training.__main__ import main
from components.training.judged import both
from tests.components.training.conftest import settings
from tests.components.training.test_preference import VERSION, pairs


def alone(start: int, count: int) -> list[Judged]:
    """To each prompt one answer only: a right one, or a question mark that nobody corrected."""
    return [row for number, row in enumerate(both(pairs(start, count))) if number % 4 in (0, 3)]


@pytest.fixture
def judged(toy: Path) -> Path:
    """The toy with judged answers and not one pair."""
    curated = layout.curated("toy")
    write_rows(curated / "judged.jsonl", alone(100, 60))
    write_rows(curated / "judged_heldout.jsonl", alone(200, 20))
    for file in ("preferences", "preferences_heldout"):
        write_rows(curated / f"{file}.jsonl", [])
    return toy


def kto(steps: int = 30, beta: float | None = None, **train: object) -> config.Settings:
    wanted = {"steps": steps, "lr": 0.01, "anchor": 1.0, "beta": beta}
    return settings(**{"objective": "kto", "method": "full", "preference": wanted} | train)


def metrics() -> dict[str, float]:
    found: dict[str, float] = json.loads((layout.training("toy") / "metrics.json").read_text())
    return found


def test_held_out_good_answers_gain_more_than_bad_ones_to_the_same_bits_after_an_interruption(
    judged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = kto(checkpoint_every=5)
    main(wanted)
    first, shown = sha256_of(VERSION), metrics()
    assert (shown["examples"], shown["heldout_judged"], shown["heldout_pairs"]) == (60, 20, 0)
    assert shown["heldout_judged_accuracy"] >= 0.9
    assert shown["heldout_desirable_gain"] > shown["heldout_undesirable_gain"] + 1
    looks = loop.Watch.look

    def interrupted(self: loop.Watch, step: int, *measured: object) -> None:
        if step == 17:
            raise KeyboardInterrupt
        looks(self, step, *measured)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop.Watch, "look", interrupted)
        main(wanted)
    assert list((config.places().home / "checkpoints").rglob("checkpoint.pt"))
    main(wanted)
    assert sha256_of(VERSION) == first


def test_without_a_beta_it_is_content_where_the_papers_goes_on_to_push_bad_answers_away(judged: Path) -> None:
    main(kto(steps=60))
    content = metrics()
    main(kto(steps=60, beta=0.1))
    pushed = metrics()
    assert content["heldout_judged_accuracy"] >= 0.9
    assert pushed["heldout_undesirable_gain"] < content["heldout_undesirable_gain"] - 5


def test_answers_kept_out_say_which_step_was_the_best(judged: Path) -> None:
    main(kto(steps=12, validation_rows=10, validation_every=2))
    assert metrics()["best_step"] in range(2, 13, 2)


def test_with_nothing_judged_it_says_where_answers_come_from(judged: Path) -> None:
    write_rows(layout.curated("toy") / "judged.jsonl", [])
    with pytest.raises(DataError, match=r"no pair.*no judged answer, and train\.objective is kto: .* tasks/toy/"):
        main(kto())
