"""PyTorch on the CPU: the reference that the other runtimes are measured against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from modelrt.errors import ModelDamaged
from modelrt.model import Model, TorchModel
from modelrt.options import Precision, SessionOptions
from modelrt.session import Session
from modelrt.tensor import Tensor, TensorSpec, fixed_inputs
from modelrt.threads import take_thread_budget

_DTYPES = {Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}


def version() -> str:
    """PyTorch's version."""
    return str(torch.__version__)


def load(model: Model, *, options: SessionOptions) -> Session:
    """Wraps a module; lower precisions run under autocast, so that its weights stay as they are."""
    if not isinstance(model, TorchModel):
        raise ModelDamaged(f"{model.name} is ONNX; torch runs modules: use runtime openvino or onnxruntime")
    inputs = fixed_inputs(model.inputs, options.shapes)
    torch.set_num_threads(take_thread_budget())
    return TorchSession(model, inputs=inputs, precision=options.precision)


class TorchSession(Session):
    """A module in evaluation mode."""

    def __init__(self, model: TorchModel, *, inputs: tuple[TensorSpec, ...], precision: Precision) -> None:
        super().__init__(model.name, inputs=inputs, outputs=model.outputs)
        self._module: Any = model.module.eval()
        self._precision = precision

    def _run(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        given = [torch.from_numpy(np.require(tensors[spec.name], requirements=["C", "W"])) for spec in self.inputs]
        low = _DTYPES.get(self._precision)
        with torch.inference_mode(), torch.autocast("cpu", dtype=low, enabled=low is not None):
            made = self._module(*given)
        results = made if isinstance(made, tuple) else (made,)
        # numpy has no bfloat16, so whatever autocast left is widened before it leaves torch.
        return {
            spec.name: (result.float() if low is not None else result).numpy().astype(spec.dtype, copy=False)
            for spec, result in zip(self.outputs, results, strict=True)
        }

    def close(self) -> None:
        super().close()
        self._module = None
