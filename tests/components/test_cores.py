"""Which models are given to processes, and which to threads."""

from __future__ import annotations

import sys

import torch

from components.cores import SMALL, processes


def test_only_small_models_on_a_cpu_are_divided_and_never_into_more_than_its_parts() -> None:
    small = torch.nn.Linear(10, 10)
    large = torch.nn.Linear(10, SMALL // 10 + 1, device="meta")
    on_linux = sys.platform == "linux"
    assert processes(small, parts=16, threads=2) == (2 if on_linux else 1)
    assert processes(small, parts=1, threads=2) == 1
    assert processes(small, parts=16, threads=1) == 1
    assert processes(large, parts=16, threads=2) == 1
