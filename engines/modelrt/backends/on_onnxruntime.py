"""ONNX Runtime, on the CPU or through one of its GPU providers."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache

import numpy as np
import onnxruntime

from modelrt.backends.onnxruntime_providers import opened, require_provider
from modelrt.errors import (
    ModelDamaged,
    ModelNotSupported,
    ModelRuntimeError,
    OutOfDeviceMemory,
    OutsideProfile,
    PrecisionUnsupported,
    TensorMismatch,
)
from modelrt.model import Model, OnnxModel
from modelrt.options import Precision, SessionOptions
from modelrt.session import Session
from modelrt.tensor import Buffer, Tensor, TensorSpec, fixed_inputs
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
_ABSENT = re.compile(r"NOT_IMPLEMENTED|Could not find an implementation")


def version() -> str:
    """ONNX Runtime's version."""
    return str(onnxruntime.__version__)


@cache
def _share_threads() -> None:
    """Makes the one pool that every session of the process uses; ORT takes its size only before the first."""
    onnxruntime.set_global_thread_pool_sizes(take_thread_budget(), 1)


def load(model: Model, *, options: SessionOptions) -> Session:
    """Opens an ONNX model, which computes in the types that it is written in.

    The compile cache isn't used on the CPU: a session is ready soon enough without (first frame 1.4 s after start).
    The TensorRT providers keep their engines in folders of it, by themselves.
    """
    if not isinstance(model, OnnxModel):
        raise ModelDamaged(f"{model.name} is a torch module; ONNX Runtime takes ONNX: export it, or use runtime torch")
    _check_precision(model, options)
    require_provider(options)
    _share_threads()
    settings = onnxruntime.SessionOptions()
    settings.use_per_session_threads = False
    settings.log_severity_level = 3  # errors only: they are raised as well
    try:
        inner = opened(model, settings, options)
    except ModelRuntimeError:
        raise
    except Exception as error:  # ORT's exceptions share no base but Exception
        _raise_known(error, model.name, options)
        raise ModelDamaged(f"{model.name} is not a model that ONNX Runtime can read; {model.remedy}") from error
    return OnnxRuntimeSession(model.name, inner, options=options)


def _check_precision(model: OnnxModel, options: SessionOptions) -> None:
    """A graph computes in the types that it is written in, and on the CPU in fp32 between roundings to them."""
    written = model.written_in
    if options.precision is written or (not options.on_gpu and options.precision is Precision.FP32):
        return
    other = " or the runtime openvino" if not options.on_gpu else ""
    raise PrecisionUnsupported(
        f"ONNX Runtime computes {model.name} in {written}, which it is written in, not {options.precision}; use "
        f"precision {written}, a model exported in {options.precision}{other}"
    )


class OnnxRuntimeSession(Session):
    """An ONNX Runtime session."""

    def __init__(self, name: str, inner: onnxruntime.InferenceSession, *, options: SessionOptions) -> None:
        inputs = fixed_inputs(tuple(_spec(node) for node in inner.get_inputs()), options.shapes)
        super().__init__(name, inputs=inputs, outputs=tuple(_spec(node) for node in inner.get_outputs()))
        self._options = options
        self._inner: onnxruntime.InferenceSession | None = inner

    def _run(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        assert self._inner is not None
        self._check_ranges({name: tensor.shape for name, tensor in tensors.items()})
        given = {spec.name: np.ascontiguousarray(tensors[spec.name]) for spec in self.inputs}
        names = [spec.name for spec in self.outputs]
        with _named(self.name, self._options):
            return dict(zip(names, self._inner.run(names, given), strict=True))

    def _run_buffers(self, buffers: Mapping[str, Buffer]) -> Mapping[str, Buffer]:
        """Through io-binding: inputs are read where they lie, outputs are OrtValues on the device."""
        assert self._inner is not None
        _finish_torch(self._options)
        kind, _, index = self._options.device.partition(":")
        binding = self._inner.io_binding()
        values = {spec.name: _value(buffers[spec.name], spec=spec, kind=kind) for spec in self.inputs}
        self._check_ranges({name: tuple(value.shape()) for name, value in values.items()})
        for name, value in values.items():
            binding.bind_ortvalue_input(name, value)
        for spec in self.outputs:
            binding.bind_output(spec.name, kind, int(index or 0))
        with _named(self.name, self._options):
            self._inner.run_with_iobinding(binding)
            binding.synchronize_outputs()
        return dict(zip([spec.name for spec in self.outputs], binding.get_outputs(), strict=True))

    def _check_ranges(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        for name, span in self._options.ranges.items():
            if name in shapes and not span.holds(shapes[name]):
                raise OutsideProfile(
                    f"{self.name}: {name!r} has shape {shapes[name]}; the engine is built for {span}: open it with a "
                    "range that holds the shape"
                )

    def close(self) -> None:
        super().close()
        self._inner = None


def _value(buffer: Buffer, *, spec: TensorSpec, kind: str) -> onnxruntime.OrtValue:
    """A buffer as ONNX Runtime's own value, sharing its memory."""
    try:
        value = onnxruntime.OrtValue.from_dlpack(buffer)
    except (RuntimeError, TypeError, BufferError) as error:
        raise TensorMismatch(f"{spec.name!r} can't be lent to ONNX Runtime ({error}); make it dense") from error
    fault = spec.shape_fault_of(tuple(value.shape()))
    if fault is None and _TYPES.get(value.data_type()) is not spec.dtype.type:
        fault = f"{spec.name!r} is {value.data_type()}; the session takes {spec}"
    if fault is None and value.device_name() != kind:
        fault = f"{spec.name!r} lies on {value.device_name()}; the session runs on {kind}"
    if fault is not None:
        raise TensorMismatch(fault)
    return value


def _finish_torch(options: SessionOptions) -> None:
    """ONNX Runtime works on a stream of its own: what torch still has to compute must be there first."""
    torch = sys.modules.get("torch")
    if options.on_gpu and torch is not None:
        torch.cuda.current_stream(options.device).synchronize()


@contextmanager
def _named(name: str, options: SessionOptions) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # ORT's exceptions share no base but Exception
        _raise_known(error, name, options)
        raise ModelRuntimeError(f"ONNX Runtime can't run {name} on {options.provider}: {error}") from error


def _raise_known(error: Exception, name: str, options: SessionOptions) -> None:
    text = str(error)
    if _ABSENT.search(text):
        raise ModelNotSupported(
            f"ONNX Runtime's provider {options.provider} lacks an operation of {name} in {options.precision} "
            f"({text.splitlines()[0]}); use another precision or runtime"
        ) from error
    if re.search(r"[Ff]ailed to allocate memory|out of memory|BFCArena", text):
        raise OutOfDeviceMemory(
            f"{options.device} has too little memory for {name} in {options.precision} ({text.splitlines()[0]}); "
            "half of it should do in fp16, or with half as much along the first axis of its inputs"
        ) from error


def _spec(node: onnxruntime.NodeArg) -> TensorSpec:
    shape = tuple(extent if isinstance(extent, int) else None for extent in node.shape)
    if node.type not in _TYPES:
        raise ModelNotSupported(f"{node.name!r} is {node.type}, which numpy doesn't have; export it as fp32")
    return TensorSpec(name=node.name, dtype=np.dtype(_TYPES[node.type]), shape=shape)
