"""The step loop of every training here: deterministic, resumable to the bit, stopped by nonsense.

A step's batch and its random numbers are pure functions of the step, so a checkpoint needs no
position in a stream: weights, optimizer state and the losses so far are all.
"""

from __future__ import annotations

import csv
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import numpy as np

from components.files import replacing
from components.optimization import replicas
from components.optimization.checkpoints import Checkpoints
from components.optimization.optimizers import rate, set_rate
from components.optimization.progress import Progress
from components.stage import StageError

if TYPE_CHECKING:
    import torch

B = TypeVar("B")
Measured: TypeAlias = "tuple[torch.Tensor, int] | tuple[torch.Tensor, int, torch.Tensor]"
"""A batch's mean loss, the tokens seen, and the means of what the plan's `curves` name, if it names any."""

SPIKE_FACTOR, SPIKE_MARGIN, SPIKE_STEPS = 2.0, 2.0, 10
"""A loss this many times (and nats) above its running mean, for so many steps on end, is no learning."""


@dataclass
class History:
    """What a training has seen so far; goes into checkpoints and loss.csv."""

    losses: list[float] = field(default_factory=list)
    curves: dict[str, list[float]] = field(default_factory=dict)
    """What the loss measured beside itself, a value a step."""
    heldout: dict[int, float] = field(default_factory=dict)
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Plan(Generic[B]):
    """One training.

    `batch(step)` and `loss(model, batch)` define it; `curves` names what `loss` measures beside the loss. `section`
    is the part of params.yaml that its learning rate stands in, for messages. `share(batch, rank, count)`
    → (a part of it, that part's weight in the batch's means) divides it among `replicas` processes.
    """

    section: str
    steps: int
    warmup: float
    seed: int
    batch: Callable[[int], B]
    loss: Callable[[torch.nn.Module, B], Measured]
    share: Callable[[B, int, int], tuple[B, float]] | None = None
    replicas: int = 1
    curves: tuple[str, ...] = ()
    clip: float = 1.0
    heldout: Callable[[torch.nn.Module], float] | None = None
    heldout_every: int = 100
    log_every: int = 10
    on_log: Callable[[int, dict[str, float]], None] | None = None
    note: str = ""
    """Kept in checkpoints for whoever resumes: the id of the tracking run."""


def prepare(seed: int, threads: int) -> torch.device:
    """Make this process deterministic and say where it computes."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    # filling only shows who reads what nobody wrote, and takes 3 % of a step
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = False
    if not sys.stderr.isatty():
        from transformers.utils import logging as bars

        bars.disable_progress_bar()  # its carriage returns fill a log
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fit(
    model: torch.nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    plan: Plan[B],
    checkpoints: Checkpoints | None = None,
) -> History:
    """Train for `plan.steps` steps, from the checkpoint if there is one; leaves `model` trained.

    Raises:
        StageError: the loss is no number, or has jumped and stays there; a process beside this one died.
    """
    state = checkpoints.load() if checkpoints else None
    room = sum(parameter.numel() for parameter in trainable(model).values()) + 2 + len(plan.curves)
    with replicas.forked(plan.replicas, room):
        return _fit(model, optimizers, plan, checkpoints, state)


def _fit(
    model: torch.nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    plan: Plan[B],
    checkpoints: Checkpoints | None,
    state: dict[str, Any] | None,
) -> History:
    """The loop in each of the processes; all do the same to their weights, the first one tells of it."""
    import torch

    history, first = History(), 0
    if state is not None:
        history, first = restore(state, model, optimizers)
    watch = Watch(plan.section, plan.warmup * plan.steps)
    model.train()
    tells = replicas.rank() == 0
    progress = Progress(plan.section, plan.steps, first, shown=tells)
    before = history.seconds
    try:
        for step in range(first, plan.steps):
            share = rate(step, plan.steps, plan.warmup)
            set_rate(optimizers, share)
            loss, tokens, beside = _backward(model, plan, step)
            norm = torch.nn.utils.clip_grad_norm_(trainable(model).values(), plan.clip).item()
            watch.look(step, loss, norm)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            history.losses.append(loss)
            for name, value in zip(plan.curves, beside, strict=True):
                history.curves.setdefault(name, []).append(value)
            history.tokens += tokens
            progress.step(loss, tokens)
            history.seconds = before + progress.seconds
            done = step + 1
            if not tells:
                continue
            if plan.heldout and (done % plan.heldout_every == 0 or done == plan.steps):
                model.eval()
                history.heldout[done] = plan.heldout(model)
                model.train()
            if plan.on_log and (done % plan.log_every == 0 or done == plan.steps):
                recent = history.losses[-plan.log_every :]
                values = {"loss": sum(recent) / len(recent), "lr_share": share, "grad_norm": norm}
                values["tokens_per_second"] = progress.tokens_per_second
                for name, curve in history.curves.items():
                    values[name] = sum(curve[-plan.log_every :]) / len(curve[-plan.log_every :])
                if done in history.heldout:
                    values["heldout_loss"] = history.heldout[done]
                plan.on_log(done, values)
            if checkpoints and done % checkpoints.every == 0 and done < plan.steps:
                checkpoints.save(snapshot(model, optimizers, history, done) | {"note": plan.note})
    finally:
        progress.close()
    model.eval()
    return history


def _backward(model: torch.nn.Module, plan: Plan[B], step: int) -> tuple[float, int, list[float]]:
    """Gradients of a whole step's mean loss in every process; that loss, the tokens seen, and the curves' values."""
    import torch

    batch, weight = plan.batch(step), 1.0
    if (count := replicas.count()) > 1:
        assert plan.share, "a batch that nobody can divide was given to several processes"
        batch, weight = plan.share(batch, replicas.rank(), count)
    drawn = np.random.SeedSequence([plan.seed, step, replicas.rank()]).generate_state(1, np.uint64)
    torch.manual_seed(int(drawn[0] >> np.uint64(1)))
    loss, tokens, *beside = plan.loss(model, batch)
    (loss * weight).backward()
    values = [value * weight for value in beside[0].tolist()] if beside else []
    sums = torch.tensor([loss.item() * weight, tokens, *values], dtype=torch.float32)
    replicas.sum_up([*(p.grad for p in trainable(model).values() if p.grad is not None), sums])
    return sums[0].item(), int(sums[1]), sums[2:].tolist()


class Watch:
    """Stops a training that has gone astray."""

    def __init__(self, section: str, warmup_steps: float) -> None:
        self.section, self.warmup_steps = section, warmup_steps
        self.mean, self.high = math.nan, 0

    def look(self, step: int, loss: float, norm: float) -> None:
        """Take one step's loss and gradient norm.

        Raises:
            StageError: one is no number, or the loss has jumped and stays there.
        """
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise StageError(
                f"step {step + 1}: the loss is {loss} (gradient norm {norm}); lower {self.section}.lr in params.yaml"
            )
        jumped = step > self.warmup_steps and loss > max(SPIKE_FACTOR * self.mean, self.mean + SPIKE_MARGIN)
        self.high = self.high + 1 if jumped else 0
        if self.high >= SPIKE_STEPS:
            raise StageError(
                f"step {step + 1}: the loss rose from {self.mean:.2f} to {loss:.2f} and stays there; "
                f"lower {self.section}.lr in params.yaml"
            )
        if not jumped:
            self.mean = loss if math.isnan(self.mean) else 0.95 * self.mean + 0.05 * loss


def summary(history: History) -> dict[str, float]:
    """The numbers that every training's metrics.json shares; `loss` is the mean of the last tenth."""
    last = history.losses[-max(1, len(history.losses) // 10) :]
    return {
        "loss": round(sum(last) / len(last), 5) if last else math.nan,
        "steps": len(history.losses),
        "tokens": history.tokens,
        "seconds": round(history.seconds, 2),
        "tokens_per_second": round(history.tokens / max(history.seconds, 1e-9), 1),
    }


def write_losses(path: Path, history: History) -> None:
    """loss.csv: step, loss, the curves measured beside it, and the held-out loss where it was measured."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerow(["step", "loss", *history.curves, *(["heldout"] if history.heldout else [])])
        for step, loss in enumerate(history.losses, 1):
            row: list[object] = [step, f"{loss:.6f}"]
            row += [f"{curve[step - 1]:.6f}" for curve in history.curves.values()]
            if history.heldout:
                row.append(f"{history.heldout[step]:.6f}" if step in history.heldout else "")
            writer.writerow(row)


def trainable(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """What is trained, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def snapshot(
    model: torch.nn.Module, optimizers: Sequence[torch.optim.Optimizer], history: History, done: int
) -> dict[str, Any]:
    """What a checkpoint after `done` steps must hold."""
    return {
        "done": done,
        "weights": {name: parameter.detach() for name, parameter in trainable(model).items()},
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "history": vars(history),
    }


def restore(
    state: dict[str, Any], model: torch.nn.Module, optimizers: Sequence[torch.optim.Optimizer]
) -> tuple[History, int]:
    """Put a snapshot's weights and optimizer state in place; its history, and the steps that were done."""
    for name, parameter in trainable(model).items():
        parameter.data.copy_(state["weights"][name])
    for optimizer, values in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(values)
    return History(**state["history"]), state["done"]
