"""ONNX Runtime's CPU provider."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import onnxruntime

from modelrt.errors import ModelDamaged, PrecisionUnsupported
from modelrt.model import Model, OnnxModel
from modelrt.options import Precision, SessionOptions
from modelrt.session import Session
from modelrt.tensor import Tensor, TensorSpec, fixed_inputs
from modelrt.threads import take_thread_budget

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(bool)": np.bool_,
}


def version() -> str:
    """ONNX Runtime's version."""
    return str(onnxruntime.__version__)


@cache
def _share_threads() -> None:
    """Makes the one pool that every session of the process uses; ORT takes its size only before the first."""
    onnxruntime.set_global_thread_pool_sizes(take_thread_budget(), 1)


def load(model: Model, *, options: SessionOptions) -> Session:
    """Opens an ONNX model.

    The compile cache isn't used: a session is ready soon enough without (first frame 1.4 s after start).
    """
    if not isinstance(model, OnnxModel):
        raise ModelDamaged(f"{model.name} is a torch module; ONNX Runtime takes ONNX: export it, or use runtime torch")
    if options.precision is not Precision.FP32:
        raise PrecisionUnsupported(
            f"ONNX Runtime's CPU provider computes {model.name} in fp32 only, not {options.precision}; use "
            "precision fp32 or the runtime openvino"
        )
    _share_threads()
    settings = onnxruntime.SessionOptions()
    settings.use_per_session_threads = False
    settings.log_severity_level = 3  # errors only: they are raised as well
    try:
        inner = onnxruntime.InferenceSession(_source(model), settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # ORT's exceptions share no base but Exception
        raise ModelDamaged(f"{model.name} is not a model that ONNX Runtime can read; {model.remedy}") from error
    return OnnxRuntimeSession(model.name, inner, shapes=options.shapes)


class OnnxRuntimeSession(Session):
    """An ONNX Runtime session."""

    def __init__(
        self,
        name: str,
        inner: onnxruntime.InferenceSession,
        *,
        shapes: Mapping[str, tuple[int, ...]],
    ) -> None:
        inputs = fixed_inputs(tuple(_spec(node) for node in inner.get_inputs()), shapes)
        super().__init__(name, inputs=inputs, outputs=tuple(_spec(node) for node in inner.get_outputs()))
        self._inner: onnxruntime.InferenceSession | None = inner

    def _run(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        assert self._inner is not None
        given = {spec.name: np.ascontiguousarray(tensors[spec.name]) for spec in self.inputs}
        names = [spec.name for spec in self.outputs]
        return dict(zip(names, self._inner.run(names, given), strict=True))

    def close(self) -> None:
        super().close()
        self._inner = None


def _source(model: OnnxModel) -> bytes | str:
    """The bytes, or the path of a file, beside which ONNX Runtime finds the external data by itself."""
    if model.data is not None:
        return model.data
    return str(model.files[0])


def _spec(node: onnxruntime.NodeArg) -> TensorSpec:
    shape = tuple(extent if isinstance(extent, int) else None for extent in node.shape)
    return TensorSpec(name=node.name, dtype=np.dtype(_TYPES[node.type]), shape=shape)
