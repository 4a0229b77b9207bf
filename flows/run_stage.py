"""Run one stage of dvc.yaml in the workspace it is started in: `python -m flows.run_stage NAME --report-fd N`.

A process between the flow and DVC, for two reasons: the stage's lines can be told apart and
sent to Prefect, and nothing outlives its starter. It leads a process group of its own and is
told by the kernel when the flow dies (PR_SET_PDEATHSIG; elsewhere it looks twice a second);
then the whole group ends, the stage's children included. Stages tie themselves to DVC in the
same way (components/lifetime.py), so that killing DVC alone leaves nothing behind either.

The outcome goes as one JSON object to the file descriptor: {"outcome": "ran" | "cached" |
"failed", "exit": code of the stage's command, "error": one line}.
"""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sys
from types import FrameType
from typing import Any

from components.lifetime import end_with_parent
from components.preloaded import handed_over


def reproduce(name: str) -> dict[str, Any]:
    """Bring one stage up to date; say what that took."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        repo = Repo(".", _wait_for_lock=True)
        ran = repo.reproduce(targets=[name], single_item=True)
    except DvcException as error:
        causes: list[str] = []
        cause: BaseException | None = error
        while cause is not None:
            causes.append(" ".join(str(cause).split()))
            cause = cause.__cause__
        code = re.search(r"exited with (-?\d+)$", causes[-1])
        return {"outcome": "failed", "exit": int(code[1]) if code else None, "error": causes[-1]}
    return {"outcome": "ran" if ran else "cached", "exit": 0, "error": ""}


class RestoredFromCache(logging.Handler):
    """Notices DVC saying that a stage's outputs came from the run cache and nothing was run."""

    seen = False

    def emit(self, record: logging.LogRecord) -> None:
        self.seen = self.seen or "is cached - skipping run" in record.getMessage()


def end_group(signum: int, frame: FrameType | None) -> None:
    """End this process and everything it started, at once: the flow is gone or gave up."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGKILL)


def main(arguments: list[str]) -> None:
    name, descriptor = arguments[0], int(arguments[2])
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, end_group)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(signal.SIGTERM)
    code = handed_over("flows.run_stage", arguments, (0, 1, 2, descriptor))
    if code is not None:
        sys.exit(code)
    os.environ["SAQIA_STARTED_BY"] = str(os.getpid())
    restored = RestoredFromCache(level=logging.INFO)
    # the "dvc" logger is set up when dvc is first imported; INFO is what carries "is cached"
    import dvc.logger  # noqa: F401

    logger = logging.getLogger("dvc")
    logger.setLevel(logging.INFO)
    for handler in logger.handlers:
        handler.setLevel(logging.WARNING)
    logger.addHandler(restored)
    logging.getLogger("dvc.rwlock").setLevel(logging.ERROR)
    report = reproduce(name)
    if report["outcome"] == "ran" and restored.seen:
        report["outcome"] = "cached"
    with os.fdopen(descriptor, "w") as out:
        json.dump(report, out)
    sys.exit(0 if report["outcome"] != "failed" else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
