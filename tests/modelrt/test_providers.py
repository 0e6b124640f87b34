"""What isn't there is named with what to install, and nothing runs on the CPU by itself."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelrt import (
    DeviceMissing,
    ModelNotSupported,
    OnnxModel,
    OptionsContradict,
    OutOfDeviceMemory,
    OutsideProfile,
    Precision,
    PrecisionUnsupported,
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
from modelrt.memory import Shortage, smaller_setting, smaller_workspace
from modelrt.profiles import key_of, spans
from tests.modelrt.test_parity import SMALL, small_model, tensors

needs_onnxruntime = pytest.mark.skipif(
    not is_installed(Runtime.ONNXRUNTIME), reason="the runtime onnxruntime is not installed"
)
needs_torch = pytest.mark.skipif(not is_installed(Runtime.TORCH), reason="the runtime torch is not installed")
GIB = 1 << 30


def has_provider(provider: Provider) -> bool:
    import onnxruntime

    from modelrt.backends.onnxruntime_providers import NAMES

    if provider is Provider.NV_TENSORRT_RTX:
        return importlib.util.find_spec("onnxruntime_ep_nv_tensorrt_rtx") is not None
    return NAMES[provider] in onnxruntime.get_available_providers()


@needs_onnxruntime
@pytest.mark.parametrize(
    ("provider", "package"),
    [
        (Provider.CUDA, "pip install onnxruntime-gpu"),
        (Provider.TENSORRT, "tensorrt-cu13"),
        (Provider.NV_TENSORRT_RTX, "pip install onnxruntime-ep-nv-tensorrt-rtx-cu13"),
    ],
)
def test_a_provider_that_is_not_installed_is_named_with_how_to_install_it(provider: Provider, package: str) -> None:
    if has_provider(provider):
        pytest.skip(f"the provider {provider} is installed here")
    options = SessionOptions(provider=provider, device="cuda:0")

    with pytest.raises(ProviderMissing) as caught:
        open_session(OnnxModel.from_file(SMALL), runtime=Runtime.ONNXRUNTIME, options=options)
    assert package in str(caught.value)


@needs_onnxruntime
def test_the_plug_in_without_a_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from modelrt.backends import onnxruntime_providers

    def no_driver(name: str) -> Any:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(onnxruntime_providers.util, "find_spec", lambda name: object())
    monkeypatch.setattr(onnxruntime_providers.ctypes, "CDLL", no_driver)
    options = SessionOptions(provider=Provider.NV_TENSORRT_RTX, device="cuda:0")

    with pytest.raises(DeviceMissing, match=r"needs an NVIDIA GPU and its driver \(libcuda\.so\.1"):
        open_session(OnnxModel.from_file(SMALL), runtime=Runtime.ONNXRUNTIME, options=options)


@needs_onnxruntime
def test_a_session_that_was_opened_on_another_provider_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from modelrt.backends import onnxruntime_providers as providers

    monkeypatch.setattr(providers.onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])

    class Elsewhere:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

    monkeypatch.setattr(providers.onnxruntime, "InferenceSession", Elsewhere)
    options = SessionOptions(provider=Provider.CUDA, device="cuda:0")

    with pytest.raises(ProviderMissing, match="CPUExecutionProvider and not on cuda"):
        open_session(OnnxModel.from_file(SMALL), runtime=Runtime.ONNXRUNTIME, options=options)


@needs_onnxruntime
def test_arithmetic_left_to_the_cpu_is_seen_and_shapes_are_not() -> None:
    from modelrt.backends.onnxruntime_providers import on_the_cpu

    placed = {"CUDAExecutionProvider": ["Conv"], "CPUExecutionProvider": ["Shape", "Gather", "GridSample", "Conv"]}
    assert on_the_cpu(placed) == ["Conv", "GridSample"]
    assert on_the_cpu({"CUDAExecutionProvider": ["Conv"], "CPUExecutionProvider": ["Shape"]}) == []


@needs_onnxruntime
@pytest.mark.parametrize(
    "options",
    [SessionOptions(provider=Provider.CUDA), SessionOptions(device="cuda:0")],
    ids=["provider without device", "device without provider"],
)
def test_a_provider_that_does_not_run_on_the_device_is_refused(options: SessionOptions) -> None:
    with pytest.raises(OptionsContradict, match="doesn't run on"):
        open_session(OnnxModel.from_file(SMALL), runtime=Runtime.ONNXRUNTIME, options=options)


@pytest.mark.skipif(not is_installed(Runtime.OPENVINO), reason="the runtime openvino is not installed")
def test_openvino_does_not_take_a_gpus_job() -> None:
    with pytest.raises(OptionsContradict, match="use device cpu"):
        open_session(OnnxModel.from_file(SMALL), runtime=Runtime.OPENVINO, options=SessionOptions(device="cuda:0"))


@needs_torch
def test_torch_without_a_gpu_says_why() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(DeviceMissing, match=r"cuda:0 was asked for, and torch .* (was built without|finds no)"):
        open_session(small_model(Runtime.TORCH), runtime=Runtime.TORCH, options=SessionOptions(device="cuda:0"))


@needs_torch
def test_cuda_graphs_on_the_cpu_are_refused() -> None:
    options = SessionOptions(torch_mode=TorchMode.CUDA_GRAPHS)

    with pytest.raises(OptionsContradict, match="need an NVIDIA GPU"):
        open_session(small_model(Runtime.TORCH), runtime=Runtime.TORCH, options=options)


@needs_torch
@pytest.mark.slow  # the C++ compiler behind torch.compile takes a quarter of a minute
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch 2.13's compiler warns of torch's own functions
def test_a_compiled_module_gives_the_same_numbers() -> None:
    given = tensors()
    options = SessionOptions(torch_mode=TorchMode.COMPILE)
    with (
        open_session(small_model(Runtime.TORCH), runtime=Runtime.TORCH) as eager,
        open_session(small_model(Runtime.TORCH), runtime=Runtime.TORCH, options=options) as compiled,
    ):
        wanted, made = eager.run(given), compiled.run(given)

    for name, tensor in wanted.items():
        assert float(np.abs(made[name] - tensor).max()) < 2e-5, name


@needs_torch
def test_what_torch_can_not_compile_is_an_error_and_not_run_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def refuse(*_: object) -> None:
        raise torch._dynamo.exc.Unsupported("a loop over data")  # type: ignore[attr-defined]

    monkeypatch.setattr(torch, "compile", lambda module, **_: refuse)
    options = SessionOptions(torch_mode=TorchMode.COMPILE)
    with (
        open_session(small_model(Runtime.TORCH), runtime=Runtime.TORCH, options=options) as session,
        pytest.raises(ModelNotSupported, match="a loop over data; use torch mode eager"),
    ):
        session.run(tensors())


@pytest.mark.parametrize("device", ["gpu", "cuda", "cuda:x", "CUDA:0", ""])
def test_a_device_has_a_name_that_is_known(device: str) -> None:
    with pytest.raises(OptionsContradict, match="cpu, cuda:0"):
        SessionOptions(device=device)


@needs_onnxruntime
def test_a_half_precision_graph_runs_in_its_own_precision(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="the package onnx, which writes the graph, is not installed")
    half = onnx.TensorProto.FLOAT16
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "weight"], ["y"])],
        "half",
        [onnx.helper.make_tensor_value_info("x", half, [2, 3])],
        [onnx.helper.make_tensor_value_info("y", half, [2, 4])],
        [onnx.numpy_helper.from_array(np.full((3, 4), 0.5, np.float16), "weight")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    onnx.save_model(model, tmp_path / "half.onnx")
    half_model = OnnxModel.from_file(tmp_path / "half.onnx")

    assert half_model.written_in is Precision.FP16
    with open_session(
        half_model, runtime=Runtime.ONNXRUNTIME, options=SessionOptions(precision=Precision.FP16)
    ) as session:
        made = session.run({"x": np.ones((2, 3), np.float16)})["y"]
    assert made.dtype == np.float16
    assert float(made[0, 0]) == 1.5
    with pytest.raises(PrecisionUnsupported, match="in fp16, which it is written in, not bf16"):
        open_session(half_model, runtime=Runtime.ONNXRUNTIME, options=SessionOptions(precision=Precision.BF16))


RANGE = ShapeRange(smallest=(1, 3, 8, 8), usual=(1, 3, 20, 28), largest=(1, 3, 64, 64))


@needs_onnxruntime
def test_a_shape_outside_the_range_is_named_with_the_range() -> None:
    options = SessionOptions(ranges={"picture": RANGE})
    with open_session(OnnxModel.from_file(SMALL), runtime=Runtime.ONNXRUNTIME, options=options) as session:
        session.run(tensors())
        with pytest.raises(
            OutsideProfile, match=r"'picture' has shape \(1, 3, 7, 20\); .*\(1, 3, 8, 8\) to \(1, 3, 64"
        ):
            session.run(tensors(7, 20))


def test_a_range_goes_from_smallest_to_largest() -> None:
    with pytest.raises(OptionsContradict, match="smallest, usual, largest"):
        ShapeRange(smallest=(2, 2), usual=(1, 2), largest=(3, 3))
    with pytest.raises(OptionsContradict, match="picture: the shape is either fixed"):
        SessionOptions(ranges={"picture": RANGE}, shapes={"picture": (1, 3, 8, 8)})


INPUTS = {"picture": (1, 3, -1, -1), "position": (1, 1)}


def test_the_profile_has_a_range_for_every_input() -> None:
    made = spans(INPUTS, SessionOptions(ranges={"picture": RANGE}))
    assert made["picture"] == RANGE
    assert made["position"] == ShapeRange(smallest=(1, 1), usual=(1, 1), largest=(1, 1))
    fixed = spans(INPUTS, SessionOptions(shapes={"picture": (1, 3, 4, 4)}))["picture"]
    assert fixed.smallest == fixed.largest == (1, 3, 4, 4)


def test_a_profile_that_does_not_fit_the_graph_is_refused() -> None:
    with pytest.raises(TensorMismatch, match=r"'picture' \(1, 3, -1, -1\) has none: fix it"):
        spans(INPUTS, SessionOptions())
    with pytest.raises(TensorMismatch, match="no input is called image"):
        spans(INPUTS, SessionOptions(shapes={"image": (1, 3, 4, 4)}))
    with pytest.raises(OutsideProfile, match="goes beyond it"):
        spans(INPUTS, SessionOptions(shapes={"picture": (1, 4, 4, 4)}))


def test_an_engines_key_knows_the_gpu_the_shapes_and_the_limits() -> None:
    model = OnnxModel.from_file(SMALL)

    def digest(options: SessionOptions, *, device: str = "A", capability: str = "8.9", runtime: str = "trt 1") -> str:
        return key_of(model, options=options, device=device, capability=capability, runtime=runtime).digest

    plain = SessionOptions()
    others = [
        digest(plain, device="B"),
        digest(plain, capability="9.0"),
        digest(plain, runtime="trt 2"),
        digest(SessionOptions(precision=Precision.FP16)),
        digest(SessionOptions(shapes={"picture": (1, 3, 8, 8)})),
        digest(SessionOptions(ranges={"picture": RANGE})),
        digest(SessionOptions(workspace_bytes=1 << 20)),
    ]
    assert len({digest(plain), *others}) == len(others) + 1


def shortage(**changed: Any) -> Shortage:
    facts: dict[str, Any] = {
        "device": "cuda:0",
        "doing": "running unet.onnx",
        "needed_bytes": 30 * GIB,
        "limit_bytes": 24 * GIB,
        "weights_bytes": 3 * GIB,
        "precision": Precision.FP16,
        "shapes": {"sample": (4, 25, 8, 72, 128)},
    }
    return Shortage(**{**facts, **changed})


def test_a_shortage_of_memory_names_what_was_needed_and_what_fits() -> None:
    text = str(shortage())

    assert "running unet.onnx with sample (4, 25, 8, 72, 128) takes at least 30.0 GiB; cuda:0 has 24.0 GiB" in text
    assert text.endswith("By proportion 2 in place of 4 along the first axis should fit")


@pytest.mark.parametrize(
    ("changed", "advice"),
    [
        ({"precision": Precision.FP32}, "precision fp16 or bf16"),
        ({"shapes": {"sample": (1, 25, 8, 72, 128)}}, r"0\.83 times the width and height"),
        ({"limit_bytes": 2 * GIB}, "weights alone don't fit: take a device with 30 GiB"),
    ],
)
def test_the_smaller_setting_depends_on_what_can_shrink(changed: dict[str, Any], advice: str) -> None:
    import re

    assert re.search(advice, smaller_setting(shortage(**changed)))


@needs_torch
def test_torchs_shortage_of_memory_becomes_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from modelrt.backends.torch_memory import asked_bytes, shortages

    assert asked_bytes("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 …") == int(2.5 * GIB)
    for name, value in (("mem_get_info", (GIB, 8 * GIB)), ("memory_allocated", 5 * GIB), ("memory_reserved", 6 * GIB)):
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    with (
        pytest.raises(OutOfDeviceMemory, match=r"running it with x \(2, 3\) takes at least 9\.0 GiB.*7\.0 GiB"),
        shortages("running it", device="cuda:0", precision=Precision.FP16, shapes={"x": (2, 3)}),
    ):
        raise torch.OutOfMemoryError("Tried to allocate 4.00 GiB")


def test_a_build_that_runs_out_of_memory_is_given_a_limit_that_fits() -> None:
    assert "workspace_bytes 4294967296 (--workspace 4096)" in smaller_workspace(10 * GIB, 3 * GIB, None)
    assert "--workspace 512)" in smaller_workspace(10 * GIB, 3 * GIB, GIB)
    assert "Its weights alone leave too little" in smaller_workspace(6 * GIB, 3 * GIB, None)
