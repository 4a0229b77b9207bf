"""The step loop of every training here: deterministic, resumable to the bit, stopped by nonsense.

A step's batch and its random numbers are pure functions of the step, so a checkpoint needs no
position in a stream: weights, optimizer state and the losses so far are all.
"""

from __future__ import annotations

import csv
import logging
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import numpy as np

from components.files import replacing
from components.optimization import replicas
from components.optimization.checkpoints import Checkpoints
from components.optimization.memory import keep_freed, peak_megabytes
from components.optimization.optimizers import rate, set_rate
from components.optimization.progress import Progress
from components.optimization.watch import Watch
from components.stage import StageError

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

B = TypeVar("B")
Measured: TypeAlias = "tuple[torch.Tensor, int] | tuple[torch.Tensor, int, torch.Tensor]"
"""A batch's mean loss, the tokens seen, and the means of what the plan's `curves` name, if it names any."""


@dataclass
class History:
    """What a training has seen so far; goes into checkpoints and loss.csv."""

    losses: list[float] = field(default_factory=list)
    curves: dict[str, list[float]] = field(default_factory=dict)
    """What the loss measured beside itself, a value a step."""
    heldout: dict[int, float] = field(default_factory=dict)
    best_step: int | None = None
    """Where the plan keeps the best: the step whose weights are the result."""
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
    parts: int = 1
    """Gradient accumulation: a process's rows of a batch go through the model in so many parts. Needs `share`."""
    bfloat16: bool = False
    """Products in bfloat16 by autocast; weights, gradients and optimizer state stay as they are."""
    curves: tuple[str, ...] = ()
    clip: float = 1.0
    heldout: Callable[[torch.nn.Module], float] | None = None
    heldout_every: int = 100
    keep_best: bool = False
    """The result is not the last step but the one with the lowest held-out loss."""
    patience: int | None = None
    """With `keep_best`: stop after so many held-out losses on end that are no lower than the lowest."""
    log_every: int = 10
    on_log: Callable[[int, dict[str, float]], None] | None = None
    note: str = ""
    """Kept in checkpoints for whoever resumes: the id of the tracking run."""


def prepare(seed: int, threads: int, deterministic: bool = True) -> torch.device:
    """Make this process deterministic and say where it computes.

    Args:
        deterministic: false: a GPU may use what sums in another order every time.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(deterministic)
    # filling only shows who reads what nobody wrote, and takes 3 % of a step
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = False
    if not sys.stderr.isatty():
        from transformers.utils import logging as bars

        bars.disable_progress_bar()  # its carriage returns fill a log
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def parts(rows: int, replicas: int, most: int | None) -> int:
    """In how many parts each of `replicas` processes takes its share of a batch: as few as hold at most `most` rows."""
    if most is None:
        return 1
    return max(1, min(math.ceil(math.ceil(rows / replicas) / most), rows // replicas))


def fit(
    model: torch.nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    plan: Plan[B],
    checkpoints: Checkpoints | None = None,
) -> History:
    """Train for `plan.steps` steps, from the checkpoint if there is one; leaves `model` trained.

    Raises:
        StageError: the loss is no number, or has jumped and stays there; a process beside this one died; launched
            processes do not find the same checkpoint.
    """
    state = checkpoints.load() if checkpoints else None
    if checkpoints and not replicas.agree(state["done"] if state else 0):
        raise StageError(
            f"the processes of this training find different checkpoints in {checkpoints.folder}: set SAQIA_SHARED to a "
            "folder that all its machines share"
        )
    keep_freed(model)
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
    best: dict[str, torch.Tensor] = {}
    if state is not None:
        history, first = restore(state, model, optimizers)
        best = state.get("best", {})
    watch = Watch(plan.section, plan.warmup * plan.steps)
    learning = trainable(model)
    model.train()
    tells = replicas.rank() == 0
    progress = Progress(plan.section, plan.steps, first, shown=tells)
    before = history.seconds
    try:
        for step in range(first, plan.steps):
            share = rate(step, plan.steps, plan.warmup)
            set_rate(optimizers, share)
            loss, tokens, beside = _backward(model, learning, plan, step)
            norm = torch.nn.utils.clip_grad_norm_(learning.values(), plan.clip).item()
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
            if plan.heldout and (done % plan.heldout_every == 0 or done == plan.steps):
                if tells or plan.keep_best:
                    history.heldout[done] = _held_out(model, plan)
                if plan.keep_best and min(history.heldout, key=history.heldout.__getitem__) == done:
                    history.best_step = done
                    best = {name: parameter.detach().clone() for name, parameter in learning.items()}
            over = plan.patience is not None and _since_best(history) >= plan.patience
            if not tells:
                if over:
                    break
                continue
            if plan.on_log and (done % plan.log_every == 0 or done == plan.steps):
                recent = history.losses[-plan.log_every :]
                values = {"loss": sum(recent) / len(recent), "lr_share": share, "grad_norm": norm}
                values["tokens_per_second"] = progress.tokens_per_second
                values |= {"peak_memory_mb": peak_megabytes(), "seconds_left": progress.seconds_left}
                for name, curve in history.curves.items():
                    values[name] = sum(curve[-plan.log_every :]) / len(curve[-plan.log_every :])
                if done in history.heldout:
                    values["heldout_loss"] = history.heldout[done]
                plan.on_log(done, values)
            if over:
                log.info("%s: stopped after step %d, step %s was the best", plan.section, done, history.best_step)
                break
            if checkpoints and done % checkpoints.every == 0 and done < plan.steps:
                checkpoints.save(snapshot(model, optimizers, history, done) | {"note": plan.note, "best": best})
    finally:
        progress.close()
    if best:
        for name, parameter in learning.items():
            parameter.data.copy_(best[name])
    model.eval()
    return history


def _backward(
    model: torch.nn.Module, learning: Mapping[str, torch.nn.Parameter], plan: Plan[B], step: int
) -> tuple[float, int, list[float]]:
    """Gradients of a whole step's mean loss in every process; that loss, the tokens seen, and the curves' values."""
    import torch

    whole, count = plan.batch(step), replicas.count() * plan.parts
    drawn = np.random.SeedSequence([plan.seed, step, replicas.rank()]).generate_state(1, np.uint64)
    torch.manual_seed(int(drawn[0] >> np.uint64(1)))
    sums = torch.zeros(2 + len(plan.curves), dtype=torch.float32)
    for part in range(plan.parts):
        batch, weight = whole, 1.0
        if count > 1:
            assert plan.share, "a batch that nobody can divide was to be divided"
            batch, weight = plan.share(whole, replicas.rank() * plan.parts + part, count)
        with torch.autocast(_device(model).type, torch.bfloat16, enabled=plan.bfloat16):
            loss, tokens, *beside = plan.loss(model, batch)
        (loss * weight).backward()
        values = [value * weight for value in beside[0].tolist()] if beside else []
        sums += torch.tensor([loss.item() * weight, tokens, *values], dtype=torch.float32)
    replicas.sum_up([*(p.grad for p in learning.values() if p.grad is not None), sums])
    return sums[0].item(), int(sums[1]), sums[2:].tolist()


def _held_out(model: torch.nn.Module, plan: Plan[B]) -> float:
    """The held-out loss, by the first process; where all must act on it, the same number for everybody."""
    import torch

    assert plan.heldout
    value = 0.0
    if replicas.rank() == 0:
        model.eval()
        with torch.autocast(_device(model).type, torch.bfloat16, enabled=plan.bfloat16):
            value = plan.heldout(model)
        model.train()
    if not plan.keep_best:
        return value
    told = torch.tensor([value], dtype=torch.float32)
    replicas.sum_up([told])
    return told.item()


def _since_best(history: History) -> int:
    """How many held-out losses were measured after the lowest one."""
    return sum(step > (history.best_step or 0) for step in history.heldout)


def summary(history: History) -> dict[str, float]:
    """The numbers that every training's metrics.json shares; `loss` is the mean of the last tenth."""
    last = history.losses[-max(1, len(history.losses) // 10) :]
    held = {} if history.best_step is None else {
        "best_step": history.best_step,
        "validation_loss": round(history.heldout[history.best_step], 5),
    }  # fmt: skip
    return {
        **held,
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


def _device(model: torch.nn.Module) -> torch.device:
    return next(model.parameters()).device


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
