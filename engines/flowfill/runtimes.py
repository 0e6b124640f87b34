"""What runs RIFE: the runtime asked for; "auto" is the fastest measured one that is here."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from importlib.util import find_spec

from modelrt import Runtime, is_installed
from modelrt.choosing import choose
from modelrt.options import CPU


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


_ON_CPU = (Runtime.OPENVINO, Runtime.ONNXRUNTIME, Runtime.TORCH)
_ON_GPU = (Runtime.ONNXRUNTIME,)


def chosen(asked: str, *, device: str = CPU, installed: Callable[[Runtime], bool] = is_installed) -> Runtime:
    """The runtime that frames are made on.

    Args:
        asked: by the user; anything but "auto" is taken as it is. "auto" goes by `modelrt.choosing`; where no runtime
            is here, it is the device's first, whose absence is then an error.
        device: cpu, or cuda:0, cuda:1 …
        installed: tells whether a runtime is here.
    """
    if asked != RifeRuntime.AUTO:
        return Runtime(asked)
    among = _ON_CPU if device == CPU else _ON_GPU
    readable = tuple(runtime for runtime in among if runtime is not Runtime.TORCH or can_read())
    choice = choose("rife", device=device, among=readable, installed=installed)
    return among[0] if choice is None else choice.runtime


def can_read() -> bool:
    """Whether a graph's weights can be read for torch."""
    return find_spec("onnx") is not None
