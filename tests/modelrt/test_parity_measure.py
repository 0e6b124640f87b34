"""How a graph is held against its reference."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from modelrt import (
    Manifest,
    ManifestTensor,
    ModelUnverified,
    OnnxModel,
    ParityMissed,
    Precision,
    Runtime,
    is_installed,
    open_session,
)
from modelrt import parity as parity_module
from modelrt.manifest import file_of
from modelrt.parity import Case, check, difference, measure, reference_of
from tests.modelrt.test_parity import SMALL, expected, tensors

MANIFEST = Manifest(
    model="small",
    graph="small.onnx",
    files=(file_of(SMALL, folder=SMALL.parent),),
    inputs=(ManifestTensor(name="picture", dtype="float32", shape=(1, 3, None, None)),),
    outputs=(ManifestTensor(name="features", dtype="float32", shape=(1, 4, None, None)),),
    precision=Precision.FP32,
    opset=20,
    weights_sha256="00",
    tolerance=1e-4,
    reference="small",
    unverified="nobody looked",
)


def cases(manifest: Manifest, *, folder: Path, weights: Path | None) -> Iterator[Case]:
    given = tensors()
    features, sampled = expected(given["picture"], given["places"])
    yield Case(inputs=given, wanted={"features": features, "sampled": sampled})


def test_equal_arrays_are_no_distance_apart() -> None:
    one = {"a": np.arange(6.0), "b": np.zeros(3)}

    assert difference(one, one).relative == difference(one, one).largest == 0


def test_the_worst_array_decides() -> None:
    wanted = {"good": np.ones(100), "bad": np.array([3.0, 4.0])}
    made = {"good": np.ones(100), "bad": np.array([3.0, 4.5])}

    assert difference(made, wanted).relative == pytest.approx(0.1)
    assert difference(made, wanted).largest == pytest.approx(0.125)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_infinitely_far(value: float) -> None:
    assert difference({"a": np.array([1.0, value])}, {"a": np.ones(2)}).relative == np.inf
    assert difference({"a": np.ones(2)}, {"a": np.array([1.0, value])}).relative == np.inf
    assert difference({"a": np.ones(2)}, {"a": np.array([1.0, value])}).largest == np.inf
    assert difference({"a": np.ones((2, 1))}, {"a": np.ones(2)}).relative == np.inf


def test_a_sound_graph_passes_and_says_on_what() -> None:
    if not is_installed(Runtime.OPENVINO):
        pytest.skip("the runtime openvino is not installed")
    with open_session(OnnxModel.from_file(SMALL), runtime=Runtime.OPENVINO) as session:
        found = measure(
            session,
            cases(MANIFEST, folder=SMALL.parent, weights=None),
            runtime="openvino",
            device="cpu",
            precision=Precision.FP32,
            reference="numpy",
        )
    check(MANIFEST, found)
    assert found.relative < 1e-5
    assert MANIFEST.verified(found).unverified is None
    with pytest.raises(ParityMissed, match=r"small\.onnx misses its reference by .* where 1\.0e-10 is allowed"):
        check(replace(MANIFEST, tolerance=1e-10), found)


def test_a_reference_without_cases_proves_nothing() -> None:
    if not is_installed(Runtime.OPENVINO):
        pytest.skip("the runtime openvino is not installed")
    with (
        open_session(OnnxModel.from_file(SMALL), runtime=Runtime.OPENVINO) as session,
        pytest.raises(ModelUnverified, match="no case"),
    ):
        measure(session, iter(()), runtime="r", device="d", precision=Precision.FP32, reference="nobody")


def test_the_reference_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("small_reference")
    module.cases = cases  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "small_reference", module)
    monkeypatch.setitem(parity_module._BUILT_IN, "small", "small_reference:cases")

    assert reference_of(MANIFEST) is cases


@pytest.mark.parametrize(
    ("name", "complaint"), [(None, "names no reference"), ("nobody", "isn't installed; there are: fcvg")]
)
def test_a_reference_that_is_not_there_is_named(name: str | None, complaint: str) -> None:
    with pytest.raises(ModelUnverified, match=complaint):
        reference_of(replace(MANIFEST, reference=name))
