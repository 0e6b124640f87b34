"""Which runtime FCVG's networks run on: the one asked for; "auto" is the fastest measured one that is here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from importlib.util import find_spec
from types import MappingProxyType

from codec_plugin.errors import OptionError
from fcvg.sampling.profile import ProfileName
from fcvg.sampling.settings import Fusion
from modelrt.opening import is_installed
from modelrt.options import Runtime


class FcvgRuntime(StrEnum):
    """What runs the networks."""

    AUTO = "auto"
    """The fastest measured one of those that are here."""
    TORCH = "torch"
    """PyTorch, from the weights."""
    ONNXRUNTIME = "onnxruntime"
    """ONNX Runtime, from exported graphs."""
    OPENVINO = "openvino"
    """OpenVINO, from exported graphs, on the CPU."""
    TENSORRT = "tensorrt"
    """TensorRT, from exported graphs, on an NVIDIA GPU."""


SPEEDS: Mapping[str, Mapping[Runtime, float]] = MappingProxyType(
    {
        "cpu": MappingProxyType({Runtime.OPENVINO: 1.21, Runtime.ONNXRUNTIME: 1.16, Runtime.TORCH: 1.0}),
        "cuda": MappingProxyType({Runtime.TORCH: 1.0}),  # nothing else was measured on a GPU
    }
)
"""How fast the UNet runs in float32 beside torch with its cross-attention folded: 60 million parameters, the mean of
one thread and two, on AMD EPYC (`benchmarks/results/fcvg_runtimes.json`). Another processor may say otherwise: `python
-m benchmarks fcvg-runtimes` measures it."""

_EXPORTERS = ("onnx", "onnxscript")


def can_export() -> bool:
    """Whether graphs can be exported here."""
    return all(find_spec(name) is not None for name in _EXPORTERS)


def chosen(
    asked: FcvgRuntime,
    *,
    torch_only: bool,
    device: str,
    graphs_given: bool,
    small: Callable[[], bool],
    installed: Callable[[Runtime], bool] = is_installed,
) -> Runtime:
    """The runtime that a clip is made on.

    Args:
        asked: by the user; anything but "auto" is taken as it is.
        torch_only: whether the way of sampling needs torch.
        device: cpu or cuda.
        graphs_given: whether the user named a folder of exported graphs.
        small: whether the networks are small enough for graphs to be exported at their first use.
        installed: tells whether a runtime is here.
    """
    if asked is not FcvgRuntime.AUTO:
        return Runtime(asked.value)
    if torch_only:
        return Runtime.TORCH
    fastest = sorted(SPEEDS[device], key=lambda runtime: -SPEEDS[device][runtime])
    for runtime in fastest:
        if runtime is Runtime.TORCH and not graphs_given:
            return runtime
        if runtime is not Runtime.TORCH and installed(runtime) and (graphs_given or (can_export() and small())):
            return runtime
    return Runtime.TORCH


def needs_torch(fusion: Fusion, profile: ProfileName) -> str | None:
    """Why a way of sampling can't do with exported graphs; None where it can."""
    if fusion is Fusion.GI:
        return (
            "the gi fusion hands one network's attention probabilities to the other, layer by layer, which an exported "
            "graph keeps to itself"
        )
    if profile is ProfileName.DEEPCACHE:
        return "the profile deepcache keeps features from inside the UNet, which an exported graph keeps to itself"
    if profile is ProfileName.LCM:
        return "the profile lcm lays other tensors over the UNet, which `codec-plugin export` doesn't"
    return None


def check_runtime(asked: FcvgRuntime, fusion: Fusion, profile: ProfileName) -> None:
    """Refuses what no exported graph can do.

    Raises:
        OptionError: fusion or profile needs torch; the message says why.
    """
    reason = needs_torch(fusion, profile)
    if reason is not None and asked not in (FcvgRuntime.AUTO, FcvgRuntime.TORCH):
        raise OptionError(f"{reason}: it doesn't run on {asked}; choose runtime=torch, or another one")
