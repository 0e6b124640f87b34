"""What runs RIFE: the runtime asked for; "auto" is the fastest measured one that is here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from importlib.util import find_spec
from types import MappingProxyType

from modelrt import Runtime, is_installed


class RifeRuntime(StrEnum):
    """What runs the network."""

    AUTO = "auto"
    """The fastest measured one of those that are here."""
    OPENVINO = "openvino"
    """OpenVINO on the CPU: the base install's."""
    ONNXRUNTIME = "onnxruntime"
    """ONNX Runtime on the CPU."""
    TORCH = "torch"
    """PyTorch on the CPU, with the weights of the same graphs; it needs the package onnx to read them."""
    TENSORRT = "tensorrt"
    """TensorRT on the first NVIDIA GPU."""


SPEEDS: Mapping[Runtime, float] = MappingProxyType(
    {Runtime.OPENVINO: 2.42, Runtime.ONNXRUNTIME: 1.11, Runtime.TORCH: 1.0}
)
"""How fast a frame is made beside torch, in fp32 on two cores: `benchmarks/results/runtimes.json`."""


def chosen(asked: str, *, installed: Callable[[Runtime], bool] = is_installed) -> Runtime:
    """The runtime that frames are made on; where none is here, the base install's, whose absence is then an error."""
    if asked != RifeRuntime.AUTO:
        return Runtime(asked)
    here = [runtime for runtime in SPEEDS if installed(runtime) and (runtime is not Runtime.TORCH or can_read())]
    return max(here, key=lambda runtime: SPEEDS[runtime], default=Runtime.OPENVINO)


def can_read() -> bool:
    """Whether a graph's weights can be read for torch."""
    return find_spec("onnx") is not None
