"""`python -m components STAGE` is `python -m components.STAGE`, begun at once where a preloaded process waits.

This is what dvc.yaml calls. It imports nothing large before it knows who does the work.
"""

from __future__ import annotations

import os
import runpy
import sys

from components.lifetime import end_with_parent
from components.preloaded import handed_over


def main(arguments: list[str]) -> None:
    if len(arguments) != 1:
        sys.exit("usage: python -m components STAGE, e.g. training; dvc.yaml names them all")
    module = f"components.{arguments[0]}"
    if "DVC_STAGE" in os.environ:
        end_with_parent()
    code = handed_over(module)
    if code is not None:
        sys.exit(code)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
