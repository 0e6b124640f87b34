"""The competitors behind one interface: our engines, and FFmpeg's minterpolate."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

import av
from av.filter import Graph

from benchmarks.cases import Gap
from benchmarks.footage import LAYOUT, picture_frame, plane_rows
from codec_plugin.engine import FillRequest, load_engine
from codec_plugin.errors import CannotFill
from codec_plugin.picture import Picture

_RATE = 25


class Peer(Protocol):
    """Something that makes the missing frames of an excerpt."""

    @property
    def name(self) -> str:
        """As in the tables."""
        ...

    def make(self, frames: list[Picture], gaps: list[Gap]) -> dict[int, Picture]:
        """Makes the frames in the gaps, keyed by their index in `frames`; only kept frames may be looked at.

        A peer that could not make a frame leaves it out: the gap is then left out for all.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePeer:
    """One of the engines, by its name."""

    name: str
    """As in `load_engine`."""

    def make(self, frames: list[Picture], gaps: list[Gap]) -> dict[int, Picture]:
        """Asks the engine for one gap after the other."""
        engine = load_engine(self.name)
        made: dict[int, Picture] = {}
        try:
            for gap in gaps:
                step = gap.right - gap.left
                request = FillRequest(
                    left=frames[gap.left],
                    right=frames[gap.right],
                    positions=tuple(Fraction(index, step) for index in range(1, step)),
                    interval=Fraction(step, _RATE),
                )
                try:
                    made.update(zip(gap.dropped, engine.fill(request), strict=True))
                except CannotFill:
                    continue
        finally:
            engine.close()
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class MinterpolatePeer:
    """FFmpeg's minterpolate filter, which sees the kept frames one after the other, cuts and all."""

    name: str
    """As in the tables."""
    options: dict[str, str] = field(default_factory=dict)
    """The filter's options but for its rate."""

    def make(self, frames: list[Picture], gaps: list[Gap]) -> dict[int, Picture]:
        """Runs the filter over the kept frames and picks what it made in the gaps."""
        if not gaps:
            return {}
        step = gaps[0].right - gaps[0].left
        wanted = {index for gap in gaps for index in gap.dropped}
        graph = self._graph(frames[0], step)
        made: dict[int, Picture] = {}
        for index in range(0, len(frames), step):
            graph.push(picture_frame(frames[index], pts=index, time_base=Fraction(1, _RATE)))
            _drain(graph, wanted, made)
        graph.push(None)
        _drain(graph, wanted, made)
        return made

    def _graph(self, first: Picture, step: int) -> Graph:
        graph = Graph()
        source = graph.add(
            "buffer",
            video_size=f"{first.width}x{first.height}",
            pix_fmt="yuv420p",
            time_base=f"1/{_RATE}",
            pixel_aspect="1/1",
            frame_rate=f"{_RATE}/{step}",
        )
        maker = graph.add("minterpolate", **{"fps": str(_RATE), **self.options})
        sink = graph.add("buffersink")
        source.link_to(maker)
        maker.link_to(sink)
        graph.configure()
        return graph


MINTERPOLATE = (
    # With me_mode=bidir the filter gives the same pictures for mc_mode=obmc and aobmc, with and without vsbmc.
    MinterpolatePeer(
        name="minterpolate bidir",
        options={"mi_mode": "mci", "mc_mode": "aobmc", "me_mode": "bidir", "vsbmc": "1"},
    ),
    MinterpolatePeer(
        name="minterpolate bilat",
        options={"mi_mode": "mci", "mc_mode": "aobmc", "me_mode": "bilat", "vsbmc": "1"},
    ),
    MinterpolatePeer(name="minterpolate blend", options={"mi_mode": "blend"}),
)
"""The filter's two kinds of motion compensation at their best, and its dissolve."""


def peers(engines: tuple[str, ...]) -> list[Peer]:
    """The engines of these names and every minterpolate."""
    return [*(EnginePeer(name=name) for name in engines), *MINTERPOLATE]


def threads() -> int:
    """How many threads the engines use: one a core."""
    return os.cpu_count() or 1


def _drain(graph: Graph, wanted: set[int], made: dict[int, Picture]) -> None:
    while True:
        try:
            frame = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        if not isinstance(frame, av.VideoFrame) or frame.time is None:
            continue
        index = round(frame.time * _RATE)
        if index in wanted:
            made[index] = Picture(planes=tuple(plane_rows(plane).copy() for plane in frame.planes), layout=LAYOUT)
