"""How alike two films are: PSNR, SSIM and XPSNR, measured pair by pair with FFmpeg, and their summary."""

from __future__ import annotations

import os
from array import array
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from math import ceil, inf, isnan, log10, nan

import av
import numpy as np
import numpy.typing as npt
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from codec_plugin.errors import InputError, UnsupportedInput
from codec_plugin.media.color import color_of
from codec_plugin.media.pixels import copy_frame
from codec_plugin.media.reader import Reader
from codec_plugin.media.source import Source, is_seekable
from codec_plugin.picture import Matrix

Thumbnail = npt.NDArray[np.float32]
"""A small gray picture, (36, 64), in levels of 0 to 255."""
Values = npt.NDArray[np.float64]
"""One value a pair, (n,)."""

MEASURES = ("psnr", "ssim", "xpsnr")
"""All that can be measured of a pair."""

_DEPTHS = (8, 9, 10, 12, 14, 16)
_SUBSAMPLINGS = {(0, 0): "444", (1, 0): "422", (1, 1): "420", (0, 1): "440", (2, 0): "411", (2, 2): "410"}
_ANY_DEPTH = ("444", "422", "420")
_SWS_MATRICES = {
    Matrix.BT601: Colorspace.ITU601,
    Matrix.BT709: Colorspace.ITU709,
    Matrix.BT2020: Colorspace.BT2020,
}
_THUMBNAIL_SIZE = (64, 36)
_SMALLEST_PLANE_FOR_SSIM = 8  # the filter's windows are 8x8; below, it answers with nan or 0
_DEFAULT_RATE = Fraction(25)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameScores:
    """How alike one frame of a restored film and its partner in the reference are."""

    psnr: float
    """Peak signal-to-noise ratio over the samples of all planes, dB; infinite where they are identical."""
    ssim: float | None
    """Structural similarity, planes weighted by their samples, at most 1; None where it can't be measured."""
    xpsnr: float | None
    """Perceptually weighted PSNR (Helmrich et al., ICASSP 2020), planes weighted by their samples, dB;
    infinite where no weighted error is left; None where it can't be measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One measure over many frames."""

    pooled: float
    """PSNR: from the mean squared error of all frames, FFmpeg's "average". XPSNR: from the mean square root
    of the weighted error, as FFmpeg pools it. SSIM: the mean. Infinite where all frames are identical."""
    mean: float
    """The mean of the frames' values; infinite ones are left out, unless all are."""
    worst_decile: float
    """The mean of the lowest tenth of the frames' values (rounded up), infinite ones left out likewise."""
    lowest: float
    """The lowest of the frames' values."""
    lowest_at: Fraction
    """When the frame that has it is shown, seconds in the reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """How alike a set of frames and their partners are."""

    frames: int
    """Pairs measured."""
    identical: int
    """Those whose samples are all the same: their PSNR is infinite."""
    psnr: Metric
    """dB."""
    ssim: Metric | None
    """At most 1; None where it can't be measured."""
    xpsnr: Metric | None
    """dB; None where it can't be measured."""


class ScoreSheet:
    """The values of all pairs so far: 33 bytes a pair, which the worst decile needs."""

    def __init__(self, *, tick: Fraction) -> None:
        """Starts empty; `tick` is the reference's time base, seconds."""
        self._tick = tick
        self._pts, self._made = array("q"), bytearray()
        self._psnr, self._ssim, self._xpsnr = array("d"), array("d"), array("d")

    def __len__(self) -> int:
        """How many pairs were added."""
        return len(self._pts)

    def add(self, scores: FrameScores, *, at: Fraction, is_made: bool) -> None:
        """Adds a pair; `at` is when the reference shows its frame, seconds."""
        self._pts.append(int(at / self._tick))
        self._made.append(is_made)
        self._psnr.append(scores.psnr)
        self._ssim.append(nan if scores.ssim is None else scores.ssim)
        self._xpsnr.append(nan if scores.xpsnr is None else scores.xpsnr)

    def summary(self, *, made: bool | None = None) -> Scores | None:
        """All pairs, or only those whose frame was or wasn't made; None where there is no such pair."""
        marks = np.array(self._made, np.bool_)
        chosen = np.flatnonzero(np.ones_like(marks) if made is None else marks == made)
        if not chosen.size:
            return None
        psnr = np.array(self._psnr)[chosen]
        identical = int(np.isinf(psnr).sum())
        measured = self._metric(psnr, chosen, pooled=_pooled(psnr, divisor=10))
        ssim, xpsnr = np.array(self._ssim)[chosen], np.array(self._xpsnr)[chosen]
        return Scores(
            frames=int(chosen.size),
            identical=identical,
            psnr=measured,
            ssim=None if np.isnan(ssim).any() else self._metric(ssim, chosen, pooled=float(ssim.mean())),
            xpsnr=None if np.isnan(xpsnr).any() else self._metric(xpsnr, chosen, pooled=_pooled(xpsnr, divisor=20)),
        )

    def _metric(self, values: Values, chosen: npt.NDArray[np.intp], *, pooled: float) -> Metric:
        ranked = np.sort(values)
        lowest = int(values.argmin())
        return Metric(
            pooled=pooled,
            mean=_finite_mean(values),
            worst_decile=_finite_mean(ranked[: ceil(len(ranked) / 10)]),
            lowest=float(values[lowest]),
            lowest_at=self._pts[int(chosen[lowest])] * self._tick,
        )


class Similarity:
    """Measures pairs of frames, given in presentation order; holds no frame after the answer.

    The reference's pixel format is the one that is measured in; where it isn't planar (p010, packed RGB, a
    palette), its planar relative is. Alpha is left out. XPSNR weights errors by how much the reference moves
    from one measured frame to the next, so the pairs must come in order.
    """

    def __init__(self, *, rate: Fraction | None = None, measures: Collection[str] = MEASURES) -> None:
        """Prepares to measure.

        Args:
            rate: frames a second, by which XPSNR chooses its measure of motion (from 32 on it looks two
                frames back); 25 where it isn't known.
            measures: which of `MEASURES`; PSNR, which costs next to nothing, always is.
        """
        self._rate, self._measures = rate or _DEFAULT_RATE, frozenset(measures)
        self._notes: dict[str, None] = {}
        self._chain: _Chain | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What goes with the numbers: conversions, and measures that aren't there, with the reason."""
        return tuple(self._notes)

    def score(self, reference: VideoFrame, restored: VideoFrame) -> FrameScores:
        """Measures one pair.

        Raises:
            InputError: the two differ in size.
            UnsupportedInput: FFmpeg's filters refuse the frames.
        """
        if (reference.width, reference.height) != (restored.width, restored.height):
            raise InputError(
                f"the reference is {reference.width}x{reference.height} and the restored film "
                f"{restored.width}x{restored.height}; scale one of them to the other's size first"
            )
        self._note_differences(reference, restored)
        target = measured_format(reference.format.name)
        try:
            if self._chain is None:
                self._chain = self._prepared(reference, target)
            partner = _converted(restored, target, like=reference)
            return self._chain.score(_converted(reference, target), partner)
        except av.error.FFmpegError as error:
            raise UnsupportedInput(
                f"FFmpeg can't compare {reference.format.name} with {restored.format.name} frames "
                f"({error.strerror or error}); convert both films to a planar format such as yuv420p first"
            ) from error

    def _prepared(self, frame: VideoFrame, target: str) -> _Chain:
        wanted = {"ssim", "xpsnr"} & self._measures
        obstacles = {"ssim": _ssim_obstacle, "xpsnr": _xpsnr_obstacle}
        for name in sorted(wanted):
            if why := obstacles[name](frame, target):
                self._notes[f"{name.upper()} isn't measured: {why}"] = None
                wanted.discard(name)
        if target != frame.format.name:
            self._notes[f"the reference's {frame.format.name} is measured as {target}"] = None
        return _Chain(frame, target, rate=self._rate, ssim="ssim" in wanted, xpsnr="xpsnr" in wanted)

    def _note_differences(self, reference: VideoFrame, restored: VideoFrame) -> None:
        one, other = reference.format.name, restored.format.name
        if one != other:
            target = measured_format(one)
            self._notes[f"the restored film's {other} was converted to {target} for the measurement"] = None
        elif reference.color_range != restored.color_range or reference.colorspace != restored.colorspace:
            self._notes["the two films' colour tags differ; their samples are compared as they are"] = None


def timed_frames(reader: Reader) -> Iterator[tuple[Fraction, VideoFrame]]:
    """A film's frames, each with its time in seconds."""
    tick = reader.info.video.time_base
    return ((frame.pts * tick, frame) for frame in reader.frames() if frame.pts is not None)


def beginning(source: Source, *, frames: int, deinterlace: bool = False) -> list[tuple[Fraction, Thumbnail]]:
    """A film's first frames in small, to recognise them by, with their times in seconds.

    Raises:
        InputError: the film can't be read, or not twice.
    """
    with Reader(source, deinterlace=deinterlace) as reader:
        if not is_seekable(source):
            raise InputError(f"{reader.info.name}: it must be read twice, a pipe can't be; save it to a file")
        first = [(time, _thumbnail(frame)) for time, frame in islice(timed_frames(reader), frames)]
    if not isinstance(source, (str, os.PathLike)):
        source.seek(0)
    return first


@lru_cache(maxsize=32)
def measured_format(pixel_format: str) -> str:
    """The planar format without alpha that a pixel format is measured in: itself, or its nearest relative.

    Args:
        pixel_format: FFmpeg's name.
    """
    form = VideoFormat(pixel_format)
    if form.name.startswith("yuvj"):
        return form.name
    depth = next((bits for bits in _DEPTHS if bits >= form.components[0].bits), _DEPTHS[-1])
    suffix = "" if depth == _DEPTHS[0] else f"{depth}le"
    if form.is_rgb or form.has_palette or form.is_bayer:
        return f"gbrp{suffix}"
    if len(form.components) <= 2:
        return f"gray{suffix}"
    chroma = VideoFormat(pixel_format, 64, 64).components[1]
    shifts = (64 // chroma.width).bit_length() - 1, (64 // chroma.height).bit_length() - 1
    sampling = _SUBSAMPLINGS.get(shifts, "444")
    return f"yuv{sampling if not suffix or sampling in _ANY_DEPTH else '444'}p{suffix}"


def in_measured_format(reference: VideoFrame, restored: VideoFrame) -> tuple[VideoFrame, VideoFrame]:
    """Both frames as they are measured: in the reference's format, or its planar relative."""
    target = measured_format(reference.format.name)
    return _converted(reference, target), _converted(restored, target, like=reference)


def _thumbnail(frame: VideoFrame) -> Thumbnail:
    width, height = _THUMBNAIL_SIZE
    small = frame.reformat(width=width, height=height, format="gray", interpolation=Interpolation.AREA)
    return small.to_ndarray().astype(np.float32)


class _Chain:
    """A filter graph: the reference passes through psnr, ssim and xpsnr, each beside the restored film.

    Each filter writes its values into the passing frame's metadata (lavfi.psnr.*, lavfi.ssim.*, and so on).
    """

    def __init__(self, frame: VideoFrame, target: str, *, rate: Fraction, ssim: bool, xpsnr: bool) -> None:
        self._is_deep = VideoFormat(target).components[0].bits > 8
        self._weights = _plane_weights(frame, target)
        self._rate = rate
        filters = ["psnr", *(["ssim"] if ssim else []), *(["xpsnr"] if xpsnr else [])]
        self._graph = Graph()
        self._reference = self._source(frame, target)
        self._restored = self._source(frame, target)
        # The films' own times differ by the common offset and by rounding; the filters are to pair by count.
        passing = self._linked(self._reference, self._graph.add("setpts", "N"))
        beside = self._linked(self._restored, self._graph.add("setpts", "N"))
        beside = self._linked(beside, self._graph.add("split", str(len(filters))))
        for index, name in enumerate(filters):
            measuring = self._graph.add(name)
            passing.link_to(measuring, 0, 0)
            beside.link_to(measuring, index, 1)
            passing = measuring
        self._linked(passing, self._graph.add("buffersink"))
        self._graph.configure()

    def score(self, reference: VideoFrame, restored: VideoFrame) -> FrameScores:
        self._reference.push(self._packed(reference))
        self._restored.push(self._packed(restored))
        metadata: Mapping[str, str] = self._graph.vpull().metadata
        ssim = float(metadata.get("lavfi.ssim.All", "nan"))
        return FrameScores(
            psnr=float(metadata["lavfi.psnr.psnr_avg"]),
            ssim=None if isnan(ssim) else ssim,
            xpsnr=self._xpsnr(metadata),
        )

    def _source(self, frame: VideoFrame, target: str) -> FilterContext:
        return self._graph.add(
            "buffer",
            f"video_size={frame.width}x{frame.height}:pix_fmt={target}:pixel_aspect=1/1:"
            f"time_base={1 / self._rate}:frame_rate={self._rate}",
        )

    def _linked(self, one: FilterContext, other: FilterContext) -> FilterContext:
        one.link_to(other)
        return other

    def _packed(self, frame: VideoFrame) -> VideoFrame:
        # FFmpeg 8.1's xpsnr reads the second input of more than 8 bits as if its rows had no padding, and
        # takes the first input's to be always the first frame's. A copy's rows have none: _xpsnr_obstacle.
        if not self._is_deep:
            return frame
        return copy_frame(frame, pts=0, time_base=1 / self._rate)

    def _xpsnr(self, metadata: Mapping[str, str]) -> float | None:
        prefix = "lavfi.xpsnr.xpsnr."
        values = {key[len(prefix) :]: float(text) for key, text in metadata.items() if key.startswith(prefix)}
        if not values or any(isnan(value) for value in values.values()):
            return None
        noise = sum(self._weights[plane] * 10 ** (-value / 10) for plane, value in values.items())
        return -10 * log10(noise) if noise else inf


def _plane_weights(frame: VideoFrame, target: str) -> dict[str, float]:
    """Each plane's part of all samples, by the letter that the filters give it."""
    form = VideoFormat(target, frame.width, frame.height)
    samples = [component.width * component.height for component in form.components]
    letters = "rgb" if form.is_rgb else "yuv"
    return {letter: count / sum(samples) for letter, count in zip(letters, samples, strict=False)}


def _ssim_obstacle(frame: VideoFrame, target: str) -> str | None:
    form = VideoFormat(target, frame.width, frame.height)
    if all(min(part.width, part.height) >= _SMALLEST_PLANE_FOR_SSIM for part in form.components):
        return None
    return f"a plane of {frame.width}x{frame.height} {target} is smaller than its window of 8x8"


def _xpsnr_obstacle(frame: VideoFrame, target: str) -> str | None:
    """Why FFmpeg's xpsnr filter would give a wrong number or end the process; None where it does neither."""
    width, height, depth = frame.width, frame.height, VideoFormat(target).components[0].bits
    # Its block size, 4 * round(32 * sqrt(w * h / (3840 * 2160))), is 0 below this, and it divides by it.
    if width * height < 2025:
        return f"{width}x{height} is too small for it"
    # Above this it works on 2x2 samples, and goes past the last row of an odd size.
    if width * height > 2048 * 1152 and (width % 2 or height % 2):
        return f"FFmpeg's filter can't take odd sizes as large as {width}x{height}"
    if depth == 16:
        return "FFmpeg's filter takes 16-bit samples for signed numbers"
    packed = VideoFrame(width, height, target)
    if depth > 8 and any(plane.line_size != 2 * plane.width for plane in packed.planes):
        return f"FFmpeg's filter misreads {target} rows that need padding, as those of {width} samples do"
    return None


def _converted(frame: VideoFrame, target: str, *, like: VideoFrame | None = None) -> VideoFrame:
    """The frame in the measured format; from RGB to YUV or back by the colour tags of the two."""
    if frame.format.name == target:
        return frame
    mine, theirs = color_of(frame), color_of(like or frame)
    ranges = {True: ColorRange.JPEG, False: ColorRange.MPEG}
    return frame.reformat(
        format=target,
        src_colorspace=_SWS_MATRICES[mine.matrix],
        dst_colorspace=_SWS_MATRICES[theirs.matrix],
        src_color_range=ranges[mine.full_range],
        dst_color_range=ranges[theirs.full_range],
    )


def _pooled(decibels: Values, *, divisor: int) -> float:
    """The mean in the error's own domain, as decibels: squared errors with 10, their roots with 20."""
    error = float(np.mean(10 ** (-decibels / divisor)))
    return -divisor * log10(error) if error else inf


def _finite_mean(values: Values) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else inf
