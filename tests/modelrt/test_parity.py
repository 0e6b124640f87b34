"""Every runtime runs this suite; one that isn't installed is skipped by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from modelrt import (
    Model,
    ModelDamaged,
    ModelRuntimeError,
    OnnxModel,
    Precision,
    PrecisionUnsupported,
    Runtime,
    Session,
    SessionOptions,
    TensorMismatch,
    TensorSpec,
    TorchModel,
    is_installed,
    open_session,
)
from tests.modelrt.tolerances import LARGEST_DIFFERENCE

SMALL = Path(__file__).parent / "golden" / "small.onnx"
Array = npt.NDArray[np.float32]


def small_weight() -> Array:
    return (((np.arange(4 * 3 * 9) * 7) % 13 - 6) / 16).astype(np.float32).reshape(4, 3, 3, 3)


def small_module() -> Any:
    import torch
    from torch.nn import functional

    weight = torch.from_numpy(small_weight())

    class Small(torch.nn.Module):
        def forward(self, picture: Any, places: Any) -> Any:
            features = functional.leaky_relu(functional.conv2d(picture, weight, padding=1), 0.2)
            sampled = functional.grid_sample(
                features.float(), places, mode="bilinear", padding_mode="border", align_corners=True
            )
            return features, sampled

    return Small()


def small_model(runtime: Runtime) -> Model:
    if runtime is not Runtime.TORCH:
        return OnnxModel.from_file(SMALL)
    single = np.dtype(np.float32)

    def spec(name: str, *shape: int | None) -> TensorSpec:
        return TensorSpec(name=name, dtype=single, shape=shape)

    return TorchModel(
        name="small",
        module=small_module(),
        inputs=(spec("picture", 1, 3, None, None), spec("places", 1, None, None, 2)),
        outputs=(spec("features", 1, 4, None, None), spec("sampled", 1, 4, None, None)),
    )


def expected(picture: Array, places: Array) -> tuple[Array, Array]:
    """The small graph in numpy, in double precision."""
    padded = np.pad(picture[0].astype(np.float64), ((0, 0), (1, 1), (1, 1)))
    height, width = picture.shape[2:]
    mixed = np.zeros((4, height, width))
    for row in range(3):
        for column in range(3):
            window = padded[:, row : row + height, column : column + width]
            mixed += np.einsum("oc,chw->ohw", small_weight()[:, :, row, column].astype(np.float64), window)
    features = np.where(mixed < 0, 0.2 * mixed, mixed)
    x = np.clip((places[0, ..., 0].astype(np.float64) + 1) / 2 * (width - 1), 0, width - 1)
    y = np.clip((places[0, ..., 1].astype(np.float64) + 1) / 2 * (height - 1), 0, height - 1)
    left, top = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
    right_share, bottom_share = x - left, y - top
    upper = features[:, top, left] * (1 - right_share) + features[:, top, left + 1] * right_share
    lower = features[:, top + 1, left] * (1 - right_share) + features[:, top + 1, left + 1] * right_share
    sampled = upper * (1 - bottom_share) + lower * bottom_share
    return features[None].astype(np.float32), sampled[None].astype(np.float32)


def tensors(height: int = 20, width: int = 28) -> dict[str, Array]:
    random = np.random.default_rng(3)
    return {
        "picture": random.random((1, 3, height, width), np.float32),
        "places": random.uniform(-1.2, 1.2, (1, 9, 11, 2)).astype(np.float32),
    }


@pytest.fixture(params=list(Runtime), ids=str)
def runtime(request: pytest.FixtureRequest) -> Runtime:
    chosen = Runtime(request.param)
    if not is_installed(chosen):
        pytest.skip(f"the runtime {chosen} is not installed")
    return chosen


@pytest.mark.parametrize("runtime", list(Runtime), ids=str)
def test_runs_on_lent_memory_and_gives_the_same(runtime: Runtime) -> None:
    torch = pytest.importorskip("torch", reason="the package torch, whose tensors are lent, is not installed")
    if runtime is Runtime.TENSORRT or not is_installed(runtime):
        pytest.skip(f"the runtime {runtime} is not installed, or needs a GPU (see test_gpu.py)")
    given = tensors()
    with open_session(small_model(runtime), runtime=runtime) as session:
        wanted = session.run(given)
        made = session.run_buffers({name: torch.from_numpy(tensor) for name, tensor in given.items()})
        again = session.run_buffers({**given, "picture": np.zeros_like(given["picture"])})

    for name, tensor in wanted.items():
        assert np.array_equal(torch.from_dlpack(made[name]).numpy(), tensor), name
    assert float(np.abs(torch.from_dlpack(again["features"]).numpy()).max()) == 0


@pytest.mark.parametrize(
    ("spoilt", "complaint"),
    [
        (lambda torch, tensor: torch.from_numpy(tensor).double(), "float64|double"),
        (lambda torch, tensor: torch.from_numpy(tensor)[:, :2], "shape|dense"),
    ],
    ids=["another type", "another shape"],
)
@pytest.mark.parametrize("runtime", [Runtime.OPENVINO, Runtime.ONNXRUNTIME, Runtime.TORCH], ids=str)
def test_lent_memory_that_does_not_fit_is_an_error(runtime: Runtime, spoilt: Any, complaint: str) -> None:
    torch = pytest.importorskip("torch", reason="the package torch, whose tensors are lent, is not installed")
    if not is_installed(runtime):
        pytest.skip(f"the runtime {runtime} is not installed")
    given = tensors()
    with (
        open_session(small_model(runtime), runtime=runtime) as session,
        pytest.raises(TensorMismatch, match=complaint),
    ):
        session.run_buffers({**given, "picture": spoilt(torch, given["picture"])})


@pytest.fixture
def session(runtime: Runtime) -> Iterator[Session]:
    with open_session(small_model(runtime), runtime=runtime) as opened:
        yield opened


@pytest.mark.parametrize("precision", list(Precision), ids=str)
def test_gives_the_same_numbers_as_plain_arithmetic(runtime: Runtime, precision: Precision) -> None:
    given = tensors()
    try:
        session = open_session(small_model(runtime), runtime=runtime, options=SessionOptions(precision=precision))
    except PrecisionUnsupported as error:
        assert precision is not Precision.FP32  # every runtime has that one
        pytest.skip(str(error))
    with session:
        made = session.run(given)
    for name, wanted in zip(("features", "sampled"), expected(given["picture"], given["places"]), strict=True):
        assert made[name].dtype == np.float32
        assert float(np.abs(made[name] - wanted).max()) < LARGEST_DIFFERENCE[precision], name


def test_says_what_it_takes_and_gives(session: Session) -> None:
    assert [(spec.name, spec.shape) for spec in session.inputs] == [
        ("picture", (1, 3, None, None)),
        ("places", (1, None, None, 2)),
    ]
    assert [spec.name for spec in session.outputs] == ["features", "sampled"]


def test_runs_at_any_size_where_none_was_fixed(session: Session) -> None:
    for height, width in ((20, 28), (7, 5), (33, 64)):
        assert session.run(tensors(height, width))["features"].shape == (1, 4, height, width)


def test_takes_only_the_fixed_shape_where_one_was_given(runtime: Runtime) -> None:
    options = SessionOptions(shapes={"picture": (1, 3, 20, 28), "places": (1, 9, 11, 2)})
    with open_session(small_model(runtime), runtime=runtime, options=options) as session:
        assert session.run(tensors())["sampled"].shape == (1, 4, 9, 11)
        with pytest.raises(TensorMismatch, match=r"\(1, 3, 21, 28\); the session takes picture"):
            session.run(tensors(21, 28))


@pytest.mark.parametrize("shapes", [{"picture": (1, 4, 8, 8)}, {"nothing": (1, 3, 8, 8)}])
def test_refuses_to_fix_shapes_that_the_model_does_not_have(
    runtime: Runtime, shapes: dict[str, tuple[int, ...]]
) -> None:
    with pytest.raises(TensorMismatch):
        open_session(small_model(runtime), runtime=runtime, options=SessionOptions(shapes=shapes))


def test_an_unknown_or_missing_name_is_an_error_that_lists_the_names(session: Session) -> None:
    given = tensors()
    with pytest.raises(TensorMismatch, match=r"small.*takes picture: float32.*places.*was given image, places"):
        session.run({"image": given["picture"], "places": given["places"]})


def test_a_wrong_type_is_an_error_that_says_how_to_convert(session: Session) -> None:
    given = tensors()
    with pytest.raises(TensorMismatch, match=r"use \.astype\(numpy\.float32\)"):
        session.run({**given, "picture": given["picture"].astype(np.float64)})


def test_views_and_read_only_arrays_are_taken_and_not_changed(session: Session) -> None:
    given = tensors()
    flipped = np.ascontiguousarray(given["picture"][:, :, ::-1])[:, :, ::-1]
    flipped.flags.writeable = False
    before = flipped.copy()
    made = session.run({**given, "picture": flipped})["features"]
    assert np.array_equal(made, session.run(given)["features"])
    assert np.array_equal(flipped, before)


def test_results_belong_to_the_caller(session: Session) -> None:
    first = session.run(tensors())["features"]
    kept = first.copy()
    session.run({**tensors(), "picture": np.zeros((1, 3, 20, 28), np.float32)})
    assert np.array_equal(first, kept)


def test_a_closed_session_says_so(session: Session) -> None:
    session.close()
    session.close()
    with pytest.raises(ModelRuntimeError, match="closed"):
        session.run(tensors())


def test_a_damaged_model_is_named_with_what_to_do(runtime: Runtime) -> None:
    damaged = OnnxModel(name="small.onnx", data=SMALL.read_bytes()[:200], remedy="reinstall the package")
    with pytest.raises(ModelDamaged, match=r"small\.onnx"):
        open_session(damaged, runtime=runtime)
