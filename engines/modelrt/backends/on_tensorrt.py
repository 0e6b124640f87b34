"""NVIDIA's TensorRT through its own Python API, with torch for memory, streams and facts about the GPU.

Like `tensorrt_build`, written where it could not be run; see there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorrt
import torch

from modelrt.backends.tensorrt_build import Messages, build
from modelrt.backends.torch_memory import check_gpu, gpu_identity, tensor_of, torch_type
from modelrt.errors import (
    ModelDamaged,
    ModelNotSupported,
    ModelRuntimeError,
    OptionsContradict,
    OutOfDeviceMemory,
    OutsideProfile,
    PrecisionUnsupported,
)
from modelrt.memory import Shortage
from modelrt.model import Model, OnnxModel
from modelrt.options import Precision, SessionOptions, ShapeRange
from modelrt.profiles import key_of
from modelrt.session import Session
from modelrt.tensor import Buffer, Tensor, TensorSpec

_PROFILE = 0  # engines of ours have one


class _Refused(ModelRuntimeError):
    """TensorRT doesn't take an engine: of another version, of another GPU, or damaged."""


def version() -> str:
    """TensorRT's version."""
    return str(tensorrt.__version__)


def load(model: Model, *, options: SessionOptions) -> Session:
    """Builds a model's engine for this GPU, or takes it from the cache."""
    if not isinstance(model, OnnxModel):
        raise ModelDamaged(f"{model.name} is a torch module; TensorRT takes ONNX: export it, or use runtime torch")
    if not options.on_gpu:
        raise OptionsContradict("TensorRT runs on NVIDIA GPUs, not on the cpu; name one: device cuda:0")
    check_gpu(options.device)
    written = model.written_in
    if options.precision is not written:
        raise PrecisionUnsupported(
            f"TensorRT's networks are strongly typed: {model.name} computes in {written}, which it is written in, not "
            f"{options.precision}; use precision {written}, or a model exported in {options.precision}"
        )
    name, capability = gpu_identity(options.device)

    def made() -> bytes:
        with torch.cuda.device(options.device):
            free, _ = torch.cuda.mem_get_info(options.device)
            return build(model, options=options, free_bytes=free, device=f"{name} {capability}")

    messages = Messages()
    if options.cache is None:
        engine = _deserialised(made(), messages, options)
    else:
        engine = options.cache.load_or_make(
            key_of(model, options=options, device=name, capability=capability, runtime=f"tensorrt {version()}"),
            make=made,
            load=lambda entry: _deserialised(entry, messages, options),
            refusal=_Refused,
            name=model.name,
        )
    return TensorRtSession(model, engine, messages, options=options)


def _deserialised(payload: bytes, messages: Messages, options: SessionOptions) -> Any:
    with torch.cuda.device(options.device):
        runtime = tensorrt.Runtime(messages)
        engine = runtime.deserialize_cuda_engine(payload)
    if engine is None:
        raise _Refused(f"TensorRT refuses an engine that it built: {messages.last()}")
    return engine


class TensorRtSession(Session):
    """An engine with one execution context, run on torch's current stream."""

    def __init__(self, model: OnnxModel, engine: Any, messages: Messages, *, options: SessionOptions) -> None:
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        takes = [name for name in names if engine.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT]
        self._spans = {name: _span(engine, name) for name in takes}
        super().__init__(
            model.name,
            inputs=tuple(_input_spec(engine, name, self._spans[name]) for name in takes),
            outputs=tuple(_spec(engine, name) for name in names if name not in takes),
        )
        self._options, self._messages, self._weights_bytes = options, messages, model.size_bytes
        self._engine: Any = engine
        with torch.cuda.device(options.device):
            self._context: Any = engine.create_execution_context()
        if self._context is None:
            raise self._too_little({name: span.largest for name, span in self._spans.items()})

    def _run(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        given = {
            name: torch.from_numpy(np.require(tensor, requirements=["C", "W"])) for name, tensor in tensors.items()
        }
        made = self._executed({name: tensor.to(self._options.device) for name, tensor in given.items()})
        return {name: tensor.cpu().numpy() for name, tensor in made.items()}

    def _run_buffers(self, buffers: Mapping[str, Buffer]) -> Mapping[str, Buffer]:
        return dict(
            self._executed(
                {
                    spec.name: tensor_of(buffers[spec.name], spec=spec, device=self._options.device)
                    for spec in self.inputs
                }
            )
        )

    def _executed(self, given: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        """Runs where the tensors lie: the engine is told their addresses, and those of new ones for its outputs."""
        shapes = {name: tuple(tensor.shape) for name, tensor in given.items()}
        for name, shape in shapes.items():
            if not self._spans[name].holds(shape):
                raise OutsideProfile(
                    f"{self.name}: {name!r} has shape {shape}; the engine is built for {self._spans[name]}: build one "
                    "with a range that holds the shape"
                )
        context = self._context
        with torch.cuda.device(self._options.device):
            for name, tensor in given.items():
                context.set_input_shape(name, shapes[name])
                context.set_tensor_address(name, tensor.data_ptr())
            made = {}
            try:
                for spec in self.outputs:
                    shape = tuple(context.get_tensor_shape(spec.name))
                    made[spec.name] = torch.empty(shape, dtype=torch_type(spec), device=self._options.device)
                    context.set_tensor_address(spec.name, made[spec.name].data_ptr())
            except torch.OutOfMemoryError as error:
                raise self._too_little(shapes) from error
            done = context.execute_async_v3(torch.cuda.current_stream().cuda_stream)
        if not done:
            if self._messages.tell_of_memory():
                raise self._too_little(shapes)
            raise ModelRuntimeError(f"TensorRT can't run {self.name}: {self._messages.last()}")
        return made

    def _too_little(self, shapes: Mapping[str, tuple[int, ...]]) -> OutOfDeviceMemory:
        free, _ = torch.cuda.mem_get_info(self._options.device)
        return OutOfDeviceMemory(
            str(
                Shortage(
                    device=self._options.device,
                    doing=f"running {self.name}",
                    needed_bytes=max(int(self._engine.device_memory_size_v2), free),
                    limit_bytes=free,
                    weights_bytes=0,  # the engine holds them already
                    precision=self._options.precision,
                    shapes=shapes,
                )
            )
        )

    def close(self) -> None:
        super().close()
        self._context = self._engine = None


def _span(engine: Any, name: str) -> ShapeRange:
    smallest, usual, largest = engine.get_tensor_profile_shape(name, _PROFILE)
    return ShapeRange(smallest=tuple(smallest), usual=tuple(usual), largest=tuple(largest))


def _input_spec(engine: Any, name: str, span: ShapeRange) -> TensorSpec:
    """An input's type, and the extents that the profile fixes; one outside the others is named with the range."""
    extents = zip(span.smallest, span.largest, strict=True)
    shape = tuple(least if least == most else None for least, most in extents)
    return TensorSpec(name=name, dtype=_spec(engine, name).dtype, shape=shape)


def _spec(engine: Any, name: str) -> TensorSpec:
    types = {
        tensorrt.DataType.FLOAT: np.float32,
        tensorrt.DataType.HALF: np.float16,
        tensorrt.DataType.INT64: np.int64,
        tensorrt.DataType.INT32: np.int32,
        tensorrt.DataType.UINT8: np.uint8,
        tensorrt.DataType.BOOL: np.bool_,
    }
    kind = engine.get_tensor_dtype(name)
    if kind not in types:
        raise ModelNotSupported(
            f"{name!r} is {kind}, which numpy doesn't have; export {Precision.BF16} graphs with fp32 inputs and outputs"
        )
    shape = tuple(None if extent < 0 else int(extent) for extent in engine.get_tensor_shape(name))
    return TensorSpec(name=name, dtype=np.dtype(types[kind]), shape=shape)
