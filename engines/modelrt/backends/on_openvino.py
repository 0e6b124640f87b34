"""OpenVINO on the CPU."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import cache
from typing import Any, cast

import numpy as np
import openvino

from modelrt.cache import CacheKey
from modelrt.errors import ModelDamaged, OptionsContradict, PrecisionUnsupported, TensorMismatch
from modelrt.model import Model, OnnxModel
from modelrt.options import Precision, SessionOptions
from modelrt.session import Session
from modelrt.tensor import Buffer, Tensor, TensorSpec
from modelrt.threads import take_thread_budget

_DEVICE = "CPU"
_HINTS = {Precision.FP32: "f32", Precision.BF16: "bf16", Precision.FP16: "f16"}
_CAPABILITIES = {Precision.FP32: "FP32", Precision.BF16: "BF16", Precision.FP16: "FP16"}


def version() -> str:
    """OpenVINO's version, with its build."""
    return str(openvino.get_version())


@cache
def _core() -> openvino.Core:
    """One core a process: compiled models of one core share its thread pool."""
    return openvino.Core()


def load(model: Model, *, options: SessionOptions) -> Session:
    """Compiles an ONNX model, or takes the compiled one from the cache."""
    if not isinstance(model, OnnxModel):
        raise ModelDamaged(f"{model.name} is a torch module; OpenVINO takes ONNX: export it, or use runtime torch")
    if options.on_gpu:
        raise OptionsContradict(f"OpenVINO runs on the CPU here, not on {options.device}; use device cpu")
    abilities = tuple(_core().get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES"))
    if _CAPABILITIES[options.precision] not in abilities:
        raise PrecisionUnsupported(
            f"this processor can't compute {model.name} in {options.precision} with OpenVINO; use precision fp32"
        )
    settings = {
        "INFERENCE_PRECISION_HINT": _HINTS[options.precision],
        "INFERENCE_NUM_THREADS": take_thread_budget(),
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }
    if options.cache is None:
        return OpenVinoSession(model.name, _compiled(model, options=options, settings=settings))
    processor = _core().get_property(_DEVICE, "FULL_DEVICE_NAME")
    key = CacheKey(
        model_digest=model.digest,
        precision=options.precision,
        shapes=tuple(sorted((name, tuple(shape)) for name, shape in options.shapes.items())),
        runtime=f"openvino {version()}",
        device=f"{_DEVICE} {processor} {sorted(abilities)} {settings['INFERENCE_NUM_THREADS']}",
    )

    def exported() -> bytes:
        stream = io.BytesIO()
        _compiled(model, options=options, settings=settings).export_model(stream)
        return stream.getvalue()

    # An entry whose digest is right may still be refused: another build of OpenVINO wrote it under the same version.
    compiled = options.cache.load_or_make(
        key, make=exported, load=lambda entry: _imported(entry, settings), refusal=RuntimeError, name=model.name
    )
    return OpenVinoSession(model.name, compiled)


def _imported(compiled: bytes, settings: Mapping[str, object]) -> openvino.CompiledModel:
    return _core().import_model(compiled, _DEVICE, dict(settings))


def _compiled(model: OnnxModel, *, options: SessionOptions, settings: Mapping[str, object]) -> openvino.CompiledModel:
    try:
        graph = _core().read_model(model.data if model.data is not None else str(model.files[0]))
    except RuntimeError as error:
        raise ModelDamaged(f"{model.name} is not a model that OpenVINO can read; {model.remedy}") from error
    if options.shapes:
        try:
            graph.reshape({name: list(shape) for name, shape in options.shapes.items()})
        except RuntimeError as error:
            shown = ", ".join(f"{name} {shape}" for name, shape in options.shapes.items())
            raise TensorMismatch(f"{model.name} can't take the shapes {shown}: {error}") from error
    return _core().compile_model(graph, _DEVICE, dict(settings))


class OpenVinoSession(Session):
    """A compiled OpenVINO model."""

    def __init__(self, name: str, compiled: openvino.CompiledModel) -> None:
        super().__init__(
            name,
            inputs=tuple(_spec(port) for port in compiled.inputs),
            outputs=tuple(_spec(port) for port in compiled.outputs),
        )
        self._request: openvino.InferRequest | None = compiled.create_infer_request()

    def _run(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        assert self._request is not None
        given = {spec.name: np.ascontiguousarray(tensors[spec.name]) for spec in self.inputs}
        made = self._request.infer(given, share_inputs=True)
        return {spec.name: made[index] for index, spec in enumerate(self.outputs)}

    def _run_buffers(self, buffers: Mapping[str, Buffer]) -> Mapping[str, Buffer]:
        """Inputs are read where they lie, as numpy sees them."""
        given = {spec.name: _array(buffers[spec.name], spec=spec) for spec in self.inputs}
        return self._run(given)

    def close(self) -> None:
        super().close()
        self._request = None


def _array(buffer: Buffer, *, spec: TensorSpec) -> Tensor:
    try:
        array = buffer if isinstance(buffer, np.ndarray) else np.from_dlpack(cast(Any, buffer))
    except (BufferError, RuntimeError, TypeError) as error:
        raise TensorMismatch(f"{spec.name!r} can't be lent to OpenVINO ({error}); it runs on the CPU") from error
    fault = spec.fault_of(array)
    if fault is not None:
        raise TensorMismatch(fault)
    return array


def _spec(port: openvino.ConstOutput) -> TensorSpec:
    shape = tuple(None if extent.is_dynamic else int(extent.get_length()) for extent in port.get_partial_shape())
    # Where OpenVINO does without a cast at the border, the port goes by the names of both sides of it.
    given = port.get_node().get_friendly_name().partition("/sink_port")[0]
    name = given if given in port.get_names() else port.get_any_name()
    return TensorSpec(name=name, dtype=np.dtype(port.get_element_type().to_dtype()), shape=shape)
