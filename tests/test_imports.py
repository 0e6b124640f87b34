"""Importing costs nothing; the public names are the public names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import codec_plugin
import fcvg
import flowfill
from modelrt import Runtime, is_installed
from tests.makers import decoded, write_clip

HEAVY = {
    "torch",
    "diffusers",
    "transformers",
    "cv2",
    "av",
    "numpy",
    "openvino",
    "onnxruntime",
    "tensorrt",
    "vapoursynth",
    "gi",
    "click",
    "rich",
}
ROOT = Path(codec_plugin.__file__).parents[1]
OF_DIS = {"guide", "interpolator", "midway", "motion", "parallel", "sample", "warp"}
WITHOUT_OPENCV = "import sys\nsys.modules['cv2'] = None\n"


def loaded_by(code: str) -> set[str]:
    """Top-level names of the modules that are loaded after running some code in a bare interpreter."""
    script = f"{code}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    roots = [str(ROOT / folder) for folder in ("", "engines", "bindings")]
    paths = f"import sys; sys.path[:0] = {roots!r}\n"
    done = subprocess.run([sys.executable, "-c", paths + script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        *("codec_plugin", "flowfill", "fcvg", "y4mfcvg", "vsfcvg", "gstfcvg", "gstfcvg.caps"),
        *(f"codec_plugin.{name}" for name in ("options", "errors", "timing", "engine")),
    ],
)
def test_importing_loads_nothing_heavy(module: str) -> None:
    light = HEAVY - {"numpy"} if module in ("codec_plugin.timing", "codec_plugin.engine") else HEAVY

    assert loaded_by(f"import {module}") & light == set()


def test_importing_all_packages_together_loads_nothing_heavy() -> None:
    assert loaded_by("import codec_plugin, flowfill, fcvg, y4mfcvg, vsfcvg, gstfcvg") & HEAVY == set()


def test_the_options_of_fcvg_can_be_read_and_its_weights_looked_for_without_torch() -> None:
    code = (
        "from codec_plugin.engine import engine_option_fields\nfrom codec_plugin.weights import weights_keeper\n"
        "assert engine_option_fields('fcvg')\nassert weights_keeper('fcvg').parts()"
    )

    assert loaded_by(code) & {"torch", "diffusers", "transformers"} == set()


def test_without_opencv_every_module_but_those_of_dis_can_be_imported() -> None:
    modules = [
        ".".join(path.relative_to(root).with_suffix("").parts)
        for root, package in ((ROOT, "codec_plugin"), (ROOT / "engines", "flowfill"))
        for path in sorted((root / package).rglob("*.py"))
        if path.stem not in ("__init__", "__main__") and path.parent.name != "export" and path.stem not in OF_DIS
    ]

    loaded = loaded_by(WITHOUT_OPENCV + "\n".join(f"import {module}" for module in modules))

    assert {"codec_plugin", "flowfill"} <= loaded


@pytest.mark.parametrize("engine", ["rife", "blend", "repeat"])
def test_without_opencv_films_are_restored(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if engine == "rife" and not is_installed(Runtime.OPENVINO):
        pytest.skip("the runtime openvino is not installed")
    film = write_clip(tmp_path / "film.mkv", frames=[frame for frame in range(24) if frame not in (7, 8, 15)])
    out = tmp_path / "out.mkv"
    options = f"codec_plugin.RestoreOptions(engine={engine!r}, duplicates=codec_plugin.Duplicates.FILL)"
    code = f"import codec_plugin\ncodec_plugin.restore({str(film)!r}, {str(out)!r}, options={options})"
    loaded_by(WITHOUT_OPENCV + code)

    assert len(decoded(out)) == 24


def test_without_opencv_dis_says_how_to_get_it_and_auto_takes_another() -> None:
    code = (
        "import codec_plugin.engine as engine, codec_plugin.errors as errors\n"
        "status = engine.engine_status('dis')\n"
        "assert 'pip install \"codec-plugin[dis]\"' in status.missing, status\n"
        "assert 'dis' not in engine.auto_candidates()\n"
        "try:\n    engine.load_engine('dis')\n"
        "except errors.EngineError as error: assert 'OpenCV' in str(error)\n"
        "else: raise SystemExit('dis was made without OpenCV')"
    )

    assert "cv2" not in loaded_by(WITHOUT_OPENCV + code + "\ndel sys.modules['cv2']")


def test_asking_for_the_names_of_engines_loads_no_engine() -> None:
    loaded = loaded_by("import codec_plugin; assert 'dis' in codec_plugin.engine_names()")

    assert loaded & {"torch", "cv2", "openvino", "onnxruntime", "av"} == set()


@pytest.mark.parametrize("package", [codec_plugin, flowfill, fcvg], ids=lambda package: package.__name__)
def test_every_public_name_resolves(package: object) -> None:
    names = package.__all__  # type: ignore[attr-defined]

    assert [name for name in names if not hasattr(package, name)] == []
    assert len(names) == len(set(names))


@pytest.mark.parametrize("package", ["codec_plugin", "flowfill", "fcvg"])
def test_the_public_names_are_exactly_those_listed(package: str) -> None:
    code = (
        f"import types, {package} as p\n"
        "for name in p.__all__: getattr(p, name)\n"
        "own = {n for n in dir(p) if not n.startswith('_') and not isinstance(getattr(p, n), types.ModuleType)}\n"
        "extra = own - set(p.__all__) - {'annotations', 'TYPE_CHECKING', 'import_module', 'Any'}\n"
        "assert not extra, extra\n"
    )

    assert package in loaded_by(code)


@pytest.mark.parametrize("package", [codec_plugin, flowfill, fcvg], ids=lambda package: package.__name__)
def test_an_unknown_name_is_an_attribute_error(package: object) -> None:
    with pytest.raises(AttributeError, match="no_such_thing"):
        package.no_such_thing  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("package", [codec_plugin, flowfill, fcvg], ids=lambda package: package.__name__)
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
