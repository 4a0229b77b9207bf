"""Whether a training's products are in bfloat16: on a GPU by what it can, on a CPU by what is faster there.

A processor's flags say what it can, not what is fast: on some with instructions for bfloat16 its products take twice as
long as in float32. So a few products of the model's own shapes are timed, once for a processor, a PyTorch, a number of
threads and a model. The answer stays in <home>/precision.json and rules from then on: a measurement that came out the
other way would change a resumed training, or a version that is rebuilt. A version's manifest records what was taken.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from components.config import places
from components.cores import SMALL
from components.files import write_json
from components.optimization import replicas

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

Name: TypeAlias = Literal["float32", "bfloat16"]
NAMES: tuple[Name, Name] = ("float32", "bfloat16")
FILE = "precision.json"
RECORDED = "SAQIA_RECORDED_PRECISION"
"""Environment variable that decides `auto`: what a version's manifest says, while `saqia reproduce` rebuilds it."""
MARGIN = 1.1
"""bfloat16 must be so much faster: near ties go to float32, which loses nothing."""
SHAPES = 4
"""Kinds of layers that are timed: those that do most of the work."""
OPERATIONS = 2_000_000_000
"""Most of one product, so that the whole measurement takes a fraction of a second."""
WIDEST = 8192
"""Most outputs of a layer that are timed; a head has many more, all alike."""
TOKENS = 1024
ROUNDS = 5

Shape = tuple[int, int]
"""Outputs and inputs of a linear layer."""
Timer: TypeAlias = "Callable[[Shape, int, Name], float]"
"""Seconds that so many tokens take through a layer of a shape."""


def decide(wanted: Literal["auto", "float32", "bfloat16"], model: torch.nn.Module, tokens: int, threads: int) -> Name:
    """What a training computes its products in; all processes of a launched one get the first one's answer.

    Args:
        tokens: of a batch, as far as they go through the model at once.
        threads: that products are divided among.
    """
    import torch

    if wanted != "auto":
        return wanted
    if next(model.parameters()).is_cuda:
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return NAMES[round(replicas.of_first(NAMES.index(_on_cpu(model, tokens, threads)) if replicas.rank() == 0 else 0))]


def _on_cpu(model: torch.nn.Module, tokens: int, threads: int) -> Name:
    recorded = next((name for name in NAMES if name == os.environ.get(RECORDED)), None)
    if recorded == "float32" or (recorded and has_instructions()):
        log.info("precision: %s, as recorded with the version that is rebuilt", recorded)
        return recorded
    if sum(parameter.numel() for parameter in model.parameters()) <= SMALL or not has_instructions():
        return "float32"
    return measured(model, tokens, threads)


def has_instructions() -> bool:
    """Whether this processor computes in bfloat16 at all, without which there is nothing to measure."""
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def measured(model: torch.nn.Module, tokens: int, threads: int, timer: Timer | None = None) -> Name:
    """The faster one on this machine: as it was measured before, or as it is now."""
    shapes = work(model)
    tokens = max(16, min(tokens, TOKENS))
    layers = ", ".join(f"{times} of {out}x{inside}" for (out, inside), times in shapes.items())
    name = f"{processor()}, {threads} threads: {tokens} tokens through {layers}"
    answer = kept(places().home).get(name)
    if answer is None:
        rates = {kind: rate(shapes, tokens, kind, timer or seconds) for kind in NAMES}
        taken: Name = "bfloat16" if rates["bfloat16"] > MARGIN * rates["float32"] else "float32"
        answer = {**{kind: round(value, 1) for kind, value in rates.items()}, "taken": taken}
        write_json(places().home / FILE, {**kept(places().home), name: answer})
        how = "measured now"
    else:
        how = f"measured before ({places().home / FILE})"
    log.info(
        "precision: %s; products of this model: float32 %.0f GFLOP/s, bfloat16 %.0f GFLOP/s, %s",
        answer["taken"], answer["float32"], answer["bfloat16"], how,
    )  # fmt: skip
    return NAMES[NAMES.index(answer["taken"])]


def work(model: torch.nn.Module) -> dict[Shape, int]:
    """The shapes of linear layers that do most of a model's work, and how many layers have each."""
    import torch

    counts = Counter(
        (min(layer.out_features, WIDEST), layer.in_features)
        for layer in model.modules()
        if isinstance(layer, torch.nn.Linear)
    )
    most_first = sorted(counts, key=lambda shape: (-counts[shape] * shape[0] * shape[1], shape))
    return {shape: counts[shape] for shape in most_first[:SHAPES]}


def rate(shapes: dict[Shape, int], tokens: int, name: Name, timer: Timer) -> float:
    """GFLOP/s over all the layers; 0 where there is none."""
    operations = spent = 0.0
    for shape, times in shapes.items():
        rows = max(16, min(tokens, OPERATIONS // (2 * shape[0] * shape[1])))
        operations += times * 2 * rows * shape[0] * shape[1]
        spent += times * timer(shape, rows, name)
    return operations / spent / 1e9 if spent else 0.0


def seconds(shape: Shape, tokens: int, name: Name) -> float:
    """The fastest of a few: what else the machine does only slows a product down."""
    import torch

    kind = getattr(torch, name)
    weight, rows = torch.full(shape, 0.01, dtype=kind), torch.full((tokens, shape[1]), 0.01, dtype=kind)
    best = float("inf")
    with torch.inference_mode():
        torch.nn.functional.linear(rows, weight)  # the first one makes the kernel
        for _ in range(ROUNDS):
            began = time.perf_counter()
            torch.nn.functional.linear(rows, weight)
            best = min(best, time.perf_counter() - began)
    return best


def processor() -> str:
    """The processor's name and PyTorch's version."""
    import torch

    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass  # no Linux
    return f"{name}, torch {torch.__version__}"


def kept(home: Path) -> dict[str, dict[str, Any]]:
    """What was measured so far: rates in GFLOP/s by precision, and which was `taken`; what is damaged is left out."""
    try:
        answers = json.loads((home / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: answer for name, answer in answers.items() if _is_answer(answer)} if isinstance(answers, dict) else {}


def _is_answer(answer: object) -> bool:
    if not isinstance(answer, dict) or answer.get("taken") not in NAMES:
        return False
    return all(isinstance(answer.get(name), int | float) for name in NAMES)
