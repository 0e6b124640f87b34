"""`SessionOptions` and the closed choices in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from modelrt.cache import CompileCache


class Runtime(StrEnum):
    """What runs a model."""

    OPENVINO = "openvino"
    """Intel's OpenVINO on the CPU."""
    ONNXRUNTIME = "onnxruntime"
    """ONNX Runtime's CPU provider."""
    TORCH = "torch"
    """PyTorch, for models that are modules and as the reference of the other two."""


class Precision(StrEnum):
    """What a model computes in. Inputs and outputs keep the types that the model declares."""

    FP32 = "fp32"
    """IEEE single precision throughout."""
    BF16 = "bf16"
    """bfloat16 where the runtime has it, at 8 bits of mantissa."""
    FP16 = "fp16"
    """IEEE half precision where the runtime has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """How a model is to be run."""

    precision: Precision = Precision.FP32
    """Always passed on explicitly: some runtimes go down to bfloat16 by themselves."""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Fixed shapes by input; a runtime compiles better for them. Inputs not named keep the model's own."""
    cache: CompileCache | None = None
    """Where compiled models are kept between processes; None compiles each time."""
