"""FFmpeg's minterpolate over the frames that a stream has: what anybody can do without us, to compare with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
from av.filter import Graph

from codec_plugin.media.reader import Frame


def minterpolated(frames: Iterable[Frame], *, rate: Fraction, time_base: Fraction) -> Iterator[Frame]:
    """Frames at a rate, made of those that are there by motion-compensated interpolation.

    Args:
        frames: rising, with their times in ticks of `time_base`.
        rate: frames a second that come out, counted from the first frame on.
        time_base: seconds a tick.

    Yields:
        Frames whose `pts` counts in their own `time_base`.
    """
    graph: Graph | None = None
    for frame in frames:
        if graph is None:
            graph = _graph(frame, rate=rate, time_base=time_base)
        frame.time_base = time_base
        graph.push(frame)
        yield from _ready(graph)
    if graph is not None:
        graph.push(None)
        yield from _ready(graph)


def _graph(first: Frame, *, rate: Fraction, time_base: Fraction) -> Graph:
    graph = Graph()
    source = graph.add(
        "buffer",
        video_size=f"{first.width}x{first.height}",
        pix_fmt=first.format.name,
        time_base=f"{time_base.numerator}/{time_base.denominator}",
        pixel_aspect="1/1",
    )
    maker = graph.add("minterpolate", fps=f"{rate.numerator}/{rate.denominator}", mi_mode="mci")
    back = graph.add("format", first.format.name)
    sink = graph.add("buffersink")
    source.link_to(maker)
    maker.link_to(back)
    back.link_to(sink)
    graph.configure()
    return graph


def _ready(graph: Graph) -> Iterator[Frame]:
    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
