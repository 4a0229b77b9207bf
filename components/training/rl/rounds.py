"""The rounds of reinforcement learning: sample, reward, learn; deterministic, and resumed to the bit.

A round's prompts and random numbers are functions of its number, its answers of these and of the weights it begins
with. So a checkpoint between two rounds holds no answers, and a training killed anywhere ends as one that was not.
Several processes have their share of a round's prompts each and add up their gradients
(components/optimization/replicas.py).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from components.config import RLSettings
from components.optimization import replicas
from components.optimization.checkpoints import Checkpoints
from components.optimization.loop import History, restore, snapshot, trainable
from components.optimization.optimizers import adamw, rate, set_rate
from components.optimization.progress import Progress
from components.schema import Example
from components.stage import StageError
from components.training.completion import causal_model
from components.training.rl.algorithm import Algorithm, Credit, KLCoefficient, divergence
from components.training.rl.plain import Sampler, plain
from components.training.rl.rewards import Answered
from components.training.rl.rollouts import Rollouts, look, sample


@dataclass(frozen=True)
class Prompt:
    """A row and its prompt as token ids."""

    example: Example
    ids: Sequence[int]


@dataclass(frozen=True)
class Plan:
    """One training."""

    settings: RLSettings
    seed: int
    end: int
    """The token that ends an answer."""
    prompts: Callable[[int], Sequence[Prompt]]
    """Of a 0-based round: a pure function."""
    decode: Callable[[Sequence[int]], str]
    worth: Callable[[Sequence[Answered]], dict[str, list[float]]]
    """Numbers of each answer by name; `reward` is the one that is learned from."""
    fast: bool = True
    """See `completion.head_is_separable`."""
    processes: int = 1
    on_log: Callable[[int, dict[str, float]], None] | None = None
    note: str = ""


class Learner(torch.nn.Module):
    """The model, and the value head where the algorithm needs one."""

    def __init__(self, model: torch.nn.Module, needs_values: bool) -> None:
        super().__init__()
        self.model = model
        self.value: torch.nn.Linear | None = None
        if needs_values:
            head = causal_model(model).get_output_embeddings()
            self.value = torch.nn.Linear(head.weight.shape[1], 1, bias=True, device=head.weight.device)
            torch.nn.init.zeros_(self.value.weight)
            torch.nn.init.zeros_(self.value.bias)


def fit(model: torch.nn.Module, algorithm: Algorithm, plan: Plan, checkpoints: Checkpoints | None = None) -> History:
    """Train for all rounds, from the checkpoint if there is one; leaves `model` trained. A step told of is a round.

    Raises:
        StageError: the loss is no number, a reward failed, or a process beside this one died.
    """
    state = checkpoints.load() if checkpoints else None
    learner = Learner(model, algorithm.needs_values)
    reference = plain(model)
    room = sum(parameter.numel() for parameter in trainable(learner).values()) + 64
    with replicas.forked(plan.processes, room):
        return _fit(learner, algorithm, plan, reference, checkpoints, state)


def _fit(
    learner: Learner,
    algorithm: Algorithm,
    plan: Plan,
    reference: torch.nn.Module,
    checkpoints: Checkpoints | None,
    state: dict[str, Any] | None,
) -> History:
    wanted = plan.settings
    assert wanted.lr is not None, "the objective says which rate suits the method and the model"
    optimizers = adamw(learner.model, wanted.lr)
    if learner.value is not None:
        optimizers += adamw(learner.value, wanted.value_lr)
    kl = KLCoefficient(wanted.kl, wanted.kl_target if isinstance(wanted.kl_target, float) else None)
    history, first = History(), 0
    if state is not None:
        history, first = restore(state, learner, optimizers)
        kl.value = state["kl"]
    sampler = Sampler(learner.model)
    learner.eval()  # dropout would make two policies of one
    tells = replicas.rank() == 0
    progress = Progress("train", wanted.rounds, first, shown=tells)
    before = history.seconds
    try:
        for number in range(first, wanted.rounds):
            set_rate(optimizers, rate(number, wanted.rounds, wanted.warmup))
            means = Means()
            rollouts, credit = _collect(number, learner, algorithm, plan, reference, sampler, kl, means)
            for epoch in range(wanted.epochs):
                order = torch.randperm(len(rollouts), generator=_generator(plan.seed, number, epoch))
                for part in order.to(rollouts.ids.device).tensor_split(wanted.minibatches):
                    _update(number, learner, algorithm, plan, optimizers, rollouts, credit, part, means)
            shown = means.over_all()
            kl.update(shown["kl"])
            shown["kl_coefficient"] = credit.kl
            loss, tokens = shown.pop("loss"), int(shown.pop("tokens"))
            history.losses.append(loss)
            history.tokens += tokens
            for name, value in shown.items():
                history.curves.setdefault(name, []).append(value)
            progress.step(loss, tokens)
            history.seconds = before + progress.seconds
            done = number + 1
            if tells and plan.on_log:
                plan.on_log(done, {"loss": loss, "tokens_per_second": progress.tokens_per_second, **shown})
            if tells and checkpoints and done % wanted.checkpoint_every == 0 and done < wanted.rounds:
                state = snapshot(learner, optimizers, history, done)
                checkpoints.save(state | {"note": plan.note, "kl": kl.value})
    finally:
        progress.close()
    return history


def _collect(
    number: int,
    learner: Learner,
    algorithm: Algorithm,
    plan: Plan,
    reference: torch.nn.Module,
    sampler: Sampler,
    kl: KLCoefficient,
    means: Means,
) -> tuple[Rollouts, Credit]:
    """This process's answers of a round, and the credit that their tokens get."""
    wanted = plan.settings
    prompts = plan.prompts(number)[replicas.rank() :: replicas.count()]
    rollouts, answers, ended = sample(
        sampler.current(),
        [prompt.ids for prompt in prompts],
        end=plan.end,
        max_new_tokens=wanted.max_new_tokens,
        copies=wanted.answers,
        temperature=wanted.temperature,
        seed=_seed(plan.seed, number),
    )
    answered = [
        Answered(prompts[row // wanted.answers].example, plan.decode(ids), whole)
        for row, (ids, whole) in enumerate(zip(answers, ended, strict=True))
    ]
    try:
        worth = plan.worth(answered)
    except StageError as error:
        if replicas.rank():
            print(error, file=sys.stderr)  # the first process only learns that this one is gone
        raise
    rewards = torch.tensor(worth["reward"], device=rollouts.ids.device)
    with torch.no_grad():
        there = look(reference, rollouts, wanted.temperature, fast=plan.fast)
        values = None
        if learner.value is not None:
            values = look(learner.model, rollouts, wanted.temperature, learner.value, plan.fast).values
    rows = len(rollouts)
    for name, numbers in worth.items():
        means.add(name, sum(numbers), rows)
    means.add("kl", float((divergence(rollouts.logprobs, there.logprobs) * rollouts.mask).sum()), rows)
    means.add("answer_tokens", float(rollouts.mask.sum()), rows)
    credit = algorithm.credit(rollouts, rewards, there.logprobs, values, kl.value)
    return rollouts, credit


def _update(
    number: int,
    learner: Learner,
    algorithm: Algorithm,
    plan: Plan,
    optimizers: Sequence[torch.optim.Optimizer],
    rollouts: Rollouts,
    credit: Credit,
    part: torch.Tensor,
    means: Means,
) -> None:
    """One step of the optimizers on some of a round's answers, in every process."""
    rows = rollouts.rows(part)
    terms = look(learner.model, rows, plan.settings.temperature, learner.value, plan.fast)
    total, shown = algorithm.loss(terms, rows, credit.rows(part, rows.mask.shape[1]))
    total.backward()
    size = algorithm.size(rows)
    gradients = [p.grad for p in trainable(learner).values() if p.grad is not None]
    sums = torch.tensor([size, total.item()])
    replicas.sum_up([*gradients, sums])
    for gradient in gradients:
        gradient.div_(sums[0].item())
    norm = torch.nn.utils.clip_grad_norm_(trainable(learner.model).values(), 1.0).item()
    if learner.value is not None:
        torch.nn.utils.clip_grad_norm_(learner.value.parameters(), 1.0)  # its error must not shorten the policy's step
    if not (math.isfinite(norm) and math.isfinite(sums[1].item())):
        raise StageError(
            f"round {number + 1}: the loss is {sums[1].item() / sums[0].item()} (gradient norm {norm}); "
            "lower train.rl.lr in params.yaml"
        )
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    tokens = int(rows.mask.sum())
    means.add("loss", total.item(), size)
    for name, value in shown.items():
        means.add(name, value, size)
    means.add("entropy", float(terms.entropy.detach().sum()), tokens)
    means.add("approx_kl", float((divergence(rows.logprobs, terms.logprobs.detach()) * rows.mask).sum()), tokens)
    means.add("tokens", rows.tokens, 0)


class Means:
    """Means over a round, over all processes."""

    def __init__(self) -> None:
        self.sums: dict[str, list[float]] = {}

    def add(self, name: str, total: float, size: float) -> None:
        """Add a sum over `size` things; with size 0 it stays a sum."""
        there = self.sums.setdefault(name, [0.0, 0.0])
        there[0] += total
        there[1] += size

    def over_all(self) -> dict[str, float]:
        flat = torch.tensor([number for pair in self.sums.values() for number in pair])
        replicas.sum_up([flat])
        pairs = flat.view(-1, 2).tolist()
        return {name: total / size if size else total for name, (total, size) in zip(self.sums, pairs, strict=True)}


def _seed(*what: int) -> int:
    """63 random bits that belong to these numbers and to this process."""
    drawn = np.random.SeedSequence([*what, replicas.rank()]).generate_state(1, np.uint64)
    return int(drawn[0] >> np.uint64(1))


def _generator(*what: int) -> torch.Generator:
    return torch.Generator().manual_seed(_seed(*what))
