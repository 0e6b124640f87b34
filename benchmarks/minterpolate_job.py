"""`python -m benchmarks.minterpolate_job IN OUT FILTER PRESET X264`: FFmpeg's filter from file to file, through PyAV.

Decoder, filter and encoder run side by side, as they do in ffmpeg.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from fractions import Fraction

import av
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from codec_plugin.stages import ahead

_DEPTH = 8


def main(source: str, target: str, options: str, preset: str, x264: str) -> None:
    """Runs the job."""
    with av.open(source) as film, av.open(target, "w") as out:
        stream = film.streams.video[0]
        stream.thread_type = "AUTO"
        told = dict(part.split("=", 1) for part in options.split(":"))
        frames = ahead(film.decode(stream), depth=_DEPTH)
        encoder: VideoStream | None = None
        for frame in ahead(_doubled(frames, stream, told), depth=_DEPTH):
            if encoder is None:
                params = {"crf": "17", "preset": preset, "x264-params": x264}
                encoder = out.add_stream("libx264", rate=Fraction(told["fps"]), options=params)
                encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, frame.format.name
            frame.pict_type = 0
            out.mux(encoder.encode(frame))
        if encoder is not None:
            out.mux(encoder.encode(None))


def _doubled(frames: Iterator[VideoFrame], stream: VideoStream, told: dict[str, str]) -> Iterator[VideoFrame]:
    graph = Graph()
    source = graph.add_buffer(template=stream)
    maker, sink = graph.add("minterpolate", **told), graph.add("buffersink")
    source.link_to(maker)
    maker.link_to(sink)
    graph.configure()
    for frame in frames:
        graph.push(frame)
        yield from _ready(graph)
    graph.push(None)
    yield from _ready(graph)


def _ready(graph: Graph) -> Iterator[VideoFrame]:
    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
