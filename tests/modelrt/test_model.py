"""A model that is a file: its weights may lie beside it, and are neither loaded nor forgotten."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from modelrt import ModelDamaged, OnnxModel, Precision, Runtime, is_installed, open_session
from tests.modelrt.test_parity import SMALL, expected, tensors

ROOT = Path(__file__).parents[2]
ONNX_RUNTIMES = [Runtime.OPENVINO, Runtime.ONNXRUNTIME]


def split_model(folder: Path) -> Path:
    """The small graph with its weight in a file beside it."""
    onnx = pytest.importorskip("onnx", reason="the package onnx, which writes external data, is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "split.onnx"
    onnx.save_model(
        onnx.load(SMALL),
        path,
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location="split.onnx.data",
        size_threshold=0,
    )
    return path


def test_a_model_without_external_data_has_the_digest_of_its_bytes() -> None:
    model = OnnxModel.from_file(SMALL)

    assert model.files == (SMALL,)
    assert model.digest == hashlib.sha256(SMALL.read_bytes()).hexdigest()
    assert model.digest == OnnxModel(name="the same", data=SMALL.read_bytes()).digest
    assert model.data is None


def test_external_data_belongs_to_the_model(tmp_path: Path) -> None:
    model = OnnxModel.from_file(split_model(tmp_path))

    assert [file.name for file in model.files] == ["split.onnx", "split.onnx.data"]
    assert model.size_bytes == sum(path.stat().st_size for path in tmp_path.iterdir())


def test_a_changed_weight_changes_the_digest(tmp_path: Path) -> None:
    model = OnnxModel.from_file(split_model(tmp_path))
    before = model.digest
    weights = tmp_path / "split.onnx.data"
    changed = bytearray(weights.read_bytes())
    changed[5] ^= 1
    weights.write_bytes(changed)
    os.utime(weights, ns=(1, 1))

    assert model.digest != before


def test_the_digest_does_not_depend_on_where_the_model_lies(tmp_path: Path) -> None:
    here, there = split_model(tmp_path / "here"), split_model(tmp_path / "there")

    assert OnnxModel.from_file(here).digest == OnnxModel.from_file(there).digest


def test_a_digest_is_computed_once_for_an_unchanged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = OnnxModel.from_file(split_model(tmp_path))
    before = model.digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("the file was read again"))

    assert model.digest == before


@pytest.mark.parametrize("runtime", ONNX_RUNTIMES, ids=str)
def test_a_model_with_external_data_runs(runtime: Runtime, tmp_path: Path) -> None:
    if not is_installed(runtime):
        pytest.skip(f"the runtime {runtime} is not installed")
    given = tensors()
    with open_session(OnnxModel.from_file(split_model(tmp_path)), runtime=runtime) as session:
        made = session.run(given)["features"]

    assert float(np.abs(made - expected(given["picture"], given["places"])[0]).max()) < 1e-5


def test_weights_that_are_gone_are_named(tmp_path: Path) -> None:
    model = OnnxModel.from_file(split_model(tmp_path), remedy="export it again")
    (tmp_path / "split.onnx.data").unlink()

    with pytest.raises(ModelDamaged, match=r"split\.onnx\.data can't be read .*; export it again"):
        _ = model.digest


def test_a_graph_that_widens_its_weights_is_written_in_what_it_computes_in() -> None:
    shipped = ROOT / "engines" / "flowfill" / "data" / "rife" / "flow.onnx"  # stored in fp16, computes in fp32

    assert OnnxModel.from_file(shipped).written_in is Precision.FP32


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelDamaged, match=r"nothing\.onnx can't be read"):
        OnnxModel.from_file(tmp_path / "nothing.onnx")


@pytest.mark.parametrize("cut", [1, 60, 200])
def test_a_truncated_graph_is_no_model(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "short.onnx"
    path.write_bytes(SMALL.read_bytes()[:-cut])

    with pytest.raises(ModelDamaged, match=r"short\.onnx is not a model"):
        _ = OnnxModel.from_file(path).files


def test_weights_outside_the_models_folder_are_refused(tmp_path: Path) -> None:
    path = split_model(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"split.onnx.data", b"../it.onnx.data"))

    with pytest.raises(ModelDamaged, match="outside the model's folder"):
        _ = OnnxModel.from_file(path).digest


def test_a_model_is_bytes_or_a_file_and_not_both() -> None:
    with pytest.raises(ValueError, match="one of the two"):
        OnnxModel(name="both", data=b"", path=SMALL)
    with pytest.raises(ValueError, match="one of the two"):
        OnnxModel(name="neither")
