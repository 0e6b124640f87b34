"""`SessionOptions` and the closed choices in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from modelrt.cache import CompileCache
from modelrt.errors import OptionsContradict

CPU = "cpu"
"""The device that is everywhere."""


class Runtime(StrEnum):
    """What runs a model."""

    OPENVINO = "openvino"
    """Intel's OpenVINO on the CPU."""
    ONNXRUNTIME = "onnxruntime"
    """ONNX Runtime, with the provider that `SessionOptions.provider` names."""
    TORCH = "torch"
    """PyTorch, for models that are modules and as the reference of the others."""
    TENSORRT = "tensorrt"
    """NVIDIA's TensorRT through its own Python API."""


class Precision(StrEnum):
    """What a model computes in. Inputs and outputs keep the types that the model declares."""

    FP32 = "fp32"
    """IEEE single precision throughout."""
    BF16 = "bf16"
    """bfloat16 where the runtime has it, at 8 bits of mantissa."""
    FP16 = "fp16"
    """IEEE half precision where the runtime has it."""


class Provider(StrEnum):
    """Who computes for ONNX Runtime."""

    CPU = "cpu"
    """Its own kernels on the CPU."""
    CUDA = "cuda"
    """Its own kernels on an NVIDIA GPU."""
    TENSORRT = "tensorrt"
    """Subgraphs go to TensorRT."""
    NV_TENSORRT_RTX = "nv_tensorrt_rtx"
    """Subgraphs go to TensorRT for RTX, a plug-in that comes in a package of its own."""


class TorchMode(StrEnum):
    """How torch runs a module."""

    EAGER = "eager"
    """Operation by operation."""
    COMPILE = "compile"
    """Through torch.compile; the first run of each shape compiles."""
    CUDA_GRAPHS = "cuda-graphs"
    """Recorded once for each shape, then replayed with one launch; on a GPU only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeRange:
    """The shapes of one input that an engine is built for."""

    smallest: tuple[int, ...]
    """The least extent of every axis."""
    usual: tuple[int, ...]
    """The one that it is tuned for."""
    largest: tuple[int, ...]
    """The greatest extent of every axis."""

    def __post_init__(self) -> None:
        if not (
            len(self.smallest) == len(self.usual) == len(self.largest)
            and all(a <= b <= c for a, b, c in zip(self.smallest, self.usual, self.largest, strict=True))
        ):
            raise OptionsContradict(f"a range of shapes goes smallest, usual, largest along each axis; this is {self}")

    def __str__(self) -> str:
        return f"{self.smallest} to {self.largest}"

    def holds(self, shape: tuple[int, ...]) -> bool:
        """Whether a shape lies in the range."""
        return len(shape) == len(self.smallest) and all(
            a <= extent <= b for a, extent, b in zip(self.smallest, shape, self.largest, strict=True)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """How a model is to be run."""

    precision: Precision = Precision.FP32
    """Always passed on explicitly: some runtimes go down to bfloat16 by themselves."""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Fixed shapes by input; a runtime compiles better for them. Inputs not named keep the model's own."""
    ranges: Mapping[str, ShapeRange] = field(default_factory=lambda: MappingProxyType({}))
    """For TensorRT, which builds for a range: that of each input of any shape which `shapes` doesn't fix."""
    cache: CompileCache | None = None
    """Where compiled models are kept between processes; None compiles each time."""
    device: str = CPU
    """Where it runs: cpu, or cuda:0, cuda:1 … for NVIDIA GPUs."""
    provider: Provider = Provider.CPU
    """Who computes for ONNX Runtime; the other runtimes don't look at it."""
    torch_mode: TorchMode = TorchMode.EAGER
    """How torch runs a module; the other runtimes don't look at it."""
    workspace_bytes: int | None = None
    """The most scratch memory that TensorRT may use for one layer while it builds and runs; None: all there is."""

    def __post_init__(self) -> None:
        if self.device != CPU and not re.fullmatch(r"cuda:\d+", self.device):
            raise OptionsContradict(f"the device {self.device!r} is none of: cpu, cuda:0, cuda:1 …")
        if self.workspace_bytes is not None and self.workspace_bytes < 1:
            raise OptionsContradict(f"a workspace has at least 1 byte, not {self.workspace_bytes}")
        both = sorted(set(self.shapes) & set(self.ranges))
        if both:
            raise OptionsContradict(f"{', '.join(both)}: the shape is either fixed (shapes) or in a range (ranges)")

    @property
    def on_gpu(self) -> bool:
        """Whether the device is an NVIDIA GPU."""
        return self.device != CPU

    @property
    def gpu_index(self) -> int:
        """The number of the GPU.

        Raises:
            OptionsContradict: the device is the CPU.
        """
        if not self.on_gpu:
            raise OptionsContradict("the device is the CPU, which has no number; name a GPU: device cuda:0")
        return int(self.device.removeprefix("cuda:"))
