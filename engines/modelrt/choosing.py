"""`choose`: which runtime `auto` stands for, by what is here and by how fast each was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from modelrt.opening import is_installed
from modelrt.options import CPU, Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A runtime, and why it was taken."""

    runtime: Runtime
    """Which one."""
    reason: str
    """For reports: the measured ratio, or that nothing was measured."""


CPU_SPEEDS: Mapping[str, Mapping[Runtime, float]] = MappingProxyType(
    {
        "rife": MappingProxyType({Runtime.OPENVINO: 3.34, Runtime.ONNXRUNTIME: 1.49, Runtime.TORCH: 1.0}),
    }
)
"""How many times as fast as torch a network runs on the CPU in fp32, by network: medians over the clips of
`benchmarks/results/runtimes.json` (2 cores, November 2026). A test holds them against that file."""

_UNMEASURED = {
    CPU: (Runtime.OPENVINO, Runtime.ONNXRUNTIME, Runtime.TORCH),
    "cuda": (Runtime.TORCH, Runtime.TENSORRT, Runtime.ONNXRUNTIME),
}
"""Where nothing was measured: on the CPU in RIFE's order; on a GPU torch first, which runs every network there."""


def choose(
    network: str,
    *,
    device: str = CPU,
    among: tuple[Runtime, ...] = tuple(Runtime),
    installed: Callable[[Runtime], bool] = is_installed,
) -> Choice | None:
    """The fastest measured runtime of those that are here; None where none is.

    Args:
        network: which one, as `CPU_SPEEDS` calls it; others have not been measured.
        device: cpu or cuda:N.
        among: the runtimes that the caller could use: a graph in ONNX is nothing for torch.
        installed: tells whether a runtime is here.
    """
    here = [runtime for runtime in among if installed(runtime)]
    speeds = CPU_SPEEDS.get(network, {}) if device == CPU else {}
    measured = [runtime for runtime in here if runtime in speeds]
    if measured:
        fastest = max(measured, key=lambda runtime: speeds[runtime])
        return Choice(runtime=fastest, reason=f"measured at {speeds[fastest]:.2f} times torch's speed on a CPU")
    order = _UNMEASURED[CPU if device == CPU else "cuda"]
    first = next((runtime for runtime in order if runtime in here), None)
    if first is None:
        return None
    return Choice(runtime=first, reason=f"nobody has measured {network} on {device}; {first} comes first then")
