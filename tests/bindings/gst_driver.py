"""Runs pipelines inside the system's own Python, where GStreamer's bindings are, and prints what came out as JSON.

/usr/bin/python3 gst_driver.py CASE [ARGUMENT …]
"""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

WAIT = 20 * Gst.SECOND
SIZE = (96, 64)


def ran(line: str, *, feed: Any = None, meanwhile: Any = None) -> dict[str, Any]:
    """Plays a pipeline with an appsink `out` to its end or first error."""
    pipeline = Gst.parse_launch(line)
    sink, seen, told = pipeline.get_by_name("out"), [], []

    def taken(appsink: Any) -> Any:
        sample = appsink.emit("pull-sample")
        buffer = sample.get_buffer()
        data = buffer.extract_dup(0, buffer.get_size())
        seen.append(
            {
                "pts": buffer.pts,
                "duration": None if buffer.duration == Gst.CLOCK_TIME_NONE else buffer.duration,
                "discont": bool(buffer.mini_object.flags & Gst.BufferFlags.DISCONT),
                "md5": hashlib.md5(data).hexdigest(),
                "size": len(data),
                "caps": sample.get_caps().to_string(),
            }
        )
        return Gst.FlowReturn.OK

    sink.set_property("emit-signals", True)
    sink.set_property("sync", False)
    sink.connect("new-sample", taken)
    started = pipeline.set_state(Gst.State.PLAYING)
    if started != Gst.StateChangeReturn.FAILURE and feed is not None:
        feed(pipeline)
    if meanwhile is not None:
        told.append(meanwhile(pipeline))
    wanted = Gst.MessageType.ERROR | Gst.MessageType.EOS
    message = pipeline.get_bus().timed_pop_filtered(WAIT, wanted)
    error = None
    if message is None:
        error = "nothing happened"
    elif message.type == Gst.MessageType.ERROR:
        error = message.parse_error()[0].message
    pipeline.set_state(Gst.State.NULL)
    return {"frames": seen, "error": error, "told": told, "failed": started == Gst.StateChangeReturn.FAILURE}


def picture(number: int, size: tuple[int, int] = SIZE) -> bytes:
    """Gray bars that move, as I420."""
    width, height = size
    rows = bytes((x * 2 + number * 4) % 200 + 20 for x in range(width)) * height
    return rows + bytes([128]) * (2 * ((width + 1) // 2) * ((height + 1) // 2))


def pushing(times: list[int | None], *, caps: str, end: bool = True, first: int = 0, size: Any = SIZE) -> Any:
    """Feeds an appsrc `in` with pictures at these times."""

    def feed(pipeline: Any) -> None:
        source = pipeline.get_by_name("in")
        source.set_property("caps", Gst.Caps.from_string(caps))
        for number, time in enumerate(times, first):
            buffer = Gst.Buffer.new_wrapped(picture(number, size))
            if time is not None:
                buffer.pts = time
            source.emit("push-buffer", buffer)
        if end:
            source.emit("end-of-stream")

    return feed


def caps_of(rate: str, size: tuple[int, int] = SIZE, more: str = "") -> str:
    return f"video/x-raw,format=I420,width={size[0]},height={size[1]},framerate={rate}{more}"


APPSRC = "appsrc name=in format=time ! fcvg name=f {} ! appsink name=out"


def case_launch(line: str) -> Any:
    """Any line with an appsink `out`."""
    return ran(line)


def case_pushed(properties: str, rate: str, times: str, more: str = "") -> Any:
    """Pictures at times given as JSON, null for none."""
    return ran(APPSRC.format(properties), feed=pushing(json.loads(times), caps=caps_of(rate, more=more)))


def case_formats(names: str) -> Any:
    """Four frames in each format, with and without the element, and in an odd size."""
    source = "videotestsrc num-buffers=4 pattern=ball ! video/x-raw,format={},width={},height=64,framerate=25/1"
    ours = " ! fcvg engine=blend scene-threshold=100"
    return {
        name: [
            ran(source.format(name, width) + more + " ! appsink name=out")
            for width, more in ((96, ""), (96, ours), (97, ours))
        ]
        for name in names.split(",")
    }


def case_caps_change() -> Any:
    """Four pictures of one size, then four of another."""

    def feed(pipeline: Any) -> None:
        pushing([n * 40_000_000 for n in range(4)], caps=caps_of("25/1"), end=False)(pipeline)
        small = (48, 32)
        later = [160_000_000 + n * 20_000_000 for n in range(4)]
        pushing(later, caps=caps_of("50/1", small), first=4, size=small)(pipeline)

    return ran(APPSRC.format("engine=blend"), feed=feed)


def case_seek() -> Any:
    """A flushing seek in the middle."""

    def jump(pipeline: Any) -> Any:
        pipeline.get_state(WAIT)
        return pipeline.seek_simple(Gst.Format.TIME, Gst.SeekFlags.FLUSH | Gst.SeekFlags.ACCURATE, 2 * Gst.SECOND)

    line = "videotestsrc num-buffers=100 pattern=ball ! video/x-raw,format=I420,width=96,height=64,framerate=25/1"
    return ran(f"{line} ! fcvg engine=blend ! appsink name=out max-buffers=1", meanwhile=jump)


def case_backwards() -> Any:
    """A seek to play backwards."""

    def jump(pipeline: Any) -> Any:
        pipeline.get_state(WAIT)
        flags = Gst.SeekFlags.FLUSH
        return pipeline.seek(-1.0, Gst.Format.TIME, flags, Gst.SeekType.SET, 0, Gst.SeekType.SET, Gst.SECOND)

    line = "videotestsrc num-buffers=10 pattern=ball ! video/x-raw,format=I420,width=96,height=64,framerate=25/1"
    return ran(f"{line} ! fcvg engine=blend ! appsink name=out", meanwhile=jump)


def case_latency(properties: str) -> Any:
    """What a live pipeline says of its latency, in nanoseconds."""

    def asked(pipeline: Any) -> Any:
        pipeline.get_state(WAIT)
        query = Gst.Query.new_latency()
        answered = pipeline.get_by_name("out").get_static_pad("sink").peer_query(query)
        return [answered, *query.parse_latency()]

    line = "videotestsrc is-live=true num-buffers=5 ! video/x-raw,format=I420,width=96,height=64,framerate=25/1"
    return ran(f"{line} ! {properties} appsink name=out", meanwhile=asked)


def case_engines() -> Any:
    """Engines that aren't there, lack something, or throw; then a sound pipeline in the same process."""
    from codec_plugin import engine  # its table of engines is what is changed

    engine._BUILT_IN["lacking"] = "tests.bindings.broken_engine:LacksWeights"
    engine._BUILT_IN["throwing"] = "tests.bindings.broken_engine:Throws"
    line = "videotestsrc num-buffers=6 pattern=ball ! video/x-raw,format=I420,width=96,height=64,framerate=25/1"
    names = ("nonesuch", "lacking", "throwing", "blend")
    return {name: ran(f"{line} ! fcvg engine={name} ! appsink name=out") for name in names}


if __name__ == "__main__":
    Gst.init(None)
    print(json.dumps(globals()[f"case_{sys.argv[1]}"](*sys.argv[2:])))
