"""Builds TensorRT engines from ONNX: strongly typed networks, one optimisation profile, a timing cache, limits.

Written against the public Python API of TensorRT 11; its networks are always strongly typed, so that an engine
computes in the types that the graph is written in. Nobody could run this where it was written, for want of a GPU and
of the libraries: tests/modelrt/test_tensorrt_names.py holds every name that is called against the API's own list.
"""

from __future__ import annotations

import hashlib
from typing import Any

import tensorrt

from modelrt.errors import ModelDamaged, ModelNotSupported, OutOfDeviceMemory
from modelrt.memory import smaller_workspace
from modelrt.model import OnnxModel
from modelrt.options import SessionOptions
from modelrt.profiles import spans

_GIB = 1 << 30


class Messages(tensorrt.ILogger):
    """Keeps TensorRT's errors, which its calls don't raise, for messages of ours."""

    def __init__(self) -> None:
        tensorrt.ILogger.__init__(self)
        self.errors: list[str] = []
        """What TensorRT complained of, the newest last."""

    def log(self, severity: Any, msg: str) -> None:
        """Called by TensorRT, from whatever thread."""
        if severity in (tensorrt.ILogger.Severity.ERROR, tensorrt.ILogger.Severity.INTERNAL_ERROR):
            self.errors.append(msg)

    def last(self) -> str:
        """The newest complaint."""
        return self.errors[-1] if self.errors else "TensorRT gave no reason"

    def tell_of_memory(self) -> bool:
        """Whether a complaint was about memory."""
        return any(
            ("memory" in text.lower() and "alloc" in text.lower()) or "OutOfMemory" in text for text in self.errors
        )


def build(model: OnnxModel, *, options: SessionOptions, free_bytes: int, device: str) -> bytes:
    """Compiles a model for the current GPU.

    Args:
        model: what to compile.
        options: shapes or ranges, limits, and the cache that also keeps the timings of kernels.
        free_bytes: the GPU's free memory, for messages.
        device: name and capability of the GPU: timings of one aren't another's.

    Raises:
        ModelDamaged: it isn't a model.
        ModelNotSupported: TensorRT can't do something in it.
        TensorMismatch: an input of any shape has neither a fixed one nor a range.
        OutOfDeviceMemory: building took more memory than there is.
    """
    messages = Messages()
    builder = tensorrt.Builder(messages)
    network = builder.create_network(0)
    parser = tensorrt.OnnxParser(network, messages)
    parsed = parser.parse(model.data) if model.data is not None else parser.parse_from_file(str(model.files[0]))
    if not parsed:
        raise _refused(model, [str(parser.get_error(index)) for index in range(parser.num_errors)])
    config = builder.create_builder_config()
    config.clear_flag(tensorrt.BuilderFlag.TF32)  # fp32 is fp32
    if options.workspace_bytes is not None:
        config.set_memory_pool_limit(tensorrt.MemoryPoolType.WORKSPACE, options.workspace_bytes)
    profile = builder.create_optimization_profile()
    for name, span in spans(_inputs(network), options).items():
        profile.set_shape(name, span.smallest, span.usual, span.largest)
    config.add_optimization_profile(profile)
    timings = f"tensorrt-{hashlib.sha256(f'{tensorrt.__version__} {device}'.encode()).hexdigest()[:16]}.timings"
    known = config.create_timing_cache(options.cache.read_beside(timings) if options.cache else b"")
    config.set_timing_cache(known, ignore_mismatch=False)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise _not_built(model, messages, options=options, free_bytes=free_bytes)
    if options.cache is not None:
        options.cache.write_beside(timings, bytes(config.get_timing_cache().serialize()))
    return bytes(engine)


def _inputs(network: Any) -> dict[str, tuple[int, ...]]:
    tensors = [network.get_input(index) for index in range(network.num_inputs)]
    return {tensor.name: tuple(tensor.shape) for tensor in tensors}


def _refused(model: OnnxModel, complaints: list[str]) -> Exception:
    text = "; ".join(complaints) or "no reason given"
    if any("UNSUPPORTED" in complaint.upper() for complaint in complaints):
        return ModelNotSupported(f"TensorRT can't do all of {model.name} ({text}); use another runtime")
    return ModelDamaged(f"{model.name} is not a model that TensorRT can read ({text}); {model.remedy}")


def _not_built(model: OnnxModel, messages: Messages, *, options: SessionOptions, free_bytes: int) -> Exception:
    if messages.tell_of_memory():
        return OutOfDeviceMemory(
            f"building {model.name} takes more than the {free_bytes / _GIB:.1f} GiB that {options.device} has free "
            f"({messages.last()}). {smaller_workspace(free_bytes, model.size_bytes, options.workspace_bytes)}"
        )
    return ModelNotSupported(f"TensorRT can't build {model.name} ({messages.last()}); use another runtime")
