"""Synthesised clips with known drops. Each picture carries its own number, readable after lossy coding."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import floor
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame

from codec_plugin.grids import Restore, Verb
from codec_plugin.options import RestoreOptions
from codec_plugin.plan import RestorePlan, make_plan
from codec_plugin.timeline.segments import Timeline, build_timeline
from codec_plugin.timing import RateCandidate, RateSource

STRIP_ROWS = 8
STRIP_BITS = 8
NTSC_FILM = Fraction(24000, 1001)
NTSC = Fraction(30000, 1001)
NTSC_DOUBLE = Fraction(60000, 1001)
RATES = (NTSC_FILM, Fraction(25), NTSC, Fraction(50), NTSC_DOUBLE)
MILLISECOND = Fraction(1, 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A container and what is in it."""

    suffix: str
    """The file's ending, with its dot."""
    codec: str
    """FFmpeg's name of the video encoder."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What the encoder is told."""
    audio: str | None = None
    """FFmpeg's name of an audio encoder that the container holds."""

    def __str__(self) -> str:
        reordered = "-bframes" if self.options.get("bf", "0") != "0" else ""
        return f"{self.suffix[1:]}-{self.codec}{reordered}"


_X264 = {"preset": "ultrafast", "bf": "2", "g": "12", "crf": "20"}
_VP9 = {"deadline": "realtime", "cpu-used": "8", "g": "12", "crf": "20", "b": "0"}

MP4 = Kind(suffix=".mp4", codec="libx264", options=_X264, audio="aac")
MKV = Kind(suffix=".mkv", codec="libx264", options=_X264, audio="pcm_s16le")
MOV = Kind(suffix=".mov", codec="libx264", options=_X264, audio="pcm_s16le")
TS = Kind(suffix=".ts", codec="libx264", options=_X264, audio="aac")
WEBM = Kind(suffix=".webm", codec="libvpx-vp9", options=_VP9, audio="libopus")
AVI = Kind(suffix=".avi", codec="mpeg4", options={"g": "12"}, audio="pcm_s16le")
AVI_REORDERED = Kind(suffix=".avi", codec="mpeg4", options={"g": "12", "bf": "2"}, audio="pcm_s16le")
TS_MPEG2 = Kind(suffix=".ts", codec="mpeg2video", options={"g": "12", "bf": "2"}, audio="mp2")
MKV_HEVC = Kind(
    suffix=".mkv",
    codec="libx265",
    options={"preset": "ultrafast", "x265-params": "log-level=none:bframes=2:keyint=12:pools=none"},
    audio="aac",
)
MKV_FFV1 = Kind(suffix=".mkv", codec="ffv1", audio="pcm_s16le")

KINDS = (MP4, MKV, MOV, TS, WEBM, AVI, AVI_REORDERED, TS_MPEG2, MKV_HEVC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A film to be synthesised: the slots of its clock, less the dropped ones."""

    kind: Kind = MKV
    """Container and codec."""
    rate: Fraction = Fraction(25)
    """Slots a second."""
    slots: int = 24
    """Slots, dropped ones included."""
    dropped: frozenset[int] = frozenset()
    """Slots that get no frame."""
    size: tuple[int, int] = (64, 48)
    """(width, height) in pixels."""
    pixel_format: str = "yuv420p"
    """FFmpeg's name."""
    time_base: Fraction | None = None
    """Of the pts given to the encoder; None for one slot a tick."""
    start: Fraction = Fraction(0)
    """Seconds before slot 0."""
    scene_of: Callable[[int], int] = lambda slot: 0
    """Which of several unlike pictures a slot shows."""
    with_audio: bool = False
    """A sine of the film's length, in the container's own sort of audio."""

    @property
    def kept(self) -> tuple[int, ...]:
        """The slots that have a frame."""
        return tuple(slot for slot in range(self.slots) if slot not in self.dropped)

    def thinned(self, dropped: Iterable[int]) -> Clip:
        """The same film without some of its slots."""
        return replace(self, dropped=frozenset(dropped))

    def write(self, path: Path) -> Path:
        """Writes the film and returns the path."""
        tick = self.time_base or 1 / self.rate
        with av.open(str(path), "w") as container:
            stream = container.add_stream(self.kind.codec, rate=self.rate, options=dict(self.kind.options))
            stream.width, stream.height = self.size
            stream.pix_fmt = self.pixel_format
            stream.time_base = stream.codec_context.time_base = tick
            stream.codec_context.thread_count = 1
            sound = container.add_stream(self.kind.audio, rate=48_000) if self._is_heard else None
            for slot in self.kept:
                frame = picture(slot, scene=self.scene_of(slot), size=self.size, pixel_format=self.pixel_format)
                frame.pts, frame.time_base = floor((self.start + slot / self.rate) / tick + Fraction(1, 2)), tick
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
            if sound is not None:
                for heard in sine(seconds=self.slots / self.rate, like=sound.codec_context, start=self.start):
                    container.mux(sound.encode(heard))
                container.mux(sound.encode(None))
        return path

    @property
    def _is_heard(self) -> bool:
        return self.with_audio and self.kind.audio is not None


def picture(
    number: int, *, scene: int = 0, size: tuple[int, int] = (64, 48), pixel_format: str = "yuv420p"
) -> VideoFrame:
    """A textured picture that moves a sample a frame, with its number as a strip of bits along the top."""
    frame = VideoFrame(*size, pixel_format)
    packed = len(frame.planes) == 1 and len(frame.format.components) > 1
    depth = 8 if packed else frame.format.components[0].bits
    for index, samples in enumerate(planes_of(frame)):
        y, x = np.mgrid[: samples.shape[0], : samples.shape[1]]
        turn = scene * 5 + index
        wave = np.sin((x + number) / (4.0 + turn)) + np.cos(y / (3.0 + 2 * turn) + turn)
        wave += np.sin((x * (scene + 1) + number + 2 * y) / 9)
        level = 0.5 + 0.12 * wave + (0.2 if scene % 2 else 0.0)
        samples[:] = np.clip(level, 0.06, 0.92) * (2**depth - 1)
    luma = planes_of(frame)[0]
    step = luma.shape[1] // STRIP_BITS
    for bit in range(STRIP_BITS):
        level = 0.8 if number >> bit & 1 else 0.2
        luma[:STRIP_ROWS, bit * step : (bit + 1) * step] = level * (2**depth - 1)
    return frame


def number_of(frame: VideoFrame) -> int:
    """The number in a picture's strip."""
    luma = planes_of(frame)[0].astype(np.float64)
    bits = np.array_split(luma[1 : STRIP_ROWS - 1, : luma.shape[1] // STRIP_BITS * STRIP_BITS], STRIP_BITS, axis=1)
    middle = (2 ** frame.format.components[0].bits - 1) / 2 if len(frame.planes) > 1 else 127.5
    return sum(1 << bit for bit, block in enumerate(bits) if block[:, 2:-2].mean() > middle)


def planes_of(frame: VideoFrame) -> list[npt.NDArray[np.generic]]:
    """Writable views of a frame's planes without their padding, (height, width) each; packed pixels as bytes."""
    views = []
    for plane in frame.planes:
        packed = len(frame.planes) == 1 and len(frame.format.components) > 1
        wide = not packed and frame.format.components[0].bits > 8
        samples = plane.width * frame.format.padded_bits_per_pixel // 8 if packed else plane.width
        rows = np.frombuffer(plane, np.uint16 if wide else np.uint8).reshape(-1, plane.line_size // (1 + wide))
        views.append(rows[: plane.height, :samples])
    return views


def digest_of(frame: VideoFrame) -> str:
    """MD5 over a frame's planes without their padding, as framemd5 has it."""
    return hashlib.md5(b"".join(np.ascontiguousarray(plane).tobytes() for plane in planes_of(frame))).hexdigest()


def sine(*, seconds: Fraction, like: av.AudioCodecContext, start: Fraction) -> Iterator[AudioFrame]:
    """A sine of a length, in the format that an encoder takes, in pieces of the size it takes."""
    rate = like.sample_rate
    total, at = floor(seconds * rate), floor(start * rate)
    resampler = av.AudioResampler(format=like.format, layout=like.layout, rate=rate, frame_size=1024)
    wave = np.sin(np.arange(total) * 2 * np.pi * 440 / rate) * 0.3 * 32767
    mono = AudioFrame.from_ndarray(wave.astype(np.int16)[None, :], format="s16", layout="mono")
    mono.sample_rate, mono.pts, mono.time_base = rate, at, Fraction(1, rate)
    yield from resampler.resample(mono)
    yield from resampler.resample(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A decoded frame, boiled down."""

    pts: int
    """In ticks of the stream."""
    seconds: Fraction
    """The same, exact."""
    digest: str
    """Of its pixels."""
    number: int
    """What its strip says; of a made frame, nothing in particular."""


def shown(path: Path) -> list[Shown]:
    """Every frame that a plain PyAV decode shows, in its order."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        return [
            Shown(
                pts=frame.pts,
                seconds=frame.pts * frame.time_base,
                digest=digest_of(frame),
                number=number_of(frame),
            )
            for frame in container.decode(stream)
        ]


def stream_end(path: Path, kind: str) -> Fraction:
    """When the last packet of the first stream of a kind ends, in seconds."""
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        ends = [
            (packet.pts + (packet.duration or 0)) * packet.time_base
            for packet in container.demux(stream)
            if packet.pts is not None and packet.size and not packet.is_discard
        ]
    return max(ends)


def lattice(
    slots: Sequence[int], *, rate: Fraction, time_base: Fraction, start: Fraction = Fraction(0)
) -> npt.NDArray[np.int64]:
    """The times of slots, to the nearest tick, as a muxer writes them."""
    half = Fraction(1, 2)
    return np.asarray([floor(start / time_base + slot / (rate * time_base) + half) for slot in slots], np.int64)


def timeline_of(
    pts: Sequence[int] | npt.NDArray[np.int64],
    *,
    time_base: Fraction,
    rate: Fraction | None = None,
    source: RateSource = RateSource.USER,
    max_gap: Fraction = Fraction(2),
) -> Timeline:
    """A timeline without a file; `rate` is what `source` claims."""
    claims = (RateCandidate(rate=rate, source=source),) if rate else ()
    return build_timeline(np.asarray(pts, np.int64), time_base=time_base, candidates=claims, max_gap=max_gap)


def planned(timeline: Timeline, verb: Verb | None = None, *, bad: Mapping[int, str] | None = None) -> RestorePlan:
    """A plan without a file."""
    return make_plan(
        timeline, verb=verb or Restore(), options=RestoreOptions(), engine="blend", source="a clip", bad=bad
    )
