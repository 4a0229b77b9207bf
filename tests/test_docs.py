"""Documentation that can go stale is checked: the generated command page, links, and named modules."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md"), *ROOT.glob("tasks/*/*.md")])


def test_the_command_page_is_what_the_command_says(tmp_path: Path) -> None:
    page = tmp_path / "cli.md"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "typer",
            "flows.cli",
            "utils",
            "docs",
            "--name",
            "saqia",
            "--title",
            "The saqia command",
            "--output",
            str(page),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    assert page.read_text() == (ROOT / "docs" / "cli.md").read_text(), "run `make docs` and commit docs/cli.md"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [t for t in targets if not t.startswith(("http:", "https:")) and not (page.parent / t).exists()]
    assert not missing, missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_module_that_a_page_tells_to_run_exists(page: Path) -> None:
    modules = set(re.findall(r"python -m ((?:components|benchmarks|serving|flows)[.\w]*\w)", page.read_text()))
    missing = [m for m in modules if importlib.util.find_spec(m) is None]
    assert not missing, missing
