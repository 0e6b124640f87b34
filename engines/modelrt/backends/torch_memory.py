"""GPUs and their memory as torch sees them; TensorRT's backend borrows from here, too."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
import torch.utils.dlpack

from modelrt.errors import DeviceMissing, OutOfDeviceMemory, TensorMismatch
from modelrt.memory import Shortage
from modelrt.options import CPU, Precision
from modelrt.tensor import Buffer, TensorSpec

_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_TYPES: dict[torch.dtype, type] = {
    torch.float32: np.float32,
    torch.float16: np.float16,
    torch.float64: np.float64,
    torch.int64: np.int64,
    torch.int32: np.int32,
    torch.uint8: np.uint8,
    torch.uint16: np.uint16,
    torch.bool: np.bool_,
}


def check_gpu(device: str) -> None:
    """Nothing where the device is there.

    Raises:
        DeviceMissing: torch sees no such GPU; the message says what it sees.
    """
    if device == CPU:
        return
    if not torch.cuda.is_available():
        built = "was built without CUDA" if torch.version.cuda is None else "finds no NVIDIA GPU or driver"
        raise DeviceMissing(
            f"{device} was asked for, and torch {torch.__version__} {built}; use device cpu, or mend that"
        )
    count = torch.cuda.device_count()
    if int(device.removeprefix("cuda:")) >= count:
        raise DeviceMissing(f"{device} was asked for; there are {count} GPUs, cuda:0 to cuda:{count - 1}")


def gpu_identity(device: str) -> tuple[str, str]:
    """A GPU's name and compute capability."""
    major, minor = torch.cuda.get_device_capability(device)
    return str(torch.cuda.get_device_name(device)), f"{major}.{minor}"


def torch_type(spec: TensorSpec) -> torch.dtype:
    """The type of a spec, as torch calls it."""
    return next(ours for ours, theirs in _TYPES.items() if theirs is spec.dtype.type)


def tensor_of(buffer: Buffer, *, spec: TensorSpec, device: str) -> torch.Tensor:
    """A buffer as a dense torch tensor, without a copy.

    Raises:
        TensorMismatch: it has another type, shape or device than the session takes, or isn't dense.
    """
    tensor = buffer if isinstance(buffer, torch.Tensor) else torch.utils.dlpack.from_dlpack(buffer)
    fault = spec.shape_fault_of(tuple(tensor.shape))
    if fault is None and tensor.device != torch.device(device):
        fault = f"{spec.name!r} lies on {tensor.device}; the session runs on {device}"
    if fault is None and _TYPES.get(tensor.dtype) != spec.dtype.type:
        fault = f"{spec.name!r} is {tensor.dtype}; the session takes {spec}"
    if fault is None and not tensor.is_contiguous():
        fault = f"{spec.name!r} isn't dense; use .contiguous()"
    if fault is not None:
        raise TensorMismatch(fault)
    return tensor


@contextmanager
def shortages(
    doing: str, *, device: str, precision: Precision, shapes: Mapping[str, tuple[int, ...]], weights_bytes: int = 0
) -> Iterator[None]:
    """Names a shortage of device memory, with what should fit."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        free, _ = torch.cuda.mem_get_info(device)
        held = torch.cuda.memory_allocated(device)
        reserved = torch.cuda.memory_reserved(device)
        shortage = Shortage(
            device=device,
            doing=doing,
            needed_bytes=held + asked_bytes(str(error)),
            limit_bytes=free + reserved,
            weights_bytes=weights_bytes,
            precision=precision,
            shapes=shapes,
        )
        raise OutOfDeviceMemory(str(shortage)) from error


def asked_bytes(message: str) -> int:
    """How much an allocation that failed had asked for, by torch's message; 0 where it doesn't say."""
    found = re.search(r"[Tt]ried to allocate ([\d.]+) (B|KiB|MiB|GiB)", message)
    return int(float(found[1]) * _UNITS[found[2]]) if found else 0
