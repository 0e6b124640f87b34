"""The runtimes on an NVIDIA GPU: the same numbers as plain arithmetic, buffers lent without a copy, shapes guarded.

Skipped without a GPU unless REQUIRE_GPU=1, then a failure. A runtime that isn't installed beside the GPU is skipped by
name; REQUIRE_GPU=1 doesn't ask for all of them.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from modelrt import (
    CompileCache,
    Model,
    OnnxModel,
    OutOfDeviceMemory,
    OutsideProfile,
    Precision,
    Provider,
    ProviderMissing,
    Runtime,
    SessionOptions,
    ShapeRange,
    TensorMismatch,
    TorchMode,
    is_installed,
    open_session,
)
from modelrt.inventory import inventory
from tests.modelrt.test_parity import SMALL, expected, small_model, tensors
from tests.modelrt.tolerances import LARGEST_DIFFERENCE

GPU = "cuda:0"
RANGES = {
    "picture": ShapeRange(smallest=(1, 3, 8, 8), usual=(1, 3, 20, 28), largest=(1, 3, 64, 64)),
    "places": ShapeRange(smallest=(1, 1, 1, 2), usual=(1, 9, 11, 2), largest=(1, 16, 16, 2)),
}


def gpu_missing() -> str | None:
    """Why there is no GPU to test on; None where there is one."""
    if importlib.util.find_spec("torch") is None:
        return "torch, which looks for the GPU, is not installed"
    import torch

    return None if torch.cuda.is_available() else f"torch {torch.__version__} finds no NVIDIA GPU here"


pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def gpu() -> None:
    missing = gpu_missing()
    if missing is not None:
        if os.environ.get("REQUIRE_GPU") == "1":
            pytest.fail(f"REQUIRE_GPU=1, and {missing}")
        pytest.skip(missing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to run a model on a GPU."""

    runtime: Runtime
    """Which runtime."""
    options: SessionOptions
    """With what."""

    def __str__(self) -> str:
        if self.runtime is Runtime.TORCH:
            return f"torch {self.options.torch_mode}"
        return f"onnxruntime {self.options.provider}" if self.runtime is Runtime.ONNXRUNTIME else str(self.runtime)

    def model(self) -> Model:
        """The small graph, or the same as a module."""
        return small_model(Runtime.TORCH) if self.runtime is Runtime.TORCH else OnnxModel.from_file(SMALL)


WAYS = [
    *(Way(runtime=Runtime.TORCH, options=SessionOptions(device=GPU, torch_mode=mode)) for mode in TorchMode),
    Way(runtime=Runtime.ONNXRUNTIME, options=SessionOptions(device=GPU, provider=Provider.CUDA)),
    *(
        Way(runtime=Runtime.ONNXRUNTIME, options=SessionOptions(device=GPU, provider=provider, ranges=RANGES))
        for provider in (Provider.TENSORRT, Provider.NV_TENSORRT_RTX)
    ),
    Way(runtime=Runtime.TENSORRT, options=SessionOptions(device=GPU, ranges=RANGES)),
]


@pytest.fixture(params=WAYS, ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    chosen = request.param
    assert isinstance(chosen, Way)
    if not is_installed(chosen.runtime):
        pytest.skip(f"the runtime {chosen.runtime} is not installed")
    if chosen.runtime is Runtime.ONNXRUNTIME:
        from modelrt.backends.onnxruntime_providers import require_provider

        try:
            require_provider(chosen.options)
        except ProviderMissing as error:
            pytest.skip(str(error))
    return chosen


def test_gives_the_same_numbers_as_plain_arithmetic(way: Way) -> None:
    given = tensors()
    with open_session(way.model(), runtime=way.runtime, options=way.options) as session:
        made = session.run(given)

    for name, wanted in zip(("features", "sampled"), expected(given["picture"], given["places"]), strict=True):
        assert float(np.abs(made[name] - wanted).max()) < LARGEST_DIFFERENCE[Precision.FP32], name


def test_buffers_on_the_gpu_go_in_and_come_out_there(way: Way) -> None:
    import torch

    given = {name: torch.from_numpy(tensor).to(GPU) for name, tensor in tensors().items()}
    with open_session(way.model(), runtime=way.runtime, options=way.options) as session:
        first = torch.from_dlpack(session.run_buffers(given)["features"])
        kept = first.clone()
        again = torch.from_dlpack(
            session.run_buffers({**given, "picture": torch.zeros_like(given["picture"])})["features"]
        )
        with pytest.raises(TensorMismatch):
            session.run_buffers({**given, "picture": given["picture"].cpu()})

    assert first.device == torch.device(GPU)
    assert torch.equal(first, kept)  # it belongs to the caller
    assert not again.any()


def test_a_shape_outside_the_profile_is_named_with_the_range(way: Way) -> None:
    if not way.options.ranges:
        pytest.skip(f"{way} takes any shape")
    with (
        open_session(way.model(), runtime=way.runtime, options=way.options) as session,
        pytest.raises(OutsideProfile, match=r"\(1, 3, 8, 8\) to \(1, 3, 64, 64\)"),
    ):
        session.run(tensors(7, 20))


def test_an_engine_comes_from_the_cache_and_a_refused_one_is_built_again(tmp_path: Path) -> None:
    if not is_installed(Runtime.TENSORRT):
        pytest.skip("the runtime tensorrt is not installed")
    cache = CompileCache(directory=tmp_path)
    options = SessionOptions(device=GPU, ranges=RANGES, cache=cache)

    def made() -> bytes:
        with open_session(OnnxModel.from_file(SMALL), runtime=Runtime.TENSORRT, options=options) as session:
            return session.run(tensors())["features"].tobytes()

    first = made()
    (entry,) = inventory(tmp_path)
    assert made() == first
    entry.path.write_bytes(entry.path.read_bytes()[:-1])
    assert made() == first


def test_too_little_memory_is_named_with_what_fits() -> None:
    import torch

    with open_session(small_model(Runtime.TORCH), runtime=Runtime.TORCH, options=SessionOptions(device=GPU)) as session:
        _, total = torch.cuda.mem_get_info(GPU)
        held = torch.empty(int(total * 0.9), dtype=torch.uint8, device=GPU)
        rows = int((total * 0.05 / 12) ** 0.5)
        picture = torch.zeros((1, 3, rows, rows), device=GPU)
        places = torch.zeros((1, 1, 1, 2), device=GPU)
        with pytest.raises(OutOfDeviceMemory, match=r"should fit|GiB or more"):
            session.run_buffers({"picture": picture, "places": places})
        del held
