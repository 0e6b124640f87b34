"""The architecture as the folders promise it: data flows one way, and PyAV lives in `media`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import codec_plugin

ROOT = Path(codec_plugin.__file__).parent

# From the ground up: a module imports only from its own layer's packages and from those below.
LAYERS = (
    {"errors", "timing", "picture"},
    {"engine_options", "engine_work"},
    {"options"},
    {"engine"},
    {"media", "stages", "weights", "exports"},
    {"job"},
    {"timeline"},
    {"grids", "evidence", "budget"},
    {"plan"},
    {"planfile", "schedule", "preflight", "maptag"},
    {"filling"},
    {"routing"},
    {"weave"},
    {"report"},
    {"copying", "survey"},
    {"runner"},
    {"smart"},
    {"api", "decoder", "comparison", "verification"},
    {"thinning"},
    {"rd", "benching"},
    {"cli"},
    {"__main__"},
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
MODULES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def part_of(path: Path) -> str:
    """The top-level module or package that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[str]:
    """The full names of the modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_from_its_own_layer_and_those_below(path: Path) -> None:
    own = part_of(path)
    for name in imports_of(path):
        if name.startswith("codec_plugin."):
            other = name.split(".")[1]
            assert other == own or LEVEL[other] < LEVEL[own], f"{own} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pyav_is_imported_in_media_only(path: Path) -> None:
    names = {name.split(".")[0] for name in imports_of(path)}
    assert "av" not in names or part_of(path) == "media"


def test_fcvg_reads_and_encodes_films_through_the_media_layer_only() -> None:
    paths = sorted((ROOT.parent / "engines" / "fcvg").rglob("*.py"))

    assert len(paths) > 30
    assert [path.name for path in paths if "av" in {name.split(".")[0] for name in imports_of(path)}] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_library_code_imports_no_click_and_no_engine(path: Path) -> None:
    names = {name.split(".")[0] for name in imports_of(path)}
    assert not names & {"flowfill", "fcvg", "modelrt"}
    assert "click" not in names or part_of(path) == "cli"
