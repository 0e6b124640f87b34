"""Temporal convolutions in two dimensions.

torch 2.13's weight gradient of a Conv3d in bf16 on a CPU is not a number, for kernels of (3, 1, 1) and few frames. Rows
and columns as one axis make it a Conv2d of the same numbers, whose gradient is right.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.nn import functional


def make_planar(network: nn.Module) -> None:
    """Has a network's convolutions over time alone be computed so; its parameters stay as they are."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d) and module.kernel_size[1:] == (1, 1) and module.stride == (1, 1, 1):
            module.forward = partial(_convolved, module)  # type: ignore[method-assign]


def _convolved(module: nn.Conv3d, clip: Tensor) -> Tensor:
    """(batch, channel, frame, row, column) to the same."""
    weight = module.weight.squeeze(-1)
    padding = (int(module.padding[0]), 0)
    made = functional.conv2d(clip.flatten(3), weight, module.bias, padding=padding)
    return made.unflatten(-1, clip.shape[3:])
