"""What an objective is asked for, and what the stage does with its answer.

Every objective (`train.objective`) shares the tokenizer, the model by `train.method`, the MLflow run, checkpoints, the
version's folder with its golden prompts, loss.csv and metrics.json: the stage (`components/training/__main__.py`) does
all that once. An objective is one module in `components/training/objectives/` that says only what is its own:

1. `inputs`: which files it learns from. They name the checkpoints' digest and the run's datasets.
2. `prepare`: from the model and the tokenizer, the lesson: rows, batches, loss, length and pace; and what to measure.
3. `model`, where it trains something else than the policy that `train.method` prepares.

Its name stands in `components.config.ObjectiveName` and in `components/training/objectives/__init__.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

from components import config, layout
from components.optimization.checkpoints import Checkpoints
from components.optimization.loop import B, History, Measured
from components.schema import Example
from components.task import Task
from components.training import methods

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Given:
    """What the stage has at hand for every objective."""

    settings: config.Settings
    task: Task
    tokenizer: PreTrainedTokenizerBase
    model: torch.nn.Module
    """On its device; exactly those tensors require a gradient that are trained."""
    has_champion: bool
    """Whether something serves already; `train.start` says whether the model is it."""


@dataclass(frozen=True)
class Lesson(Generic[B]):
    """One training as its objective wants it; the stage runs it on `components/optimization/loop.py`."""

    rows: int
    """Distinct rows that are taught."""
    prompts: Sequence[Example]
    """Examples whose prompts may become the version's golden ones."""
    steps: int
    lr: float | None
    """Peak of the learning rate; None: what suits the method and the base's width."""
    size: int
    """Rows of a batch: no more processes than that can share it."""
    batch: Callable[[int], B] | None = None
    """The batch of a 0-based step: a pure function, or a resumed training would not be the same."""
    loss: Callable[[torch.nn.Module, B], Measured] | None = None
    """(mean loss, tokens seen), and the values of `curves` as a third part where there are any."""
    share: Callable[[B, int, int], tuple[B, float]] | None = None
    """See `loop.Plan`; None: one process."""
    heldout: Callable[[torch.nn.Module], float] | None = None
    """Mean loss on rows that are not taught (`train.validation_rows`): the step where it is lowest is kept."""
    curves: tuple[str, ...] = ()
    """Names of what `loss` measures beside the loss; they go to MLflow and into loss.csv."""
    metrics: Callable[[torch.nn.Module], dict[str, float]] | None = None
    """What the trained model shows, measured once before the version is written (a temperature is fitted here, too):
    for metrics.json, and MLflow as `final_<name>`."""
    made_with: Mapping[str, str] = field(default_factory=dict)
    """Hashes of what else it learns from (a teacher): another one is another training, and the version names them."""
    fit: Callable[[Session], History] | None = None
    """Trains in its own way (a trainer of another library, steps that generate), with the same promises; then there is
    no batch and no loss."""


@dataclass(frozen=True)
class Session:
    """For a lesson that brings its own `fit`: where to save, where to log, whom to resume as."""

    checkpoints: Checkpoints
    log: Callable[[int, dict[str, float]], None]
    run_id: str
    """To be kept in checkpoints under `note`: a resumed training is the same MLflow run."""


def policy(settings: config.Settings) -> torch.nn.Module:
    """The model that answers, prepared by `train.method` and `train.start`."""
    return methods.prepare_model(settings, layout.BASE, layout.CHAMPION)


@dataclass(frozen=True)
class Objective:
    """What one `train.objective` says of itself; see the module's docstring."""

    inputs: Callable[[config.Settings], tuple[Path, ...]]
    prepare: Callable[[Given], Lesson[Any]]
    model: Callable[[config.Settings], torch.nn.Module] = policy
