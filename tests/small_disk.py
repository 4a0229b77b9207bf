"""A disk of 64 KiB that is really full, for tests that fill it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def on_small_disk(folder: Path) -> list[str]:
    """What to put before a command so that it finds `folder` to be a disk of its own, which nobody else sees.

    Its standard output ends with the names in the folders there. Skips the test where that is not allowed.
    """
    enter = ["unshare", "--mount", *(["--map-root-user"] if os.getuid() else []), "sh", "-c"]
    mount = f"mount -t tmpfs -o size=64k tmpfs '{folder}' && "
    if not shutil.which("unshare") or subprocess.run([*enter, mount + "true"], check=False).returncode:
        pytest.skip("this system lets nobody mount a small disk")
    return [*enter, f"{mount}\"$@\"; code=$?; ls -A '{folder}'/*; exit $code", "0"]
