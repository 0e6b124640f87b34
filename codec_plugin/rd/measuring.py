"""`measure_rd`: a film at full rate against the film thinned, encoded, and restored, over several qualities."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path

from codec_plugin.comparison import pair_frames, spaced
from codec_plugin.decoder import RestoringDecoder
from codec_plugin.errors import OptionError
from codec_plugin.job import Job
from codec_plugin.media.cropping import write_even
from codec_plugin.media.minterpolate import minterpolated
from codec_plugin.media.reader import Frame, Reader, Window
from codec_plugin.media.similarity import FrameScores, Scores, ScoreSheet, Similarity, timed_frames
from codec_plugin.media.strips import Strip, jpeg
from codec_plugin.media.vmaf import VmafMeter, VmafProgram, mean_where
from codec_plugin.options import EncodeOptions, RestoreOptions
from codec_plugin.rd.bjontegaard_rate import DeltaRate, delta_rate
from codec_plugin.thinning.thin import DropTimes, KeepEvery, Thinning, thin
from codec_plugin.timeline.scan import scan

FULL = "full rate"
MINTERPOLATE = "minterpolate"
METRICS = ("psnr", "ssim", "xpsnr")
VMAF = "vmaf"
CRFS: Mapping[str, tuple[int, ...]] = {
    "libx264": (20, 25, 30, 35),
    "libx265": (20, 25, 30, 35),
    "libsvtav1": (25, 34, 43, 52),
}
"""Four qualities of each encoder, of about the same range."""
MORE_FULL_CRFS: Mapping[str, tuple[int, ...]] = {"libx264": (40, 45), "libx265": (40, 45), "libsvtav1": (58, 63)}
"""What the full rate is measured at too: frames that are made lower the mean, and its curve must reach there."""
PRESETS: Mapping[str, str] = {"libx264": "medium", "libx265": "fast", "libsvtav1": "8"}
_SUFFIX = ".mkv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One film, encoded at one quality and shown in one way."""

    encoder: str
    """FFmpeg's name."""
    crf: int
    """Its quality setting."""
    method: str
    """"full rate", or who made the frames that were left out."""
    byte_count: int
    """Bytes of the picture stream: every packet, notes included."""
    bits_per_second: float
    """The same, over the film's length."""
    seconds: float
    """Wall time of decoding, and of making what is missing."""
    overall: Scores
    """All frames against the source."""
    made: Scores | None
    """Those that were made; None at full rate."""
    vmaf: float | None = None
    """The mean VMAF of all frames; None where it wasn't measured."""
    vmaf_made: float | None = None
    """That of the frames made."""

    def quality(self, metric: str, *, only_made: bool = False) -> float | None:
        """The mean of a metric; None where it wasn't measured."""
        if metric == VMAF:
            return self.vmaf_made if only_made else self.vmaf
        scores = self.made if only_made else self.overall
        found = getattr(scores, metric) if scores is not None else None
        return None if found is None else float(found.mean)


@dataclass(frozen=True, slots=True, kw_only=True)
class RdResult:
    """All that was measured of one film."""

    source: str
    """Its name."""
    frames: int
    """How many were looked at."""
    keep_every: int
    """Every n-th frame was kept."""
    points: tuple[Point, ...]
    """One for each encoder, quality and method."""
    strips: tuple[Strip, ...]
    """Pictures of the worst and the best gap."""
    notes: tuple[str, ...] = ()
    """What else must be known."""
    presets: Mapping[str, str] = field(default_factory=dict)
    """The preset of each encoder."""

    def curve(self, encoder: str, method: str, metric: str) -> list[tuple[float, float]]:
        """(Bits a second, quality) at each setting, by rising bits."""
        found = [p for p in self.points if (p.encoder, p.method) == (encoder, method)]
        pairs = ((p.bits_per_second, p.quality(metric)) for p in found)
        return sorted((rate, value) for rate, value in pairs if value is not None)

    def delta(self, encoder: str, method: str, metric: str) -> DeltaRate | None:
        """The BD-rate of a method against the full rate."""
        anchor, test = self.curve(encoder, FULL, metric), self.curve(encoder, method, metric)
        return delta_rate(anchor, test) if len(anchor) >= 4 and len(test) >= 4 else None

    @property
    def metrics(self) -> tuple[str, ...]:
        """What was measured."""
        return (*METRICS, VMAF) if any(point.vmaf is not None for point in self.points) else METRICS

    @property
    def encoders(self) -> tuple[str, ...]:
        """In the order measured."""
        return tuple(dict.fromkeys(point.encoder for point in self.points))

    @property
    def methods(self) -> tuple[str, ...]:
        """In the order measured, the full rate first."""
        return tuple(dict.fromkeys(point.method for point in self.points))


def measure_rd(
    source: str | Path,
    *,
    encoders: Sequence[str] = tuple(CRFS),
    engines: Sequence[str] = ("repeat", "blend", "dis"),
    keep_every: int = 2,
    window: Window | None = None,
    with_minterpolate: bool = True,
    vmaf: VmafProgram | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> RdResult:
    """Measures one film.

    At each quality the film is encoded once with all its frames and once with every `keep_every`-th. The second is
    decoded and completed by each engine; nothing is encoded again after that, so that its bits are the stream's. A film
    of odd size loses a row or column first, which most encoders want, and a note says so.

    Args:
        source: a path.
        encoders: FFmpeg's names, of those in `CRFS`.
        engines: who makes the frames.
        keep_every: which frames the thinned film keeps.
        window: which part of the film.
        with_minterpolate: whether FFmpeg's own filter is measured too.
        vmaf: who measures VMAF; None for nobody.
        tell: called with a line for each point.

    Raises:
        OptionError: an encoder has no settings here, or the film has no steady clock.
        InputError, EngineError: the film can't be read, an engine isn't usable.
    """
    if unknown := [name for name in encoders if name not in CRFS]:
        raise OptionError(f"rd has qualities for {', '.join(CRFS)}, not for {', '.join(unknown)}")
    methods = [*engines, *([MINTERPOLATE] if with_minterpolate else [])]
    with tempfile.TemporaryDirectory(prefix="codec-plugin-") as folder:
        bench = _Bench(
            Path(source), window=window or Window(), keep_every=keep_every, vmaf=vmaf, folder=Path(folder), tell=tell
        )
        for encoder in encoders:
            for crf in CRFS[encoder]:
                bench.measure(encoder, crf, methods)
            for crf in MORE_FULL_CRFS[encoder]:
                bench.measure(encoder, crf, ())
        return bench.result()


class _Bench:
    """One film's measurements."""

    def __init__(
        self,
        source: Path,
        *,
        window: Window,
        keep_every: int,
        vmaf: VmafProgram | None,
        folder: Path,
        tell: Callable[[str], None],
    ) -> None:
        self._name, self._source, self._window = source.name, source, window
        self._keep_every, self._vmaf, self._folder, self._tell = keep_every, vmaf, folder, tell
        found = scan(source, window=window)
        main = found.timeline.main
        if main is None or main.clock is None or found.gaps:
            raise OptionError(
                f"{source}: rd needs a film with a steady clock and no gaps of its own; --start and --duration name a "
                "stretch without any"
            )
        self._rate, self._frames = main.clock.rate, found.timeline.frame_count
        self._length = self._frames / self._rate
        self._points: list[Point] = []
        self._strips = _Gaps()
        self._notes = [] if vmaf else ["VMAF was not measured: --ffmpeg names an FFmpeg that has libvmaf"]
        if any(side % 2 for side in found.info.video.size):
            self._source, self._window = folder / f"even{_SUFFIX}", Window()
            width, height = write_even(source, self._source, window=window)
            self._notes.append(
                f"measured as {width}x{height}, without the last row or column: encoders want even sizes"
            )

    def result(self) -> RdResult:
        return RdResult(
            source=self._name,
            frames=self._frames,
            keep_every=self._keep_every,
            points=tuple(self._points),
            strips=self._strips.worst_and_best(),
            presets={point.encoder: PRESETS[point.encoder] for point in self._points},
            notes=tuple(self._notes),
        )

    def measure(self, encoder: str, crf: int, methods: Sequence[str]) -> None:
        """All points of one encoder at one quality."""
        job = Job(
            encode=EncodeOptions(encoder=encoder, crf=crf, preset=PRESETS[encoder]),
            window=self._window,
            overwrite=True,
        )
        whole, few = self._folder / f"whole{_SUFFIX}", self._folder / f"few{_SUFFIX}"
        full = thin(self._source, whole, pattern=DropTimes(pts=()), job=job)
        self._add(encoder, crf, FULL, full, partial(_plain, whole))
        if not methods:
            return
        thinned = thin(self._source, few, pattern=KeepEvery(n=self._keep_every), job=job)
        for method in methods:
            self._add(encoder, crf, method, thinned, partial(self._completed, few, method))

    def _completed(self, path: Path, method: str) -> Iterator[tuple[Fraction, Frame]]:
        """A thinned film with the frames that a method makes."""
        if method != MINTERPOLATE:
            options = RestoreOptions(engine=method, rate=self._rate)
            for frame in RestoringDecoder(str(path), options=options):
                assert frame.pts is not None
                yield frame.pts * (frame.time_base or Fraction(1)), frame
            return
        with Reader(path) as reader:
            tick = reader.info.video.time_base
            for frame in minterpolated(reader.frames(), rate=self._rate, time_base=tick):
                assert frame.pts is not None
                yield frame.pts * (frame.time_base or tick), frame

    def _add(
        self,
        encoder: str,
        crf: int,
        method: str,
        thinning: Thinning,
        films: Callable[[], Iterator[tuple[Fraction, Frame]]],
    ) -> None:
        watch = _Watch()
        measured = self._scored(watch.timed(films()), thinning, label=(encoder, crf, method))
        point = Point(
            encoder=encoder,
            crf=crf,
            method=method,
            byte_count=thinning.byte_count,
            bits_per_second=float(8 * thinning.byte_count / self._length),
            seconds=round(watch.seconds, 3),
            overall=measured.overall,
            made=measured.made,
            vmaf=measured.vmaf,
            vmaf_made=measured.vmaf_made,
        )
        self._points.append(point)
        self._tell(
            f"{encoder} crf {crf}, {method}: {point.bits_per_second / 1000:.0f} kbit/s, "
            f"{point.overall.psnr.mean:.2f} dB, {watch.seconds:.1f} s"
        )

    def _scored(
        self,
        film: Iterator[tuple[Fraction, Frame]],
        thinning: Thinning,
        *,
        label: tuple[str, int, str],
    ) -> _Measured:
        """Every frame against the source."""
        with ExitStack() as stack:
            reader = stack.enter_context(Reader(self._source, window=self._window))
            meter = None
            if self._vmaf is not None:
                meter = stack.enter_context(VmafMeter(self._vmaf, folder=self._folder, rate=self._rate))
            tick = reader.info.video.time_base
            sheet, similarity = ScoreSheet(tick=tick), Similarity(rate=self._rate)
            rounding = tick + Fraction(1, 1000)
            pairs = pair_frames(spaced(timed_frames(reader)), spaced(film), offset=thinning.offset, rounding=rounding)
            dropped, marks = set(thinning.dropped), []
            before: Frame | None = None
            for left, right in pairs:
                if left is None or right is None:
                    continue
                scores = similarity.score(left.picture, right.picture)
                marks.append(is_made := round(left.time / tick) in dropped)
                sheet.add(scores, at=left.time, is_made=is_made)
                if is_made:
                    self._strips.see(label, left.time, scores, before, left.picture, right.picture)
                if meter is not None:
                    meter.add(left.picture, right.picture)
                before = left.picture
            vmaf = meter.values() if meter is not None else []
        overall = sheet.summary()
        assert overall is not None  # a scan found frames
        return _Measured(
            overall=overall,
            made=sheet.summary(made=True) if dropped else None,
            vmaf=sum(vmaf) / len(vmaf) if vmaf else None,
            vmaf_made=mean_where(vmaf, marks) if vmaf else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """What a film scores against the source."""

    overall: Scores
    """All frames."""
    made: Scores | None
    """Those that were made."""
    vmaf: float | None
    """The mean of all frames."""
    vmaf_made: float | None
    """The mean of those that were made."""


class _Watch:
    """Counts the time that an iterator takes, and not what is done with its items."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, items: Iterator[tuple[Fraction, Frame]]) -> Iterator[tuple[Fraction, Frame]]:
        while True:
            begun = time.perf_counter()
            item = next(items, None)
            self.seconds += time.perf_counter() - begun
            if item is None:
                return
            yield item


def _plain(path: Path) -> Iterator[tuple[Fraction, Frame]]:
    with Reader(path) as reader:
        yield from timed_frames(reader)


class _Gaps:
    """Remembers the worst and the best made frame of each method, at the best quality of the first encoder."""

    def __init__(self) -> None:
        self._first: tuple[str, int] | None = None
        self._kept: dict[tuple[str, str], tuple[float, Strip]] = {}

    def see(
        self,
        label: tuple[str, int, str],
        at: Fraction,
        scores: FrameScores,
        before: Frame | None,
        own: Frame,
        made: Frame,
    ) -> None:
        encoder, crf, method = label
        self._first = self._first or (encoder, crf)
        if (encoder, crf) != self._first:
            return
        for which, sign in (("worst", 1.0), ("best", -1.0)):
            value = sign * scores.psnr
            kept = self._kept.get((method, which))
            if kept is not None and kept[0] <= value:
                continue
            shown = [("the frame before", before), ("the source's own", own), (f"made by {method}", made)]
            strip = Strip(
                title=f"{method}, {which} gap",
                at=at,
                psnr=scores.psnr,
                pictures=tuple((name, jpeg(frame)) for name, frame in shown if frame is not None),
            )
            self._kept[method, which] = (value, strip)

    def worst_and_best(self) -> tuple[Strip, ...]:
        """In the order of the methods."""
        return tuple(strip for _, strip in self._kept.values())
