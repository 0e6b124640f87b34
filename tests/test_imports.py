"""Importing costs nothing; the public names are the public names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import codec_plugin
import flowfill

HEAVY = {"torch", "cv2", "av", "numpy", "openvino", "onnxruntime", "tensorrt", "vapoursynth", "click", "rich"}
ROOT = Path(codec_plugin.__file__).parents[1]


def loaded_by(code: str) -> set[str]:
    """Top-level names of the modules that are loaded after running some code in a bare interpreter."""
    script = f"{code}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    paths = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'engines')!r}]\n"
    done = subprocess.run([sys.executable, "-c", paths + script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module",
    ["codec_plugin", "flowfill", *(f"codec_plugin.{name}" for name in ("options", "errors", "timing", "engine"))],
)
def test_importing_loads_nothing_heavy(module: str) -> None:
    light = HEAVY - {"numpy"} if module in ("codec_plugin.timing", "codec_plugin.engine") else HEAVY

    assert loaded_by(f"import {module}") & light == set()


def test_importing_both_packages_together_loads_nothing_heavy() -> None:
    assert loaded_by("import codec_plugin, flowfill") & HEAVY == set()


def test_asking_for_the_names_of_engines_loads_no_engine() -> None:
    loaded = loaded_by("import codec_plugin; assert 'dis' in codec_plugin.engine_names()")

    assert loaded & {"torch", "cv2", "openvino", "onnxruntime", "av"} == set()


@pytest.mark.parametrize("package", [codec_plugin, flowfill], ids=lambda package: package.__name__)
def test_every_public_name_resolves(package: object) -> None:
    names = package.__all__  # type: ignore[attr-defined]

    assert [name for name in names if not hasattr(package, name)] == []
    assert len(names) == len(set(names))


@pytest.mark.parametrize("package", ["codec_plugin", "flowfill"])
def test_the_public_names_are_exactly_those_listed(package: str) -> None:
    code = (
        f"import types, {package} as p\n"
        "for name in p.__all__: getattr(p, name)\n"
        "own = {n for n in dir(p) if not n.startswith('_') and not isinstance(getattr(p, n), types.ModuleType)}\n"
        "extra = own - set(p.__all__) - {'annotations', 'TYPE_CHECKING', 'import_module', 'Any'}\n"
        "assert not extra, extra\n"
    )

    assert package in loaded_by(code)


@pytest.mark.parametrize("package", [codec_plugin, flowfill], ids=lambda package: package.__name__)
def test_an_unknown_name_is_an_attribute_error(package: object) -> None:
    with pytest.raises(AttributeError, match="no_such_thing"):
        package.no_such_thing  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("package", [codec_plugin, flowfill], ids=lambda package: package.__name__)
def test_a_package_says_that_it_is_typed(package: object) -> None:
    assert (Path(str(package.__file__)).parent / "py.typed").is_file()  # type: ignore[attr-defined]


def test_every_module_of_the_package_can_be_imported_by_itself() -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sorted((ROOT / "codec_plugin").rglob("*.py"))
        if path.stem not in ("__init__", "__main__")
    ]

    afresh = "for name in [n for n in sys.modules if n.startswith('codec_plugin')]: del sys.modules[name]"
    loaded = loaded_by("import sys\n" + "\n".join(f"{afresh}\nimport {module}" for module in modules))

    assert "codec_plugin" in loaded
    assert loaded & {"torch", "openvino", "onnxruntime"} == set()
