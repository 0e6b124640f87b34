"""`open_session`: picks the backend that was asked for, and no other."""

from __future__ import annotations

from importlib import import_module, util
from threading import Lock
from typing import Protocol, cast

from modelrt.errors import RuntimeNotInstalled
from modelrt.model import Model
from modelrt.options import Runtime, SessionOptions
from modelrt.session import Session

_INSTALL = {
    Runtime.OPENVINO: "pip install openvino",
    Runtime.ONNXRUNTIME: "pip install onnxruntime",
    Runtime.TORCH: "pip install torch",
    Runtime.TENSORRT: "pip install tensorrt-cu13 torch (its libraries come from NVIDIA's own index)",
}


class Backend(Protocol):
    """What every module in `modelrt.backends` offers."""

    def version(self) -> str:
        """The runtime's version."""
        ...

    def load(self, model: Model, *, options: SessionOptions) -> Session:
        """Compiles a model."""
        ...


_OPENING = Lock()
"""One session is opened at a time: OpenVINO 2026.4 deadlocks where two threads look at new models' ports."""


def is_installed(runtime: Runtime) -> bool:
    """Whether a runtime could be imported here, without importing it."""
    return util.find_spec(runtime.value) is not None


def install_hint(runtime: Runtime) -> str:
    """The command that installs a runtime."""
    return _INSTALL[runtime]


def backend(runtime: Runtime) -> Backend:
    """The module that speaks to `runtime`, imported.

    Raises:
        RuntimeNotInstalled: it isn't there, or it can't be imported.
    """
    try:
        return cast(Backend, import_module(f"modelrt.backends.on_{runtime.value}"))
    except ImportError as error:
        raise RuntimeNotInstalled(
            f"the runtime {runtime.value!r} can't be imported ({error}); install it with: {_INSTALL[runtime]}"
        ) from error


def open_session(model: Model, *, runtime: Runtime, options: SessionOptions | None = None) -> Session:
    """Opens a model on a runtime.

    Args:
        model: an `OnnxModel` for OpenVINO and ONNX Runtime, a `TorchModel` for torch.
        runtime: what runs it; where it isn't installed, that is an error.
        options: precision, fixed shapes, compile cache.

    Raises:
        RuntimeNotInstalled: the runtime isn't installed; the message says how to install it.
        ModelDamaged: the model's bytes can't be read as a model, or are of the wrong kind for the runtime.
        PrecisionUnsupported: this runtime or processor can't compute in that precision.
        TensorMismatch: `options.shapes` doesn't fit the model.
    """
    with _OPENING:
        return backend(runtime).load(model, options=options or SessionOptions())
