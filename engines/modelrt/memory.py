"""What is smaller, where a device's memory didn't suffice: arithmetic for error messages."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from modelrt.options import Precision

_GIB = 1 << 30
_SLACK = 0.9  # allocators round up, and other programs use the device too


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """How much there was, and how much it would have taken."""

    device: str
    """Which device."""
    doing: str
    """What took too much: running unet.onnx, building it …"""
    needed_bytes: int
    """What it would have taken in all, as far as it is known: up to the allocation that failed."""
    limit_bytes: int
    """What the process could have had."""
    weights_bytes: int = 0
    """The part that doesn't shrink with the shapes."""
    precision: Precision = Precision.FP32
    """What it computed in."""
    shapes: Mapping[str, tuple[int, ...]]
    """The inputs' shapes."""

    def __str__(self) -> str:
        shown = ", ".join(f"{name} {shape}" for name, shape in self.shapes.items())
        return (
            f"{self.doing} with {shown} takes at least {self.needed_bytes / _GIB:.1f} GiB; {self.device} has "
            f"{self.limit_bytes / _GIB:.1f} GiB for it. {smaller_setting(self)}"
        )


def smaller_setting(shortage: Shortage) -> str:
    """The nearest setting that should fit, by proportion: a lower precision, a smaller batch, a smaller picture."""
    limit = shortage.limit_bytes * _SLACK
    if shortage.precision is Precision.FP32 and shortage.needed_bytes / 2 <= limit:
        return "Half of it should fit: precision fp16 or bf16"
    movable = max(1, shortage.needed_bytes - shortage.weights_bytes)
    share = (limit - shortage.weights_bytes) / movable
    if share <= 0:
        return f"Its weights alone don't fit: take a device with {math.ceil(shortage.needed_bytes / _GIB)} GiB or more"
    firsts = {shape[0] for shape in shortage.shapes.values() if shape}
    batch = max(firsts, default=1)
    if math.floor(batch * share) >= 1:
        fewer = max(1, min(batch - 1, math.floor(batch * share)))
        return f"By proportion {fewer} in place of {batch} along the first axis should fit"
    side = math.sqrt(min(share, 1.0))
    return f"By proportion pictures of {side:.2f} times the width and height should fit"


def smaller_workspace(free_bytes: int, weights_bytes: int, limit_bytes: int | None) -> str:
    """What to try after a build that ran out of memory: the builder holds the weights twice beside its scratch."""
    left = free_bytes - 2 * weights_bytes
    if limit_bytes is not None:
        left = min(left, limit_bytes // 2)
    if left < 64 << 20:
        return "Its weights alone leave too little: use a model in fp16, smaller shapes, or free the GPU"
    return f"A scratch memory of {left >> 20} MiB should fit: workspace_bytes {left} (--workspace {left >> 20})"
