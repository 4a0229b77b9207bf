"""The step loop: resuming, stopping, reporting."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
import torch

from components.optimization import loop, optimizers
from components.optimization.checkpoints import Checkpoints, digest_of
from components.stage import StageError


def _model() -> torch.nn.Sequential:
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))


def _loss(model: torch.nn.Module, batch: torch.Tensor) -> tuple[torch.Tensor, int]:
    return ((model(batch) - batch.sum(dim=1, keepdim=True)) ** 2).mean(), len(batch)


def _batch(step: int) -> torch.Tensor:
    return torch.randn(4, 4, generator=torch.Generator().manual_seed(step))


def _plan(steps: int, **changes: object) -> loop.Plan[torch.Tensor]:
    values: dict[str, object] = {
        "section": "train", "steps": steps, "warmup": 0.1, "seed": 3, "batch": _batch, "loss": _loss,
    }  # fmt: skip
    return loop.Plan(**(values | changes))  # type: ignore[arg-type]


class _Killed(Exception):
    pass


def _train(steps: int, checkpoints: Checkpoints | None, killed_at: int | None = None) -> list[torch.Tensor]:
    model = _model()

    def batch(step: int) -> torch.Tensor:
        if step == killed_at:
            raise _Killed
        return _batch(step)

    loop.fit(model, optimizers.muon(model, 0.05), _plan(steps, batch=batch), checkpoints)
    return [parameter.detach() for parameter in model.parameters()]


@pytest.mark.parametrize("killed_at", [1, 5, 6, 11])
def test_killed_at_any_step_and_resumed_it_ends_at_the_same_bits_dropout_included(
    killed_at: int, tmp_path: Path
) -> None:
    unkilled = _train(12, None)
    checkpoints = Checkpoints("a", every=3, home=tmp_path)
    with pytest.raises(_Killed):
        _train(12, checkpoints, killed_at)
    assert checkpoints.file.exists() == (killed_at > 3)
    for one, other in zip(unkilled, _train(12, checkpoints), strict=True):
        assert torch.equal(one, other)


def test_a_torn_checkpoint_is_put_aside_and_training_starts_anew(tmp_path: Path) -> None:
    checkpoints = Checkpoints("a", every=3, home=tmp_path)
    with pytest.raises(_Killed):
        _train(12, checkpoints, 7)
    checkpoints.file.write_bytes(checkpoints.file.read_bytes()[:500])
    for one, other in zip(_train(12, None), _train(12, checkpoints), strict=True):
        assert torch.equal(one, other)


def test_other_inputs_never_find_the_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text("a")
    before = digest_of(seed=1, rows=tmp_path / "rows")
    assert before == digest_of(rows=tmp_path / "rows", seed=1)
    assert before != digest_of(seed=2, rows=tmp_path / "rows")
    (tmp_path / "rows").write_text("b")
    assert before != digest_of(seed=1, rows=tmp_path / "rows")


def test_a_loss_that_is_no_number_stops_with_the_step_and_the_key_to_lower() -> None:
    def loss(model: torch.nn.Module, batch: torch.Tensor) -> tuple[torch.Tensor, int]:
        value, tokens = _loss(model, batch)
        return value * (math.nan if batch[0, 0] == _batch(4)[0, 0] else 1.0), tokens

    model = _model()
    with pytest.raises(StageError, match=r"step 5: the loss is nan.*lower train\.lr"):
        loop.fit(model, optimizers.adamw(model, 1e-3), _plan(10, loss=loss))


def test_a_loss_that_jumps_and_stays_stops_but_one_odd_batch_does_not() -> None:
    def jumping(from_step: int, to_step: int) -> loop.Plan[torch.Tensor]:
        steps = iter(range(100))

        def loss(model: torch.nn.Module, batch: torch.Tensor) -> tuple[torch.Tensor, int]:
            value, tokens = _loss(model, batch)
            return value * 0 + (50.0 if from_step <= next(steps) < to_step else 1.0), tokens

        return _plan(40, loss=loss)

    model = _model()
    loop.fit(model, optimizers.adamw(model, 1e-3), jumping(20, 21))
    with pytest.raises(StageError, match=r"the loss rose from 1\.00 to 50\.00"):
        loop.fit(model, optimizers.adamw(model, 1e-3), jumping(20, 40))


def test_the_learning_rate_rises_then_falls_to_nearly_nothing() -> None:
    rates = [optimizers.rate(step, 100, 0.1) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == pytest.approx(1.0)
    assert rates == sorted(rates[:10]) + sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.02


def test_losses_are_written_with_the_heldout_loss_where_it_was_measured(tmp_path: Path) -> None:
    model = _model()
    logged: dict[int, dict[str, float]] = {}
    history = loop.fit(
        model,
        optimizers.adamw(model, 1e-3),
        _plan(6, heldout=lambda _: 0.5, heldout_every=4, log_every=3, on_log=logged.__setitem__),
    )
    loop.write_losses(tmp_path / "loss.csv", history)
    with (tmp_path / "loss.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [row["step"] for row in rows] == [str(step) for step in range(1, 7)]
    assert [row["heldout"] for row in rows] == ["", "", "", "0.500000", "", "0.500000"]
    assert sorted(logged) == [3, 6]
    assert logged[6]["heldout_loss"] == 0.5
    assert history.tokens == 24


def _share(batch: torch.Tensor, rank: int, count: int) -> tuple[torch.Tensor, float]:
    return batch[rank::count], len(batch[rank::count]) / len(batch)


def test_gradient_accumulation_ends_where_the_whole_batch_ends_but_for_rounding() -> None:
    def trained(parts: int) -> tuple[list[float], int, list[torch.Tensor]]:
        torch.manual_seed(1)
        model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
        plan = _plan(12, share=_share, parts=parts)
        history = loop.fit(model, optimizers.adamw(model, 0.05), plan)
        return history.losses, history.tokens, [parameter.detach() for parameter in model.parameters()]

    losses, tokens, weights = trained(1)
    for parts in (2, 3, 4):
        found, seen, others = trained(parts)
        assert seen == tokens
        assert found == pytest.approx(losses, rel=1e-4)
        for one, other in zip(weights, others, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("rows", "replicas", "most", "parts"),
    [(16, 1, None, 1), (16, 1, 4, 4), (16, 2, 4, 2), (16, 2, 3, 3), (5, 2, 1, 2), (3, 1, 8, 1)],
)
def test_a_batch_is_divided_into_as_few_parts_as_fit(rows: int, replicas: int, most: int | None, parts: int) -> None:
    assert loop.parts(rows, replicas, most) == parts
    assert replicas * parts <= max(rows, replicas)


def _watched(patience: int | None, checkpoints: Checkpoints | None = None, killed_at: int | None = None) -> tuple[
    loop.History, list[torch.Tensor], dict[int, list[torch.Tensor]]
]:  # fmt: skip
    """Trained with a held-out loss that falls until step 6 and then rises; the weights at every look, too."""
    model, seen = _model(), dict[int, list[torch.Tensor]]()
    looks = {2: 3.0, 4: 2.0, 6: 1.0, 8: 1.5, 10: 1.0, 12: 2.0, 14: 5.0, 16: 6.0}

    def batch(step: int) -> torch.Tensor:
        if step == killed_at:
            raise _Killed
        if step % 2 == 0:
            seen[step] = [parameter.detach().clone() for parameter in model.parameters()]
        step_now.append(step)
        return _batch(step)

    step_now: list[int] = []
    plan = _plan(
        16, batch=batch, heldout=lambda _: looks[step_now[-1] + 1], heldout_every=2, keep_best=True, patience=patience
    )
    history = loop.fit(model, optimizers.muon(model, 0.05), plan, checkpoints)
    return history, [parameter.detach() for parameter in model.parameters()], seen


def test_the_best_step_is_the_result_and_patience_ends_the_training() -> None:
    history, weights, seen = _watched(patience=3)
    assert (history.best_step, len(history.losses)) == (6, 12)
    assert loop.summary(history)["best_step"] == 6
    assert loop.summary(history)["validation_loss"] == 1.0
    to_the_end, same, _ = _watched(patience=None)
    assert (to_the_end.best_step, len(to_the_end.losses)) == (6, 16)
    for one, other, then in zip(weights, same, seen[6], strict=True):
        assert torch.equal(one, other)
        assert torch.equal(one, then)


@pytest.mark.parametrize("killed_at", [5, 7, 9, 11])
def test_killed_while_it_waits_for_a_better_step_it_ends_at_the_same_bits(killed_at: int, tmp_path: Path) -> None:
    unkilled, weights, _ = _watched(patience=3)
    checkpoints = Checkpoints("a", every=3, home=tmp_path)
    with pytest.raises(_Killed):
        _watched(3, checkpoints, killed_at)
    resumed, again, _ = _watched(3, checkpoints)
    assert (resumed.best_step, resumed.losses) == (unkilled.best_step, unkilled.losses)
    for one, other in zip(weights, again, strict=True):
        assert torch.equal(one, other)
