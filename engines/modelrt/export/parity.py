"""Parity: how far what a runtime makes of a graph is from what torch makes of the module, on the same inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor as TorchTensor
from torch import nn

from modelrt.devices import device_name
from modelrt.errors import ModelNotSupported, ModelRuntimeError, PrecisionUnsupported
from modelrt.manifest import Parity
from modelrt.model import OnnxModel
from modelrt.opening import backend, is_installed, open_session
from modelrt.options import CPU, Precision, Runtime, SessionOptions
from modelrt.parity import Case, measure
from modelrt.session import Session
from modelrt.tensor import Tensor

TOLERANCES = {Precision.FP32: 1e-4, Precision.BF16: 2e-2, Precision.FP16: 2e-2}
"""How far a graph may be from its module in float32: sums in another order; 8 and 11 bits of mantissa, many roundings
deep."""
_JUDGES = {
    Precision.FP32: (Runtime.ONNXRUNTIME, Runtime.OPENVINO),
    Precision.FP16: (Runtime.ONNXRUNTIME, Runtime.OPENVINO),
    Precision.BF16: (Runtime.OPENVINO, Runtime.ONNXRUNTIME),  # ONNX Runtime's CPU kernels know no bfloat16
}


class NobodyRunsIt(ModelRuntimeError, RuntimeError):
    """No runtime on this machine runs the graph, so that its parity can't be measured here."""


def outputs_of(module: nn.Module, inputs: Mapping[str, TorchTensor], *, names: Sequence[str]) -> dict[str, Tensor]:
    """What torch makes of the inputs."""
    with torch.inference_mode():
        made = module(*inputs.values())
    tensors = made if isinstance(made, tuple) else (made,)
    return {name: tensor.float().numpy() for name, tensor in zip(names, tensors, strict=True)}


def measured(
    path: Path,
    *,
    inputs: Mapping[str, TorchTensor],
    wanted: Mapping[str, Tensor],
    precision: Precision,
    runtime: Runtime | None = None,
) -> Parity:
    """Runs a graph once and compares.

    Args:
        path: the graph's file.
        inputs: what it is given, and its module was.
        wanted: what the module made of it in float32.
        precision: what the graph is written in.
        runtime: who runs it; None for whoever on this machine can.

    Raises:
        NobodyRunsIt: nobody here can.
    """
    refusals = []
    for judge in (runtime,) if runtime is not None else _JUDGES[precision]:
        if not is_installed(judge):
            refusals.append(f"{judge} isn't installed")
            continue
        try:
            session, computed = _opened(path, judge, precision)
        except (PrecisionUnsupported, ModelNotSupported) as error:
            refusals.append(str(error))
            continue
        with session:
            return measure(
                session,
                iter((Case(inputs={name: tensor.numpy() for name, tensor in inputs.items()}, wanted=wanted),)),
                runtime=f"{judge} {backend(judge).version()}",
                device=device_name(CPU),
                precision=computed,
                reference=f"torch {torch.__version__} fp32",
            )
    raise NobodyRunsIt(f"no runtime here runs {path.name}: {'; '.join(refusals)}")


def _opened(path: Path, judge: Runtime, precision: Precision) -> tuple[Session, Precision]:
    """A session in the graph's own precision where the runtime computes in it, else in float32."""
    model = OnnxModel.from_file(path, remedy="export it again")
    if judge is Runtime.OPENVINO and precision is not Precision.FP32:
        try:
            return open_session(model, runtime=judge, options=SessionOptions(precision=precision)), precision
        except PrecisionUnsupported:
            pass
    return open_session(model, runtime=judge, options=SessionOptions(precision=Precision.FP32)), Precision.FP32
