"""`GraphedModule`: a module recorded as a CUDA graph for each shape, then replayed with one launch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

_WARMUP_RUNS = 3  # what torch's own documentation warms up with: cuDNN and cuBLAS choose and allocate meanwhile

_Shapes = tuple[tuple[tuple[int, ...], torch.dtype], ...]


@dataclass(slots=True)
class _Recording:
    """One graph and the memory that it reads and writes."""

    graph: Any
    given: tuple[torch.Tensor, ...]
    made: tuple[torch.Tensor, ...]


class GraphedModule:
    """Calls a module through CUDA graphs. Not thread-safe; one graph for each set of input shapes is kept."""

    def __init__(self, module: Any, *, device: str) -> None:
        self._module = module
        self._device = torch.device(device)
        self._recordings: dict[_Shapes, _Recording] = {}
        self._pool: Any = None

    def __call__(self, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Copies the inputs to where the graph reads them, replays it, and copies what it made out of its memory."""
        shapes = tuple((tuple(tensor.shape), tensor.dtype) for tensor in given)
        with torch.cuda.device(self._device):
            recording = self._recordings.get(shapes)
            if recording is None:
                recording = self._recordings[shapes] = self._recorded(given)
            for place, tensor in zip(recording.given, given, strict=True):
                place.copy_(tensor)
            recording.graph.replay()
            return tuple(tensor.clone() for tensor in recording.made)

    def _recorded(self, given: tuple[torch.Tensor, ...]) -> _Recording:
        places = tuple(tensor.clone() for tensor in given)
        beside = torch.cuda.Stream(self._device)
        beside.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(beside):
            for _ in range(_WARMUP_RUNS):
                self._module(*places)
        torch.cuda.current_stream(self._device).wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        # All graphs of a module share one pool: they never run at once, and their results are copied out.
        with torch.cuda.graph(graph, pool=self._pool):
            made = self._module(*places)
        self._pool = graph.pool()
        return _Recording(graph=graph, given=places, made=made if isinstance(made, tuple) else (made,))
