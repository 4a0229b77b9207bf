"""One command as the system sees it: the memory that it and its children hold together, at moments that it names.

The command appends a line of JSON to a file at each such moment: {"mark": NAME, "at": seconds since the epoch,
"processor": seconds so far}. Pages that forked processes still share count once: private and shared anonymous memory
by its proportional share (`Pss_Anon`, `Pss_Shmem` of smaps_rollup), mapped files by the process that maps most of them.
Linux only. What lasts shorter than `EVERY` may be missed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

EVERY = 0.05
"""Seconds between two looks; a look takes about a millisecond."""


class Failed(RuntimeError):
    """A command ended with an error; the message holds the end of what it printed."""


@dataclass(frozen=True)
class Watched:
    """What was seen of a command."""

    marks: Mapping[str, tuple[float, float]]
    """Name → (seconds since the epoch, processor seconds of all its processes so far)."""
    looks: Sequence[tuple[float, float]]
    """(seconds since the epoch, MiB)."""

    def seconds(self, first: str, last: str) -> float:
        return self.marks[last][0] - self.marks[first][0]

    def processor(self, first: str, last: str) -> float:
        return self.marks[last][1] - self.marks[first][1]

    def at(self, mark: str) -> float:
        """MiB at a mark: by the last look before it, or the first one of all."""
        before = [held for when, held in self.looks if when <= self.marks[mark][0]]
        return before[-1] if before else self.looks[0][1]

    def peak(self, first: str, last: str) -> float:
        """Most MiB between two marks."""
        start, end = self.marks[first][0], self.marks[last][0]
        return max((held for when, held in self.looks if start <= when <= end), default=self.at(first))


def mark(name: str, file: Path) -> None:
    """Tell who watches this process that it is at this point."""
    spent = sum(os.times()[:4])
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps({"mark": name, "at": time.time(), "processor": spent}) + "\n")


def watch(command: Sequence[str], marks: Path, environment: Mapping[str, str]) -> Watched:
    """Run a command to its end and look at its memory meanwhile.

    Args:
        marks: where the command writes its marks; what it prints goes beside, into `<name>.log`.

    Raises:
        Failed: it ended with an error, or this is no Linux.
    """
    if sys.platform != "linux":
        raise Failed("memory is read from /proc: this benchmark runs on Linux only")
    marks.unlink(missing_ok=True)
    printed = marks.with_suffix(".log")
    looks: list[tuple[float, float]] = []
    with printed.open("wb") as log:
        child = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=dict(environment)
        )
        while child.poll() is None:
            looks.append((time.time(), held(child.pid)))
            time.sleep(EVERY)
    if child.returncode:
        tail = printed.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise Failed(f"{' '.join(command[:4])} … ended with {child.returncode}:\n{tail}")
    lines = [json.loads(line) for line in marks.read_text(encoding="utf-8").splitlines()]
    return Watched({line["mark"]: (line["at"], line["processor"]) for line in lines}, looks)


def held(pid: int) -> float:
    """MiB that a process and all that descend from it hold now; 0 when they are gone."""
    try:
        pids = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.Error:
        return 0.0
    anonymous = sum(_kilobytes(one, "smaps_rollup", "Pss_Anon", "Pss_Shmem") for one in pids)
    mapped = max(_kilobytes(one, "status", "RssFile") for one in pids)
    return (anonymous + mapped) / 1024


def _kilobytes(pid: int, file: str, *names: str) -> int:
    """Sum of some lines of a /proc file; 0 for a process that ended meanwhile."""
    try:
        text = Path(f"/proc/{pid}/{file}").read_text(encoding="utf-8")
    except OSError:
        return 0
    return sum(int(value) for value in re.findall(rf"^(?:{'|'.join(names)}):\s+(\d+) kB$", text, re.MULTILINE))


def project_environment(threads: int) -> dict[str, str]:
    """This process's environment for one that imports this project and computes with so many threads."""
    root = str(Path(__file__).parents[1])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    quiet = {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "WANDB_DISABLED": "true"}
    return {**os.environ, **quiet, "OMP_NUM_THREADS": str(threads), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
