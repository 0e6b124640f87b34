"""Runs models: one `Session` over OpenVINO, ONNX Runtime and torch.

Importing it loads none of them; `open_session` loads the one that is asked for.
"""

from modelrt.cache import CacheKey, CompileCache, user_cache_dir
from modelrt.errors import (
    ModelDamaged,
    ModelRuntimeError,
    PrecisionUnsupported,
    RuntimeNotInstalled,
    TensorMismatch,
    ThreadBudgetFixed,
)
from modelrt.model import Model, OnnxModel, TorchModel
from modelrt.opening import is_installed, open_session
from modelrt.options import Precision, Runtime, SessionOptions
from modelrt.session import Session
from modelrt.tensor import Tensor, TensorSpec
from modelrt.threads import set_thread_budget, thread_budget, usable_cores

__all__ = [
    "CacheKey",
    "CompileCache",
    "Model",
    "ModelDamaged",
    "ModelRuntimeError",
    "OnnxModel",
    "Precision",
    "PrecisionUnsupported",
    "Runtime",
    "RuntimeNotInstalled",
    "Session",
    "SessionOptions",
    "Tensor",
    "TensorMismatch",
    "TensorSpec",
    "ThreadBudgetFixed",
    "TorchModel",
    "is_installed",
    "open_session",
    "set_thread_budget",
    "thread_budget",
    "usable_cores",
    "user_cache_dir",
]
