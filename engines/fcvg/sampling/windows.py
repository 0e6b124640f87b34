"""Clips longer than what the network sees at once: windows that overlap, averaged where they do."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fcvg.sampling.denoiser import Pass, Predicts
from fcvg.sampling.guidance import Prediction


def window_starts(frames: int, *, window: int, overlap: int) -> tuple[int, ...]:
    """Where windows begin; the last one is moved back to end with the clip."""
    if frames <= window:
        return (0,)
    return tuple(min(start, frames - window) for start in range(0, frames - overlap, window - overlap))


def averaged(parts: Sequence[Tensor], starts: Sequence[int], *, frames: int) -> Tensor:
    """Puts windows together.

    A window's first frame is left out of the average, but in the first window: the network sees it as the endpoint
    itself, which it isn't (the published code's choice).

    Args:
        parts: (1, window, ...), one for each start.
        starts: as `window_starts` gives them.
        frames: of the whole clip.
    """
    total = torch.zeros_like(parts[0][:, :1]).repeat_interleave(frames, dim=1)
    counts = torch.zeros(frames, device=total.device)
    for part, start in zip(parts, starts, strict=True):
        first = int(start > 0)
        inside = slice(start + first, start + part.shape[1])
        total[:, inside] += part[:, first:]
        counts[inside] += 1
    return total / counts.reshape(1, -1, *[1] * (total.dim() - 2))


class WindowedDenoiser:
    """A denoiser for clips of any length: each direction's v is averaged over windows, in the direction's own order."""

    def __init__(self, denoiser: Predicts, *, window: int, overlap: int) -> None:
        self._denoiser = denoiser
        self._window = window
        self._overlap = overlap

    def velocities(self, passes: Sequence[Pass], *, sigma: float) -> list[Prediction]:
        """As `Denoiser.velocities`."""
        frames = passes[0].x.shape[1]
        starts = window_starts(frames, window=self._window, overlap=self._overlap)
        if len(starts) == 1:
            return self._denoiser.velocities(passes, sigma=sigma)
        made = [
            self._denoiser.velocities([self._part(turn, start) for turn in passes], sigma=sigma) for start in starts
        ]
        return [
            (
                averaged([window[index][0] for window in made], starts, frames=frames),
                averaged([window[index][1] for window in made], starts, frames=frames),
            )
            for index in range(len(passes))
        ]

    def _part(self, turn: Pass, start: int) -> Pass:
        inside = slice(start, start + self._window)
        control = None if turn.control is None else turn.control[inside]
        return Pass(x=turn.x[:, inside], endpoint=turn.endpoint, control=control)
