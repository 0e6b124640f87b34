"""`codec-plugin build` and `codec-plugin cache`, through the command line."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from codec_plugin.cli.app import run
from modelrt import Manifest, Precision, Runtime, is_installed, load_manifest
from modelrt import parity as parities
from modelrt.choosing import CPU_SPEEDS, choose
from modelrt.manifest import file_of
from modelrt.parity import Case
from tests.modelrt.test_parity import SMALL
from tests.modelrt.test_parity_measure import MANIFEST, cases

ROOT = Path(__file__).parents[2]
needs_openvino = pytest.mark.skipif(not is_installed(Runtime.OPENVINO), reason="the runtime openvino is not installed")


def exported(folder: Path, *, unverified: str | None = "too large to run where it was exported") -> Path:
    """A folder as an export leaves it."""
    folder.mkdir()
    shutil.copy(SMALL, folder / "small.onnx")
    manifest = replace(MANIFEST, files=(file_of(folder / "small.onnx", folder=folder),), unverified=unverified)
    manifest.save(folder)
    return folder


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A package that can run the original network."""
    module = ModuleType("small_reference")
    module.cases = cases  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "small_reference", module)
    monkeypatch.setitem(parities._BUILT_IN, "small", "small_reference:cases")
    return module


def built(tmp_path: Path, *words: str) -> int:
    return run(["build", *words, "--dir", str(tmp_path / "engines")])


def listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    capsys.readouterr()
    assert run(["cache", "list", "--json", "--dir", str(tmp_path / "engines")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, list)
    return found


@needs_openvino
def test_an_engine_is_built_once_and_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (str(SMALL), "--runtime", "openvino", "--shape", "picture=1x3x20x28")
    assert built(tmp_path, *words) == 0
    said = capsys.readouterr().out
    assert "small.onnx: openvino fp32" in said
    assert "no manifest: nobody promises its numbers" in said
    assert built(tmp_path, *words) == 0
    assert "was there already" in capsys.readouterr().out

    (entry,) = listed(tmp_path, capsys)
    assert (entry["model"], entry["precision"], entry["kept"]) == ("small.onnx", "fp32", True)
    assert entry["shapes"] == "picture 1x3x20x28"


@needs_openvino
def test_the_list_fits_80_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = tmp_path / "a_model_with_a_name_that_is_longer_than_its_column.onnx"
    shutil.copy(SMALL, long)
    built(tmp_path, str(long))
    capsys.readouterr()
    assert run(["cache", "list", "--dir", str(tmp_path / "engines")]) == 0

    lines = capsys.readouterr().out.splitlines()[:2]
    assert all(len(line) <= 80 for line in lines)
    assert "a_model_with_a_name_t…" in lines[1]


def test_the_list_says_what_its_question_marks_mean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / f"{'0' * 64}.compiled").write_bytes(b"from nobody knows where")
    assert run(["cache", "list", "--dir", str(tmp_path)]) == 0
    assert "?: nothing beside the engine says what it was compiled from" in capsys.readouterr().out


@needs_openvino
def test_pruning_needs_to_know_which(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    built(tmp_path, str(SMALL))
    place = ("--dir", str(tmp_path / "engines"))
    assert run(["cache", "prune", *place]) == 2
    assert "say which" in capsys.readouterr().err
    assert run(["cache", "prune", "--unused-for", "1", *place]) == 0
    assert "0 deleted" in capsys.readouterr().out
    assert run(["cache", "prune", "--all", *place]) == 0
    assert "1 deleted" in capsys.readouterr().out
    assert listed(tmp_path, capsys) == []


@pytest.mark.parametrize("words", [["list"], ["prune", "--all"]], ids=" ".join)
def test_a_cache_that_is_not_there_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert run(["cache", *words, "--dir", str(tmp_path / "nothing")]) == 1
    assert "codec-plugin: error: there is no cache at" in capsys.readouterr().err


@needs_openvino
def test_an_unverified_model_is_refused_until_parity_has_passed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], reference: ModuleType
) -> None:
    folder = exported(tmp_path / "export")
    assert built(tmp_path, str(folder), "--runtime", "openvino") == 1
    assert "small.onnx is unverified (too large to run where it was exported)" in capsys.readouterr().err
    assert not (tmp_path / "engines").exists()

    assert built(tmp_path, str(folder), "--runtime", "openvino", "--verify") == 0
    assert "parity " in capsys.readouterr().out
    manifest = load_manifest(folder / "small.manifest.json")
    assert manifest.unverified is None
    assert manifest.parity[0].runtime.startswith("openvino ")
    assert built(tmp_path, str(folder / "small.onnx"), "--runtime", "openvino") == 0


@needs_openvino
def test_a_model_that_misses_its_reference_is_not_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], reference: ModuleType
) -> None:
    def wrong(manifest: Manifest, *, folder: Path, weights: Path | None) -> Iterator[Case]:
        for case in cases(manifest, folder=folder, weights=weights):
            yield replace(case, wanted={name: np.asarray(one) + 0.1 for name, one in case.wanted.items()})

    reference.cases = wrong  # type: ignore[attr-defined]
    folder = exported(tmp_path / "export")
    assert built(tmp_path, str(folder), "--runtime", "openvino", "--verify") == 1
    assert "misses its reference by" in capsys.readouterr().err
    assert listed(tmp_path, capsys) == []
    assert load_manifest(folder / "small.manifest.json").unverified is not None


@needs_openvino
def test_the_reference_is_asked_for_where_it_is_not_installed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert built(tmp_path, str(exported(tmp_path / "export")), "--runtime", "openvino", "--verify") == 1
    assert "the reference 'small' of small.onnx isn't installed" in capsys.readouterr().err
    assert not (tmp_path / "engines").exists()


def test_a_model_file_that_was_edited_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = exported(tmp_path / "export")
    graph = folder / "small.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"!")

    assert built(tmp_path, str(folder), "--verify") == 1
    assert "isn't the file that its manifest lists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["nothing.onnx"], "there is no such file or folder"),
        ([str(SMALL.parent)], "holds no manifest"),
        ([str(SMALL), "--device", "gpu"], "cpu, cuda:0"),
        ([str(SMALL), "--runtime", "onnx"], "compiles nothing ahead of time"),
        ([str(SMALL), "--verify"], "has no manifest"),
    ],
    ids=["no file", "no manifest", "no device", "nothing to compile", "nothing to verify with"],
)
def test_what_can_not_be_built_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
) -> None:
    assert built(tmp_path, *words) == 1
    assert complaint in capsys.readouterr().err


@needs_openvino
def test_a_cache_that_can_not_be_written_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "engines").write_bytes(b"a file where the folder should be")

    assert built(tmp_path, str(SMALL), "--runtime", "openvino") == 1
    assert "can't be" in capsys.readouterr().err


def test_a_runtime_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if is_installed(Runtime.TENSORRT):
        pytest.skip("the runtime tensorrt is installed here")
    assert built(tmp_path, str(SMALL), "--runtime", "tensorrt", "--device", "cuda:0") == 1
    assert "pip install tensorrt-cu13" in capsys.readouterr().err


@needs_openvino
@pytest.mark.slow  # a network is exported: a quarter of a minute on one core
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's exporter warns of torch's own functions
def test_an_exported_network_of_fcvg_is_verified_where_it_is_to_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("torch", "diffusers", "onnxscript"):
        pytest.importorskip(package, reason=f"the package {package}, which exports FCVG's networks, is not installed")
    from fcvg.tiny import make_tiny

    weights, graphs = tmp_path / "weights", tmp_path / "graphs"
    make_tiny(weights)
    words = ["--engine", "fcvg", "--weights", str(weights), "--graphs", "condition-encoder", "--size", "64x64"]
    assert run(["export", str(graphs), *words, "--frames", "3", "--check", "never", "-q"]) == 0
    assert built(tmp_path, str(graphs)) == 1
    assert "unverified (parity was not asked for)" in capsys.readouterr().err

    assert built(tmp_path, str(graphs), "--verify", "--weights", str(weights)) == 0
    (manifest,) = [load_manifest(path) for path in graphs.glob("*.manifest.json")]
    assert manifest.unverified is None
    assert manifest.parity[0].relative < 1e-4
    assert built(tmp_path, str(graphs)) == 0


def test_the_fastest_measured_runtime_that_is_here_is_chosen() -> None:
    fastest = choose("rife", installed=lambda runtime: runtime is not Runtime.TENSORRT)
    assert fastest is not None
    assert fastest.runtime is Runtime.OPENVINO
    assert "3.34 times" in fastest.reason
    second = choose("rife", installed=lambda runtime: runtime in (Runtime.ONNXRUNTIME, Runtime.TORCH))
    assert second is not None
    assert second.runtime is Runtime.ONNXRUNTIME
    unknown = choose("unet", device="cuda:0", installed=lambda runtime: True)
    assert unknown is not None
    assert unknown.runtime is Runtime.TORCH
    assert "nobody has measured unet on cuda:0" in unknown.reason
    assert choose("rife", installed=lambda runtime: False) is None


def test_the_table_is_the_measured_one() -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "runtimes.json").read_text())
    for runtime, speed in CPU_SPEEDS["rife"].items():
        measured = [clip["times_torch"][f"{runtime} {Precision.FP32}"] for clip in result["speed"]]
        assert speed == pytest.approx(float(np.median(measured)), abs=0.01)
