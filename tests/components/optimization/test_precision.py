"""What products are computed in, by a timer that the test holds."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch

from components.config import places
from components.optimization import precision
from components.optimization.precision import Name, Shape, decide, measured


class Stopwatch:
    """Tokens take as long as a product at the given GFLOP/s; counts how often it was asked."""

    def __init__(self, float32: float, bfloat16: float) -> None:
        self.rates = {"float32": float32, "bfloat16": bfloat16}
        self.asked: list[tuple[Shape, int, Name]] = []

    def __call__(self, shape: Shape, tokens: int, name: Name) -> float:
        self.asked.append((shape, tokens, name))
        return 2 * tokens * shape[0] * shape[1] / self.rates[name] / 1e9


def model(width: int = 64) -> torch.nn.Module:
    return torch.nn.Sequential(
        *(torch.nn.Linear(width, width) for _ in range(3)), torch.nn.Linear(width, 4 * width), torch.nn.ReLU()
    )


@pytest.mark.parametrize(
    ("float32", "bfloat16", "taken"),
    [(300, 150, "float32"), (100, 250, "bfloat16"), (100, 109, "float32"), (100, 112, "bfloat16")],
)
def test_the_faster_one_is_taken_and_near_ties_go_to_float32(float32: float, bfloat16: float, taken: str) -> None:
    assert measured(model(), 512, 2, Stopwatch(float32, bfloat16)) == taken


def test_the_first_answer_stays_and_nothing_is_timed_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert measured(model(), 512, 2, Stopwatch(100, 250)) == "bfloat16"
    assert "bfloat16; products of this model: float32 100 GFLOP/s, bfloat16 250 GFLOP/s, measured now" in caplog.text
    later = Stopwatch(300, 150)
    assert measured(model(), 512, 2, later) == "bfloat16"
    assert later.asked == []
    assert "measured before" in caplog.text


@pytest.mark.parametrize("changes", [{"tokens": 256}, {"threads": 1}, {"model": model(32)}])
def test_another_model_batch_or_number_of_threads_is_measured_by_itself(changes: dict[str, object]) -> None:
    same = {"model": model(), "tokens": 512, "threads": 2}
    assert measured(**same, timer=Stopwatch(100, 250)) == "bfloat16"  # type: ignore[arg-type]
    assert measured(**{**same, **changes}, timer=Stopwatch(300, 150)) == "float32"  # type: ignore[arg-type]


def test_another_processor_is_measured_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measured(model(), 512, 2, Stopwatch(100, 250)) == "bfloat16"
    monkeypatch.setattr(precision, "processor", lambda: "another one")
    assert measured(model(), 512, 2, Stopwatch(300, 150)) == "float32"
    assert measured(model(), 512, 2, Stopwatch(100, 250)) == "float32"
    assert len(json.loads((places().home / "precision.json").read_text())) == 2


@pytest.mark.parametrize("damage", ["{broken", "[]", '{"x": 3}'])
def test_a_damaged_file_of_answers_is_measured_anew(damage: str) -> None:
    file = places().home / "precision.json"
    file.parent.mkdir(parents=True)
    file.write_text(damage)
    assert measured(model(), 512, 2, Stopwatch(100, 250)) == "bfloat16"
    assert measured(model(), 512, 2, Stopwatch(300, 150)) == "bfloat16"


def test_what_is_timed_are_the_models_own_layers_in_small_enough_products() -> None:
    watch = Stopwatch(100, 250)
    measured(model(), 100_000, 2, watch)
    assert {shape for shape, _, _ in watch.asked} == {(64, 64), (256, 64)}
    assert {tokens for _, tokens, _ in watch.asked} == {precision.TOKENS}
    large = {(8192, 4096): 1}
    precision.rate(large, 1024, "float32", watch)
    assert 2 * 8192 * 4096 * watch.asked[-1][1] <= precision.OPERATIONS


def test_a_real_measurement_gives_a_time() -> None:
    assert 0 < precision.seconds((64, 64), 32, "float32") < 10


def test_a_small_model_and_a_processor_without_instructions_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "measured", lambda *_: "bfloat16")
    monkeypatch.setattr(precision, "has_instructions", lambda: True)
    assert decide("auto", model(), 512, 2) == "float32"
    monkeypatch.setattr(precision, "SMALL", 10)
    assert decide("auto", model(), 512, 2) == "bfloat16"
    assert decide("float32", model(), 512, 2) == "float32"
    monkeypatch.setattr(precision, "has_instructions", lambda: False)
    assert decide("auto", model(), 512, 2) == "float32"
    assert decide("bfloat16", model(), 512, 2) == "bfloat16"


def test_what_is_recorded_with_a_version_rules_while_it_is_rebuilt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "SMALL", 10)
    monkeypatch.setattr(precision, "has_instructions", lambda: True)
    monkeypatch.setattr(precision, "seconds", Stopwatch(300, 150))
    assert decide("auto", model(), 512, 2) == "float32"
    monkeypatch.setenv(precision.RECORDED, "bfloat16")
    assert decide("auto", model(), 512, 2) == "bfloat16"
    monkeypatch.setenv(precision.RECORDED, "")
    assert decide("auto", model(), 512, 2) == "float32"


def test_the_processor_has_a_name_and_the_answer_lies_in_the_home() -> None:
    assert torch.__version__ in precision.processor()
    measured(model(), 512, 2, Stopwatch(100, 250))
    assert Path(places().home / "precision.json").exists()
