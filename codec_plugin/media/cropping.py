"""Films cut to even sizes: 4:2:0 wants them of most encoders."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from codec_plugin.media.reader import Reader, Window


def write_even(source: Path, target: Path, *, window: Window) -> tuple[int, int]:
    """Writes a film without its last column or row where their number is odd, lossless, with its times.

    Args:
        source: the film.
        target: a Matroska file, replaced if it is there.
        window: which part of the film.

    Returns:
        (Width, height) of what was written.
    """
    with Reader(source, window=window) as reader, av.open(str(target), "w") as output:
        tick = reader.info.video.time_base
        stream: VideoStream | None = None
        graph: Graph | None = None
        for frame in reader.frames():
            graph = graph or _even(frame, tick)
            frame.time_base = tick
            graph.vpush(frame)
            cut = graph.vpull()
            if stream is None:
                stream = output.add_stream("ffv1", rate=reader.info.video.rate_from_header or Fraction(25))
                assert isinstance(stream, VideoStream)
                stream.width, stream.height, stream.pix_fmt = cut.width, cut.height, cut.format.name
                stream.time_base = stream.codec_context.time_base = tick
                context = stream.codec_context
                context.color_primaries, context.color_trc = frame.color_primaries, frame.color_trc
                context.colorspace, context.color_range = frame.colorspace, frame.color_range
            cut.pts, cut.time_base, cut.pict_type = frame.pts, tick, 0
            output.mux(stream.encode(cut))
        assert stream is not None  # the reader refuses a film without frames
        output.mux(stream.encode(None))
        return stream.width, stream.height


def _even(frame: VideoFrame, tick: Fraction) -> Graph:
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=tick)
    crop = graph.add("crop", f"{frame.width // 2 * 2}:{frame.height // 2 * 2}:0:0")
    sink = graph.add("buffersink")
    source.link_to(crop)
    crop.link_to(sink)
    graph.configure()
    return graph
