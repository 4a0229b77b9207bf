"""A small model's step finds the memory that the step before it freed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import resource
import sys
import torch
from components.optimization.memory import keep_freed

def faults(steps):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        logits = torch.ones(1024, 2048)
        (logits * 2, logits + 1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.set_num_threads(1)
if sys.argv[1] == "kept":
    keep_freed(torch.nn.Linear(8, 8))
faults(20)
print(faults(20))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_blocks_that_a_step_frees_are_not_fetched_from_the_system_again():
    def pages(mode: str) -> int:
        script = [sys.executable, "-c", SCRIPT, mode]
        return int(subprocess.run(script, env=env, capture_output=True, text=True, check=True).stdout)

    # As glibc begins. It raises the threshold when it sees larger blocks, and whether that helps hangs on what else
    # lies in the heap.
    env = {**os.environ, "GLIBC_TUNABLES": f"glibc.malloc.mmap_threshold={128 << 10}"}
    given_back = pages("given back")
    assert given_back >= 20 * 3 * 4, "three blocks of 8 MB a step, in pages of at most 2 MB"
    assert pages("kept") < given_back / 10
