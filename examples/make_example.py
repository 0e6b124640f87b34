"""Makes the example clip: eight seconds of Big Buck Bunny at 640x360, with frames lost on the way.

    python examples/make_example.py BIG_BUCK_BUNNY_720P examples/bunny_with_gaps.mp4

The film is CC-BY 3.0, © Blender Foundation, peach.blender.org. The picture is scaled and encoded again; the sound is
copied. What was dropped is named below, so that tests and pictures can say what is known.
"""

from __future__ import annotations

import sys
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

START_S, FRAMES = 75, 192
DROPPED = frozenset([20, 21, 22, 57, 58, 59, 60, 100, 130, 131, 132, 170, 171])
"""Frame numbers that are missing from the clip."""


def make(film: str, clip: str) -> None:
    """Writes the clip; times in the clip begin at 0."""
    with av.open(film) as source, av.open(clip, "w") as target:
        picture, sound = source.streams.video[0], source.streams.audio[0]
        options = {"crf": "21", "preset": "slow", "x264-params": "force-cfr=1"}
        out = target.add_stream("libx264", rate=24, options=options)
        out.width, out.height, out.pix_fmt = 640, 360, "yuv420p"
        copied = target.add_stream_from_template(sound)
        target.metadata.update(
            title="Big Buck Bunny (excerpt with frames dropped)",
            copyright="CC-BY 3.0, (c) copyright 2008, Blender Foundation / www.bigbuckbunny.org",
        )
        _pictures(source, target, picture, out)
        _sound(source, target, sound, copied)


def _pictures(
    source: av.container.InputContainer, target: av.container.OutputContainer, picture: VideoStream, out: VideoStream
) -> None:
    assert picture.time_base is not None
    source.seek(int(START_S / picture.time_base), stream=picture)
    for frame in source.decode(picture):
        number = round((frame.time or 0) * 24) - START_S * 24
        if not 0 <= number < FRAMES:
            if number >= FRAMES:
                break
            continue
        if number not in DROPPED:
            small = _small(frame)
            small.pts, small.time_base = number, Fraction(1, 24)
            target.mux(out.encode(small))
    target.mux(out.encode(None))


def _small(frame: VideoFrame) -> VideoFrame:
    small = frame.reformat(640, 360, "yuv420p", interpolation="LANCZOS")
    small.pict_type = 0
    return small


def _sound(
    source: av.container.InputContainer,
    target: av.container.OutputContainer,
    sound: AudioStream,
    copied: AudioStream,
) -> None:
    assert sound.time_base is not None
    start, stop = (int(seconds / sound.time_base) for seconds in (START_S, START_S + FRAMES / 24))
    source.seek(start, stream=sound)
    for packet in source.demux(sound):
        if packet.pts is None or packet.pts < start:
            continue
        if packet.pts >= stop:
            break
        packet.pts -= start
        packet.dts = packet.pts
        packet.stream = copied
        target.mux(packet)


if __name__ == "__main__":
    make(*sys.argv[1:3])
