"""Odd files for tests: clips with everything in them, broken ones, and a way to run the command line on them."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer, OutputContainer
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from codec_plugin.cli.app import run

SIZE = (64, 48)
RATE = Fraction(25)
SAMPLE_RATE = 48_000
X264 = {"preset": "ultrafast", "tune": "zerolatency", "crf": "20"}
X264_REORDERED = {"preset": "ultrafast", "bf": "2", "g": "12", "x264-params": "b-adapt=0:scenecut=0:ref=2"}
FAST = ("--engine", "blend", "--preset", "ultrafast")
FONT = bytes(range(256)) * 8

SRT = """1
00:00:00,100 --> 00:00:00,400
Hello there

2
00:00:00,500 --> 00:00:00,900
General <i>greetings</i>
"""

ASS = """[Script Info]
ScriptType: v4.00+
PlayResX: 64
PlayResY: 48

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, Alignment
Style: Default,Arial,12,&H00FFFFFF,2

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:00.10,0:00:00.40,Default,,0,0,0,,Styled words
Dialogue: 0,0:00:00.50,0:00:00.90,Default,,0,0,0,,More of them
"""


def picture(index: int, *, size: tuple[int, int] = SIZE, pixel_format: str = "yuv420p") -> VideoFrame:
    """A textured picture that moves two samples a frame."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    x = x + 2 * index
    waves = [np.sin(x / (5 + n)) + np.cos(y / 7 + n) + np.sin((x + 2 * y) / 11) for n in range(3)]
    rgb = (np.stack(waves, axis=-1) * 0.12 + 0.5).clip(0, 1) * 255
    return VideoFrame.from_ndarray(rgb.astype(np.uint8), format="rgb24").reformat(format=pixel_format)


def add_video(
    container: OutputContainer,
    codec: str = "libx264",
    *,
    size: tuple[int, int] = SIZE,
    pixel_format: str = "yuv420p",
    rate: Fraction = RATE,
    time_base: Fraction | None = None,
    options: Mapping[str, str] | None = None,
) -> VideoStream:
    """An encoding stream, not yet opened; by default one tick is one frame."""
    told = dict(X264 if options is None and codec == "libx264" else options or {})
    stream = container.add_stream(codec, rate=rate, options=told)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height = size
    stream.pix_fmt = pixel_format
    stream.time_base = stream.codec_context.time_base = time_base or 1 / rate
    stream.codec_context.thread_count = 1
    return stream


def put_video(
    container: OutputContainer,
    stream: VideoStream,
    frames: Iterable[int],
    *,
    start_ticks: int = 0,
    ticks: int = 1,
    flush: bool = True,
) -> None:
    """Encodes the pictures with these numbers, each at its own place of the lattice."""
    context = stream.codec_context
    for index in frames:
        frame = picture(index, size=(context.width, context.height), pixel_format=str(context.pix_fmt))
        frame.pts, frame.time_base = start_ticks + index * ticks, context.time_base
        container.mux(stream.encode(frame))
    if flush:
        container.mux(stream.encode(None))


def write_clip(
    path: Path,
    *,
    codec: str = "libx264",
    frames: Iterable[int] = range(24),
    size: tuple[int, int] = SIZE,
    pixel_format: str = "yuv420p",
    rate: Fraction = RATE,
    options: Mapping[str, str] | None = None,
    start_s: Fraction = Fraction(0),
    form: str | None = None,
    muxing: Mapping[str, str] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """A film of one video stream."""
    with av.open(str(path), "w", format=form, options=dict(muxing or {})) as container:
        container.metadata.update(metadata or {})
        stream = add_video(container, codec, size=size, pixel_format=pixel_format, rate=rate, options=options)
        put_video(container, stream, frames, start_ticks=int(start_s * rate))
    return path


def sound(container: OutputContainer, *, codec: str = "aac") -> Stream:
    """Adds an audio stream with a tone; the packets must be muxed with `put_sound`."""
    stream = container.add_stream(codec, rate=SAMPLE_RATE)
    stream.layout = "mono"
    return stream


def put_sound(
    container: OutputContainer, stream: Stream, *, seconds: float = 1.0, tone_hz: float = 440, start_s: float = 0
) -> None:
    """Encodes a tone."""
    context = stream.codec_context
    size = context.frame_size or 1024
    total = int(seconds * SAMPLE_RATE)
    for begin in range(0, total, size):
        at = (begin + np.arange(min(size, total - begin))) / SAMPLE_RATE
        wave = (0.2 * np.sin(2 * np.pi * tone_hz * at)).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        frame.sample_rate, frame.time_base = SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
        frame.pts = begin + int(start_s * SAMPLE_RATE)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_sound(path: Path, *, seconds: float = 1.0, tone_hz: float = 440, codec: str = "aac") -> Path:
    """A file with audio only."""
    with av.open(str(path), "w") as container:
        put_sound(container, sound(container, codec=codec), seconds=seconds, tone_hz=tone_hz)
    return path


def write_pgs(path: Path, *, times_s: Sequence[float] = (0.1, 0.6)) -> Path:
    """A Blu-ray subtitle stream of empty compositions: one that nothing but Matroska and TS holds."""
    data = b""
    for number, seconds in enumerate(times_s):
        composition = struct.pack(">HHBHBBBB", 64, 48, 0x10, number, 0x80, 0, 0, 0)
        ticks = int(seconds * 90_000)
        for kind, payload in ((0x16, composition), (0x80, b"")):
            data += struct.pack(">2sIIBH", b"PG", ticks, 0, kind, len(payload)) + payload
    path.write_bytes(data)
    return path


def write_cover(path: Path) -> bytes:
    """An attached picture, as a PNG file; its bytes."""
    with av.open(str(path), "w", format="image2pipe") as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "rgb24"
        container.mux(stream.encode(picture(0, size=(32, 32), pixel_format="rgb24")))
        container.mux(stream.encode(None))
    return path.read_bytes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A file whose first stream goes into another one as it is."""

    path: Path
    metadata: Mapping[str, str]
    disposition: int = 0


def join_streams(
    path: Path,
    parts: Sequence[Part],
    *,
    metadata: Mapping[str, str] | None = None,
    chapters: Sequence[tuple[int, int, str]] = (),
    attachments: Sequence[tuple[str, str, bytes]] = (),
    muxing: Mapping[str, str] | None = None,
) -> Path:
    """Muxes the first streams of many files into one, in order of time; chapters are in milliseconds."""
    inputs = [av.open(str(part.path)) for part in parts]
    with av.open(str(path), "w", options=dict(muxing or {})) as container:
        container.metadata.update(metadata or {})
        targets = []
        for part, source in zip(parts, inputs, strict=True):
            target = container.add_stream_from_template(source.streams[0], opaque=True)
            target.metadata.update(part.metadata)
            target.disposition = part.disposition
            targets.append(target)
        for name, mime, data in attachments:
            container.add_attachment(name, mime, data)
        if chapters:
            container.set_chapters(
                [
                    {
                        "id": number,
                        "start": start,
                        "end": end,
                        "time_base": Fraction(1, 1000),
                        "metadata": {"title": title},
                    }
                    for number, (start, end, title) in enumerate(chapters, start=1)
                ]
            )
        packets = []
        for target, source in zip(targets, inputs, strict=True):
            at = 0.0  # Matroska gives the first packets of a reordered stream no dts
            for packet in source.demux(source.streams[0]):
                if packet.size:
                    if packet.dts is not None:
                        at = float(packet.dts * packet.time_base)
                    packets.append((at, target.index, packet))
                    packet.stream = target
        for _, _, packet in sorted(packets, key=lambda entry: entry[:2]):
            container.mux(packet)
    for source in inputs:
        source.close()
    return path


def noisy(source: Path, target: Path, *, amount: str, seed: int = 0, drop: str | None = None) -> Path:
    """Damages the video packets of a file with FFmpeg's `noise` bitstream filter, first packet kept whole."""
    told = f"noise=amount={amount}" + (f":drop={drop}" if drop else "")
    random = np.random.default_rng(seed)
    with av.open(str(source)) as container, av.open(str(target), "w") as output:
        stream = container.streams.video[0]
        copy = output.add_stream_from_template(stream, opaque=True)
        damage = BitStreamFilterContext(told, stream)
        for number, packet in enumerate(container.demux(stream)):
            if not packet.size:
                continue
            hit = number and random.random() < 0.5
            for made in damage.filter(packet) if hit else [packet]:
                made.stream = copy
                output.mux(made)
    return target


def video_packets(path: Path, index: int | None = None) -> list[tuple[int | None, int | None, bytes]]:
    """(pts, dts, bytes) of every packet of a stream, the first video stream by default."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0] if index is None else container.streams[index]
        return [(p.pts, p.dts, bytes(p)) for p in container.demux(stream) if p.size]


def packet_digests(path: Path, index: int) -> list[str]:
    """MD5 of each packet of a stream."""
    return [hashlib.md5(data).hexdigest() for _, _, data in video_packets(path, index)]


def shown_times(path: Path, index: int | None = None) -> list[Fraction]:
    """When each picture of a film is shown, decoded, in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0] if index is None else container.streams[index]
        return [frame.pts * frame.time_base for frame in container.decode(stream)]


def decoded(path: Path) -> list[VideoFrame]:
    """All pictures of a film."""
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """A file, open for reading."""
    with av.open(str(path)) as container:
        yield container


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a command line ended."""

    code: int
    """The exit code."""
    out: str
    """Standard output."""
    err: str
    """Standard error."""


class CommandLine:
    """Runs the command line in this process, and holds what is true of every run of it.

    No run ends in a traceback or an unforeseen error, none leaves a temporary file, and a failed one leaves nothing.
    """

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capture = folder, capture

    def __call__(self, *arguments: object) -> Ran:
        before = files_under(self.folder)
        self._capture.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = self._capture.readouterr()
        check_manners(Ran(code=code, out=out, err=err), before=before, after=files_under(self.folder))
        return Ran(code=code, out=out, err=err)

    def refused(self, *arguments: object, code: int = 1) -> str:
        """Runs what must be refused; gives the complaint."""
        ran = self(*arguments)
        assert ran.code == code, f"exit {ran.code}, not {code}: {ran.out}{ran.err}"
        assert ran.err.strip(), "refused without a word"
        return ran.err

    def done(self, *arguments: object) -> Ran:
        """Runs what must succeed."""
        ran = self(*arguments)
        assert ran.code == 0, f"exit {ran.code}: {ran.err}"
        return ran


def files_under(folder: Path) -> dict[Path, int]:
    """Every file below a folder, with its time of change."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def check_manners(ran: Ran, *, before: Mapping[Path, int], after: Mapping[Path, int]) -> None:
    """What holds after every run."""
    assert "did not foresee" not in ran.err, ran.err
    assert "Traceback" not in ran.err, ran.err
    stray = [path for path in after if ".part" in path.name or path.name.startswith(".")]
    assert not stray, f"left behind: {stray}"
    if ran.code:
        assert after == before, f"a failed run changed files: {set(after.items()) ^ set(before.items())}"


def damaged_bytes(data: bytes, *, seed: int, flips: int, start: int = 0) -> bytes:
    """Bytes with some of them replaced at random."""
    random = np.random.default_rng(seed)
    changed = np.frombuffer(data, np.uint8).copy()
    places = random.integers(start, len(data), flips)
    changed[places] = random.integers(0, 256, flips)
    return changed.tobytes()


def is_root() -> bool:
    """Whether permissions bind this process."""
    return os.geteuid() == 0
