"""`Place`: where a clip is made, and what memory is free there."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from codec_plugin.errors import EngineError
from fcvg.options import FcvgOptions, Precision
from modelrt.devices import free_host_bytes

_HEADROOM = 0.9  # of the free memory: the rest of the program lives there too
_DTYPES = {Precision.FP32: torch.float32, Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a clip is made."""

    device: torch.device
    """CPU or GPU."""
    dtype: torch.dtype
    """What the networks compute in."""
    offload: bool = False
    """Whether idle networks are out of its memory."""

    def free_bytes(self) -> int | None:
        """Memory to be had; None where the system doesn't say."""
        if self.device.type == "cuda":
            return int(torch.cuda.mem_get_info(self.device)[0] * _HEADROOM)
        free = free_host_bytes()
        return None if free is None else int(free * _HEADROOM)


def place_of(options: FcvgOptions) -> Place:
    """Where the options want clips to be made.

    Raises:
        EngineError: there is no such device here.
    """
    device = device_of(options.device)
    dtype = _DTYPES.get(options.precision)
    if dtype is None:
        on_gpu = torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float16
        dtype = torch.float32 if device.type == "cpu" else on_gpu
    return Place(device=device, dtype=dtype, offload=options.offload and device.type != "cpu")


def device_of(name: str) -> torch.device:
    """The device of a name as torch has it; "auto" is a GPU where there is one.

    Raises:
        EngineError: there is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise EngineError(f"torch knows no device {name!r}: cpu, cuda, cuda:1 …") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise EngineError(f"device {name} was asked for, and torch sees no GPU here; device=auto takes what there is")
    return device
