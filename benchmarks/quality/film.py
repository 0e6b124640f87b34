"""FILM (Reda et al., ECCV 2022) from a TorchScript file, as a peer."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.cases import Gap
from benchmarks.footage import picture_frame
from benchmarks.peers import TICK, Ran
from codec_plugin.errors import EngineError
from codec_plugin.media.pixels import to_frame, to_picture, to_rgb_picture
from codec_plugin.picture import Family, Layout, Picture

if TYPE_CHECKING:
    import torch

_MULTIPLE = 64  # its pyramid halves pictures six times
_RGB = Layout(family=Family.RGB, depth=32)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmPeer:
    """A network `(left, right, time) -> picture`, pictures (1, 3, height, width) in [0, 1], time (1, 1).

    FILM was trained for the middle between two pictures. So a gap is halved again and again: the frame nearest to the
    middle between two known ones is made from those two, at its own share of the way.
    """

    file: Path
    """The TorchScript file."""
    name: str = "FILM"
    """As in the tables."""

    def make(self, frames: list[Picture], gaps: list[Gap]) -> Ran:
        """Makes the frames of each gap.

        Raises:
            EngineError: torch isn't installed, or the file holds no such network.
        """
        network = load_network(self.file)
        begun = time.perf_counter()
        pictures: dict[int, Picture] = {}
        for gap in gaps:
            pictures |= self._filled(network, frames, gap)
        return Ran(pictures=pictures, seconds=time.perf_counter() - begun)

    def _filled(self, network: Any, frames: list[Picture], gap: Gap) -> dict[int, Picture]:
        known = {index: _tensor(frames[index]) for index in (gap.left, gap.right)}
        like = picture_frame(frames[gap.left], pts=gap.left, time_base=TICK)
        for left, middle, right in halvings(gap.left, gap.right):
            made = self._between(network, known[left], known[right], share=(middle - left) / (right - left))
            if made.shape != known[left].shape:
                raise EngineError(f"{self.file.name} gave {tuple(made.shape)} for pictures {tuple(known[left].shape)}")
            known[middle] = made
        return {index: _picture(known[index], like) for index in gap.dropped}

    def _between(self, network: Any, left: torch.Tensor, right: torch.Tensor, *, share: float) -> torch.Tensor:
        import torch
        from torch.nn.functional import pad

        height, width = left.shape[-2:]
        padding = (0, -width % _MULTIPLE, 0, -height % _MULTIPLE)
        pair = [pad(each, padding, mode="replicate") for each in (left, right)]
        try:
            with torch.inference_mode():
                made = network(*pair, torch.full((1, 1), share))
        except (RuntimeError, TypeError) as error:
            raise EngineError(f"{self.file.name} isn't a network (left, right, time) -> picture: {error}") from error
        cut: torch.Tensor = made[..., :height, :width].clamp(0, 1)
        return cut


def halvings(left: int, right: int) -> Iterator[tuple[int, int, int]]:
    """(left, middle, right) of every frame between two, each made from frames that are there by then."""
    if right - left < 2:
        return
    middle = (left + right) // 2
    yield left, middle, right
    yield from halvings(left, middle)
    yield from halvings(middle, right)


def load_network(file: Path) -> Any:
    """A TorchScript network, on the CPU and in single precision.

    Raises:
        EngineError: torch isn't installed, or the file isn't TorchScript.
    """
    try:
        import torch
    except ImportError as error:
        raise EngineError(
            f'{file.name} needs torch ({error}); install it with: pip install "codec-plugin[fcvg]"'
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # torch prefers other forms; these networks have this one
            return torch.jit.load(str(file), map_location="cpu").float().eval()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        first = str(error).strip().splitlines()[0]
        raise EngineError(f"{file.name} isn't a TorchScript file, as torch.jit.save writes it: {first}") from error


def _tensor(picture: Picture) -> torch.Tensor:  # (1, 3, height, width)
    import torch

    rgb = to_rgb_picture(picture_frame(picture, pts=0, time_base=TICK))
    return torch.from_numpy(np.stack(rgb.planes)[None])


def _picture(made: torch.Tensor, like: Any) -> Picture:
    rgb = Picture(planes=tuple(np.ascontiguousarray(plane) for plane in made[0].numpy()), layout=_RGB)
    native = to_picture(to_frame(rgb, like=like, pts=0, time_base=TICK))
    return Picture(planes=tuple(plane.copy() for plane in native.planes), layout=native.layout)
