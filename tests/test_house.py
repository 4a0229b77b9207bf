"""The house of docs/architecture.md holds: imports run one way, and dvc.yaml names what its modules import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

FORBIDDEN = {
    "components": {"prefect", "bentoml", "fastapi", "starlette", "gradio", "flows", "serving"},
    "flows": {"torch", "transformers", "trl", "peft", "serving"},
    "serving": {"flows", "prefect"},
    "tasks": {"flows", "serving", "prefect", "bentoml"},
}
ORDER = (
    "optimization",
    "llm",
    "examples",
    "corpus",
    "tokenizer",
    "feedback",
    "curation",
    "quality",
    "pretraining",
    "training",
    "evaluation",
    "selection",
    "registry",
    "export",
)
"""The order in which data travels; a sub-package imports only those before it."""


def sources(folder: str) -> list[Path]:
    return sorted(p for p in (ROOT / folder).rglob("*.py") if "migrations" not in p.parts)


def imported(file: Path) -> Iterator[str]:
    """Every module that a file imports, function bodies included."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_no_layer_imports_what_it_must_not_know(folder: str) -> None:
    files = sources(folder)
    assert files, f"{folder}/ holds no source"
    crossed = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in files
        for name in imported(file)
        if name.split(".")[0] in FORBIDDEN[folder]
    ]
    assert not crossed, crossed


def test_every_package_of_components_has_its_place_in_the_order() -> None:
    packages = {p.parent.name for p in (ROOT / "components").glob("*/__init__.py")} - PLUMBING
    assert packages <= set(ORDER), f"say in docs/architecture.md and here where {packages - set(ORDER)} stands"


def test_components_import_each_other_only_downwards() -> None:
    upwards = []
    for place, package in enumerate(ORDER):
        for file in sources(f"components/{package}"):
            for name in imported(file):
                parts = name.split(".")
                if parts[0] == "components" and len(parts) > 1 and parts[1] in ORDER[place + 1 :]:
                    upwards.append(f"{file.relative_to(ROOT)} imports {name}")
    assert not upwards, upwards


def test_modules_at_the_top_of_components_import_no_sub_package() -> None:
    crossed = [
        f"{file.name} imports {name}"
        for file in (ROOT / "components").glob("*.py")
        for name in imported(file)
        if name.startswith("components.") and name.split(".")[1] in ORDER
    ]
    assert not crossed, crossed


PLUMBING = {"__init__", "config", "files", "layout", "lifetime", "preloaded", "schema", "stage", "task"}
"""Modules of every stage (config is a package) that shape no result by themselves; a stage need not rerun when they
change."""


def file_of(module: str) -> Path | None:
    """The project's file of a dotted module name, if it is one."""
    path = ROOT.joinpath(*module.split("."))
    return next((f for f in (path.with_suffix(".py"), path / "__init__.py") if f.exists()), None)


def reached(entry: Path) -> set[Path]:
    """Every file of components that a stage's entry module imports, directly or not."""
    seen: set[Path] = set()
    waiting = [entry]
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        if file.relative_to(ROOT / "components").with_suffix("").parts[0] in PLUMBING:
            continue
        seen.add(file)
        waiting += [f for name in imported(file) if name.startswith("components.") and (f := file_of(name))]
    return seen


def test_every_stage_depends_on_the_modules_it_imports() -> None:
    """Else an edited module would not rerun the stage that uses it."""
    missing = []
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        module = f"components.{stage['cmd'].removeprefix('python -m components ')}"
        entry = file_of(f"{module}.__main__") or file_of(module)
        assert entry is not None, f"{name}: {module} does not exist"
        for file in sorted(reached(entry)):
            path = file.relative_to(ROOT).as_posix()
            if not any(path == d or path.startswith(d + "/") for d in stage["deps"]):
                missing.append(f"{name} needs {path}")
    assert not missing, missing
