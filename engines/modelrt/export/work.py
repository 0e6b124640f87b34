"""Whether a graph can be run here, by the operations of one call and by its memory."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from modelrt.devices import free_host_bytes

RUNS_HERE = 4e12
"""Floating-point operations of one call up to which parity is measured on the spot: about a minute on two cores."""
_COPIES = 3  # weights in float32: the reference's, the runtime's own, and what it packs of them
_SHARE_OF_FREE = 0.7


def operations(module: nn.Module, inputs: Mapping[str, Tensor]) -> float:
    """The floating-point operations of one call, a multiplication and an addition counting as two; nothing is run."""
    with FakeTensorMode(allow_non_fake_inputs=True), FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*(torch.empty_like(tensor, device="cpu") for tensor in inputs.values()))
    return float(counter.get_total_flops())


def too_large(module: nn.Module, inputs: Mapping[str, Tensor], *, limit: float = RUNS_HERE) -> str | None:
    """Why a graph isn't run here; None where it is."""
    flop = operations(module, inputs)
    if flop > limit:
        return f"one call takes {flop / 1e12:.1f} TFLOP; up to {limit / 1e12:.0f} are run where a graph is exported"
    needed, free = parameters(module) * 4 * _COPIES, free_host_bytes()
    if free is not None and needed > free * _SHARE_OF_FREE:
        return f"running it takes about {needed / 1e9:.0f} GB beside its reference, and {free / 1e9:.0f} GB are free"
    return None


def parameters(module: nn.Module) -> int:
    """How many numbers the weights are."""
    return sum(parameter.numel() for parameter in module.parameters())


def weight_bytes(module: nn.Module) -> int:
    """What the weights take, as they are."""
    tensors = (*module.parameters(), *module.buffers())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
