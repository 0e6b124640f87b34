"""Fields into whole frames, one for one, with FFmpeg's bwdif."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
from av.filter import Graph
from av.video.frame import VideoFrame


class Deinterlacer:
    """Runs frames through bwdif (Weston 3-field with motion adaption); as many come out as went in.

    The filter looks one frame ahead: the last frame comes out at `finish`.
    """

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._time_base: Fraction | None = None

    def feed(self, frames: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
        """Frames in, whole frames out, with the times of those that went in."""
        for frame in frames:
            if self._graph is None:
                self._graph = _bwdif(frame)
                self._time_base = frame.time_base
            self._graph.vpush(frame)
            yield from self._ready()

    def finish(self) -> Iterator[VideoFrame]:
        """The frames that the filter still holds."""
        if self._graph is not None:
            self._graph.vpush(None)
            yield from self._ready()

    def _ready(self) -> Iterator[VideoFrame]:
        assert self._graph is not None
        while True:
            try:
                frame = self._graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            # bwdif counts in half ticks, for its field-rate mode.
            if frame.pts is not None and frame.time_base is not None and self._time_base is not None:
                frame.pts = round(frame.pts * frame.time_base / self._time_base)
                frame.time_base = self._time_base
            yield frame


def _bwdif(frame: VideoFrame) -> Graph:
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
    weave = graph.add("bwdif", "mode=send_frame:deint=all")
    sink = graph.add("buffersink")
    source.link_to(weave)
    weave.link_to(sink)
    graph.configure()
    return graph
