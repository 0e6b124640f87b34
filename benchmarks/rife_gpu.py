"""RIFE on a GPU: new frames a second at 1920x1080, its graphs in torch, every picture carried up and down again.

Weights are random: speed needs no trained ones. Features stay on the device from one gap to the next, as the engine
keeps them; what the engine does beside the network (decoding, conversion, encoding) isn't here: `codec-plugin bench`
measures that.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.dlpack import from_dlpack

from flowfill.export.ifnet import Encoder, FlowNet, Merger
from flowfill.grid import FlowGrid
from modelrt import Precision, Runtime, Session, SessionOptions, TensorSpec, TorchMode, TorchModel, open_session

VARIANTS = {
    f"rife {precision} {mode}": (precision, mode)
    for precision in (Precision.FP32, Precision.BF16, Precision.FP16)
    for mode in (TorchMode.EAGER, TorchMode.COMPILE, TorchMode.CUDA_GRAPHS)
}
_SIZE, _TOY = (1920, 1080), (128, 72)
_FRAMES, _FEW = 64, 3
_OUTPUTS = {"encoder": ("view",), "flow": ("flow", "mask"), "merger": ("made", "evidence")}


def measured(name: str, *, device: torch.device, rounds: int, tiny: bool) -> dict[str, Any]:
    """Makes a frame between each two of a film of noise, after a warm-up.

    Args:
        name: of `VARIANTS`.
        device: a GPU, or for toys the CPU, where every mode is eager.
        rounds: how often; the fastest counts.
        tiny: few small frames: to see that it runs.
    """
    width, height = _TOY if tiny else _SIZE
    torch.manual_seed(0)
    graphs = _Graphs(name, FlowGrid(width=width, height=height, scale=1.0), device=device)
    frames = torch.rand(4, 1, 3, height, width)
    if device.type == "cuda":
        frames = frames.pin_memory()
    begun = time.perf_counter()
    graphs.film(frames, count=3)
    warm_s = time.perf_counter() - begun
    count = _FEW if tiny else _FRAMES
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        graphs.film(frames, count=count)
        taken.append(time.perf_counter() - begun)
    return {
        "frames_per_s": count / min(taken),
        "rounds_s": taken,
        "frames": count,
        "size": [width, height],
        "warm_up_s": warm_s,
        "peak_bytes": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
    }


class _Graphs:
    """The three graphs at one size."""

    def __init__(self, name: str, grid: FlowGrid, *, device: torch.device) -> None:
        self._precision, self._mode = VARIANTS[name]
        if device.type == "cpu":
            self._mode = TorchMode.EAGER
        self._grid, self._device = grid, device
        (rows, columns), picture = grid.padded, (1, 3, grid.height, grid.width)
        view, time_at = (1, 7, rows, columns), (1, 1, 1, 1)
        self._encoder = self._opened("encoder", Encoder(), {"picture": (1, 3, rows, columns)})
        self._flow = self._opened("flow", FlowNet(), {"left": view, "right": view, "position": time_at})
        merged = {"flow": (1, 4, *grid.used), "mask": (1, 1, *grid.used), "position": time_at}
        self._merger = self._opened("merger", Merger(), {"left": picture, "right": picture, **merged})
        self._middle = torch.full(time_at, 0.5, device=device)

    def _opened(self, graph: str, module: torch.nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> Session:
        single = np.dtype(np.float32)
        model = TorchModel(
            name=graph,
            module=module,
            inputs=tuple(TensorSpec(name=name, dtype=single, shape=shape) for name, shape in shapes.items()),
            outputs=tuple(TensorSpec(name=name, dtype=single, shape=(None,) * 4) for name in _OUTPUTS[graph]),
        )
        # The merger's arithmetic is positions: the engine never lowers it either.
        precision = Precision.FP32 if graph == "merger" else self._precision
        device = "cpu" if self._device.type == "cpu" else f"cuda:{self._device.index or 0}"
        options = SessionOptions(precision=precision, shapes=dict(shapes), device=device, torch_mode=self._mode)
        return open_session(model, runtime=Runtime.TORCH, options=options)

    def film(self, frames: torch.Tensor, *, count: int) -> None:
        """`count` frames between `count` + 1; each is carried up once, each made one down."""
        left = self._seen(frames[0])
        for index in range(1, count + 1):
            right = self._seen(frames[index % len(frames)])
            made = self._between(left, right)
            made.cpu()
            left = right

    def _seen(self, frame: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(picture, view): both on the device."""
        picture = frame.to(self._device, non_blocking=True)
        below, right = (a - b for a, b in zip(self._grid.padded, self._grid.used, strict=True))
        padded = torch.nn.functional.pad(picture, (0, right, 0, below), mode="replicate")
        return picture, _tensor(self._encoder.run_buffers({"picture": padded})["view"]).clone()

    def _between(
        self, left: tuple[torch.Tensor, torch.Tensor], right: tuple[torch.Tensor, torch.Tensor]
    ) -> torch.Tensor:
        moved = self._flow.run_buffers({"left": left[1], "right": right[1], "position": self._middle})
        rows, columns = self._grid.used
        flow, mask = (_tensor(moved[name])[:, :, :rows, :columns].contiguous() for name in ("flow", "mask"))
        given = {"left": left[0], "right": right[0], "flow": flow, "mask": mask, "position": self._middle}
        return _tensor(self._merger.run_buffers(given)["made"])


def _tensor(buffer: object) -> torch.Tensor:
    return buffer if isinstance(buffer, torch.Tensor) else from_dlpack(buffer)
