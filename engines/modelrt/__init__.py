"""Runs models: one `Session` over OpenVINO, ONNX Runtime, torch and TensorRT.

Importing it loads none of them; `open_session` loads the one that is asked for.
"""

from modelrt.cache import CacheKey, CompileCache, user_cache_dir
from modelrt.errors import (
    CacheBusy,
    CacheUnusable,
    DeviceMissing,
    ModelDamaged,
    ModelNotSupported,
    ModelRuntimeError,
    ModelUnverified,
    OptionsContradict,
    OutOfDeviceMemory,
    OutsideProfile,
    ParityMissed,
    PrecisionUnsupported,
    ProviderMissing,
    RuntimeNotInstalled,
    TensorMismatch,
    ThreadBudgetFixed,
)
from modelrt.manifest import Manifest, ManifestFile, ManifestTensor, Parity, file_of, load_manifest, manifest_path
from modelrt.model import Model, OnnxModel, TorchModel
from modelrt.opening import is_installed, open_session
from modelrt.options import Precision, Provider, Runtime, SessionOptions, ShapeRange, TorchMode
from modelrt.session import Session
from modelrt.tensor import Tensor, TensorSpec
from modelrt.threads import set_thread_budget, thread_budget, usable_cores

__all__ = [
    "CacheBusy",
    "CacheKey",
    "CacheUnusable",
    "CompileCache",
    "DeviceMissing",
    "Manifest",
    "ManifestFile",
    "ManifestTensor",
    "Model",
    "ModelDamaged",
    "ModelNotSupported",
    "ModelRuntimeError",
    "ModelUnverified",
    "OnnxModel",
    "OptionsContradict",
    "OutOfDeviceMemory",
    "OutsideProfile",
    "Parity",
    "ParityMissed",
    "Precision",
    "PrecisionUnsupported",
    "Provider",
    "ProviderMissing",
    "Runtime",
    "RuntimeNotInstalled",
    "Session",
    "SessionOptions",
    "ShapeRange",
    "Tensor",
    "TensorMismatch",
    "TensorSpec",
    "ThreadBudgetFixed",
    "TorchMode",
    "TorchModel",
    "file_of",
    "is_installed",
    "load_manifest",
    "manifest_path",
    "open_session",
    "set_thread_budget",
    "thread_budget",
    "usable_cores",
    "user_cache_dir",
]
