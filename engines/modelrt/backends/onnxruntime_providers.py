"""ONNX Runtime's providers: which are there, what each is told, and what a session really runs on.

ONNX Runtime itself goes over to the CPU where a provider is missing or fails, with a warning at most. Here a provider
that isn't there is an error, and so is a session whose arithmetic was put on the CPU.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from functools import cache
from importlib import import_module, util

import onnxruntime

from modelrt.errors import DeviceMissing, ModelNotSupported, OptionsContradict, ProviderMissing
from modelrt.model import OnnxModel
from modelrt.options import Provider, SessionOptions

NAMES = {
    Provider.CPU: "CPUExecutionProvider",
    Provider.CUDA: "CUDAExecutionProvider",
    Provider.TENSORRT: "TensorrtExecutionProvider",
    Provider.NV_TENSORRT_RTX: "NvTensorRTRTXExecutionProvider",
}
"""As ONNX Runtime calls them."""

_PLUGIN = "onnxruntime_ep_nv_tensorrt_rtx"
_INSTALL = {
    Provider.CUDA: "pip uninstall onnxruntime && pip install onnxruntime-gpu, whose libraries need CUDA and cuDNN",
    Provider.TENSORRT: "pip uninstall onnxruntime && pip install onnxruntime-gpu tensorrt-cu13 (from NVIDIA's index)",
    Provider.NV_TENSORRT_RTX: "pip install onnxruntime-ep-nv-tensorrt-rtx-cu13",
}
_ARITHMETIC = frozenset(
    "Attention AveragePool Conv ConvTranspose Einsum Gelu Gemm GridSample GroupNorm GroupNormalization "
    "InstanceNormalization LayerNormalization MatMul MaxPool MultiHeadAttention RMSNormalization Resize Softmax".split()
)
"""Operations that take a network's time. Shapes are computed on the CPU by choice, with small integers."""


def require_provider(options: SessionOptions) -> None:
    """Nothing where the provider can be used; a plug-in is registered on the way.

    Raises:
        OptionsContradict: the provider doesn't run on the device.
        ProviderMissing: it isn't installed; the message says how to install it.
        DeviceMissing: it is, and finds no NVIDIA driver.
    """
    provider = options.provider
    if (provider is not Provider.CPU) != options.on_gpu:
        raise OptionsContradict(
            f"ONNX Runtime's provider {provider} doesn't run on {options.device}; "
            + ("say which GPU: device cuda:0" if not options.on_gpu else "say which provider: cuda, tensorrt …")
        )
    if provider is Provider.NV_TENSORRT_RTX:
        _register_plugin()
    elif NAMES[provider] not in onnxruntime.get_available_providers():
        there = ", ".join(onnxruntime.get_available_providers())
        raise ProviderMissing(
            f"ONNX Runtime {onnxruntime.__version__} has no provider {provider} here (it has {there}); install it "
            f"with: {_INSTALL[provider]}"
        )


def settings_of(options: SessionOptions) -> dict[str, str]:
    """What the provider is told."""
    if options.provider is Provider.CPU:
        return {}
    if options.provider is Provider.CUDA:
        return {"device_id": str(options.gpu_index), "use_tf32": "0"}
    prefix = "nv" if options.provider is Provider.NV_TENSORRT_RTX else "trt"
    settings = _profiles(options, prefix)
    if options.provider is Provider.TENSORRT:
        settings["device_id"] = str(options.gpu_index)
    if options.workspace_bytes is not None:
        settings[f"{prefix}_max_workspace_size"] = str(options.workspace_bytes)
    if options.cache is not None:
        folder = str(options.cache.directory / f"onnxruntime-{options.provider}")
        if options.provider is Provider.TENSORRT:
            settings |= {
                "trt_engine_cache_enable": "1",
                "trt_engine_cache_path": folder,
                "trt_timing_cache_enable": "1",
                "trt_timing_cache_path": folder,
            }
        else:
            settings["nv_runtime_cache_path"] = folder
    return settings


def opened(model: OnnxModel, settings: onnxruntime.SessionOptions, options: SessionOptions) -> object:
    """An inference session on the provider that was asked for, or an error."""
    source = model.data if model.data is not None else str(model.files[0])
    told = settings_of(options)
    if options.provider is not Provider.CPU:
        settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if options.provider is Provider.NV_TENSORRT_RTX:
        settings.add_provider_for_devices([_plugin_devices()[options.gpu_index]], told)
        session = onnxruntime.InferenceSession(source, settings, enable_fallback=0)
    else:
        session = onnxruntime.InferenceSession(
            source, settings, providers=[(NAMES[options.provider], told)], enable_fallback=0
        )
    _check_placement(session, model.name, options.provider)
    return session


def _check_placement(session: onnxruntime.InferenceSession, name: str, provider: Provider) -> None:
    if NAMES[provider] not in session.get_providers():
        raise ProviderMissing(
            f"ONNX Runtime opened {name} on {', '.join(session.get_providers())} and not on {provider}: its libraries "
            f"can't be loaded; install them with: {_INSTALL.get(provider, 'pip install onnxruntime')}"
        )
    if provider is Provider.CPU:
        return
    placed = session.get_provider_graph_assignment_info()
    stray = on_the_cpu({part.ep_name: [node.op_type for node in part.get_nodes()] for part in placed})
    if stray:
        raise ModelNotSupported(
            f"the provider {provider} leaves {', '.join(stray)} of {name} to the CPU, which would be slow and wasn't "
            "asked for; use another provider, or the runtime torch"
        )


def on_the_cpu(operations: Mapping[str, list[str]]) -> list[str]:
    """The operations that take time among those that were put on the CPU, sorted.

    Args:
        operations: by provider, what it was given.
    """
    return sorted(set(operations.get(NAMES[Provider.CPU], [])) & _ARITHMETIC)


def _profiles(options: SessionOptions, prefix: str) -> dict[str, str]:
    """Ranges of shapes, as both TensorRT providers take them."""
    if not options.ranges:
        return {}
    fixed = {name: (shape, shape, shape) for name, shape in options.shapes.items()}
    whole = fixed | {name: (span.smallest, span.usual, span.largest) for name, span in options.ranges.items()}
    return {
        f"{prefix}_profile_{end}_shapes": ",".join(
            f"{name}:{'x'.join(map(str, spans[at]))}" for name, spans in whole.items()
        )
        for at, end in enumerate(("min", "opt", "max"))
    }


@cache
def _register_plugin() -> None:
    """Loads the TensorRT-RTX provider into ONNX Runtime, once a process."""
    if util.find_spec(_PLUGIN) is None:
        raise ProviderMissing(
            f"the provider {Provider.NV_TENSORRT_RTX} isn't installed; install it with: "
            f"{_INSTALL[Provider.NV_TENSORRT_RTX]}"
        )
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise DeviceMissing(
            f"the provider {Provider.NV_TENSORRT_RTX} needs an NVIDIA GPU and its driver ({error}); use provider cpu"
        ) from error
    plugin = import_module(_PLUGIN)
    try:
        onnxruntime.register_execution_provider_library(plugin.get_ep_name(), plugin.get_library_path())
    except Exception as error:  # ORT's exceptions share no base but Exception
        raise ProviderMissing(
            f"the provider {Provider.NV_TENSORRT_RTX} can't be loaded ({error}); install it anew with: "
            f"{_INSTALL[Provider.NV_TENSORRT_RTX]}"
        ) from error
    if not _plugin_devices():
        raise DeviceMissing(
            f"the provider {Provider.NV_TENSORRT_RTX} finds no GPU that it supports (RTX cards: compute capability "
            "8.0, 8.6, 8.9, 12.0 and newer); use provider cuda"
        )


def _plugin_devices() -> list[onnxruntime.OrtEpDevice]:
    return [device for device in onnxruntime.get_ep_devices() if device.ep_name == NAMES[Provider.NV_TENSORRT_RTX]]
