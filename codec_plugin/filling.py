"""`Filler`: asks engines for pictures between two frames, holds them to their promises, and converts once.

An engine's name may be several, joined by "+": the mean of what they make, in the source's own planes. Where two
engines err differently their mean errs less than either.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from codec_plugin.budget import Purse
from codec_plugin.engine import (
    Engine,
    EngineStatus,
    FillRequest,
    Finding,
    Take,
    auto_candidates,
    engine_parts,
    generative_candidate,
    load_engine,
)
from codec_plugin.errors import CodecPluginError, EngineError
from codec_plugin.media.pixels import native_layout, to_frame, to_picture, to_rgb_picture
from codec_plugin.media.reader import Frame
from codec_plugin.picture import Picture, Plane
from codec_plugin.timeline.scenes import Likeness, likeness_of, thumbnail
from codec_plugin.timeline.seen import Seen
from codec_plugin.timing import Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """A source frame that something is made from."""

    pts: int
    """Its time, in source ticks."""
    frame: Frame
    """The decoder's own frame, untouched."""


def mean(pictures: Sequence[Picture]) -> Picture:
    """The mean of pictures of one layout; integers are rounded, halves up."""
    planes = tuple(_mean_plane(planes) for planes in zip(*(picture.planes for picture in pictures), strict=True))
    return replace(pictures[0], planes=planes, key=None)


def _mean_plane(planes: Sequence[Plane]) -> Plane:
    count = len(planes)
    if planes[0].dtype.kind == "f":
        return np.asarray(sum(planes[1:], start=planes[0]) / count, dtype=planes[0].dtype)
    total: Plane = planes[0].astype(np.uint32 if planes[0].itemsize > 1 else np.uint16)
    for plane in planes[1:]:
        np.add(total, plane, out=total)
    rounded: Plane = np.floor_divide(total + count // 2, count).astype(planes[0].dtype)
    return rounded


class Filler:
    """Engines by their names, each loaded once, and what was converted for them of the frames at hand."""

    def __init__(
        self,
        *,
        source: str,
        time_base: Fraction,
        engine: Engine | None = None,
        options: Mapping[str, str] | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        purse: Purse | None = None,
    ) -> None:
        """Loads nothing.

        Args:
            source: its name, for messages.
            time_base: seconds a source tick.
            engine: an engine to use in place of one loaded by its name.
            options: `{"engine.option": text}`.
            cancelled: handed on to the engines.
            purse: what generative engines take their time from; None for one without a limit.
        """
        self.purse = purse or Purse()
        """What generative engines take their time from."""
        self._source, self._time_base = source, time_base
        self._given, self._options, self._cancelled = engine, options or {}, cancelled
        self._loaded: dict[str, Engine] = {}
        self._pictures: dict[tuple[int, Take], Picture] = {}
        self._seen: dict[int, Seen] = {}
        self._alike: tuple[tuple[int, int], Likeness] | None = None

    def engine(self, name: str) -> Engine:
        """The engine of that name.

        Raises:
            EngineError: it isn't there, or something that it needs is missing.
        """
        if self._given is not None and self._given.info.name == name:
            return self._given
        if name not in self._loaded:
            self._loaded[name] = load_engine(name, self._options)
        return self._loaded[name]

    def candidates(self) -> tuple[str, ...]:
        """The flow engines that "auto" chooses from.

        Raises:
            EngineError: none is usable.
        """
        return auto_candidates(self._options)

    def generative(self) -> EngineStatus:
        """The engine for gaps where flow is lost, and whether it is usable."""
        return generative_candidate(self._options)

    def unfit(self, name: str, frame: Frame, *, count: int) -> str | None:
        """Why an engine can't make `count` frames between two like this one, by what it says of itself."""
        if len(parts := engine_parts(name)) > 1:
            return next(filter(None, (self.unfit(part, frame, count=count) for part in parts)), None)
        info = self.engine(name).info
        if min(frame.width, frame.height) < info.min_size:
            return f"{info.name} needs at least {info.min_size} pixels a side, not {frame.width}x{frame.height}"
        if info.max_positions is not None and count > info.max_positions:
            return f"{info.name} makes at most {info.max_positions} frames a gap, not {count}"
        if info.take is Take.NATIVE and native_layout(frame.format.name) is None:
            return f"{info.name} can't work in pixel format {frame.format.name}"
        return None

    def fill(
        self,
        name: str,
        left: Station,
        right: Station,
        positions: tuple[Fraction, ...],
        *,
        tell: Callable[[Finding], None] = lambda finding: None,
    ) -> Iterator[Picture]:
        """The engine's pictures, one for each position.

        Raises:
            CannotFill: the engine can't.
            EngineError: it broke its promise, or something else went wrong inside.
        """
        parts = engine_parts(name)
        made = [self._from_one(part, left, right, positions, tell) for part in parts]
        if len(parts) == 1:
            yield from made[0]
        else:
            for pictures in zip(*made, strict=True):
                yield mean([self.as_shown(picture, left) for picture in pictures])

    def as_shown(self, made: Picture, like: Station) -> Picture:
        """A made picture in the planes that the output has, where it has planes of its own."""
        if not made.layout.is_float or native_layout(like.frame.format.name) is None:
            return made
        return to_picture(to_frame(made, like=like.frame, pts=like.pts, time_base=self._time_base))

    def _from_one(
        self,
        name: str,
        left: Station,
        right: Station,
        positions: tuple[Fraction, ...],
        tell: Callable[[Finding], None],
    ) -> Iterator[Picture]:
        engine = self.engine(name)
        request = FillRequest(
            left=self.picture(left, engine.info.take),
            right=self.picture(right, engine.info.take),
            positions=positions,
            interval=(right.pts - left.pts) * self._time_base,
            seed=zlib.crc32(f"{left.pts}:{right.pts}".encode()),
            cancelled=self._cancelled,
            tell=tell,
        )
        at = Timestamp(pts=left.pts, time_base=self._time_base)
        where = f"{self._source}, after {at}: engine {engine.info.name}"
        count = 0
        try:
            pictures = self.purse.timed(engine.fill(request)) if engine.info.generative else engine.fill(request)
            for count, picture in enumerate(pictures, start=1):
                if count > len(positions):
                    raise EngineError(f"{where} gave more than {len(positions)} pictures")
                if picture.layout != request.left.layout or picture.planes[0].shape != request.left.planes[0].shape:
                    raise EngineError(f"{where} gave a picture of another size or layout")
                yield picture
        except CodecPluginError:
            raise
        except Exception as error:
            raise EngineError(f"{where} failed: {type(error).__name__}: {error}") from error
        if count != len(positions):
            raise EngineError(f"{where} gave {count} of {len(positions)} pictures")

    def picture(self, station: Station, take: Take) -> Picture:
        """A frame as engines take it."""
        key = (station.pts, take)
        if key not in self._pictures:
            convert = to_rgb_picture if take is Take.RGB else to_picture
            self._pictures[key] = convert(station.frame, key=station.pts)
        return self._pictures[key]

    def cut_score(self, left: Station, right: Station) -> float:
        """How much two frames look like two scenes, 0 to 100."""
        return self.likeness(left, right).cut_score

    def likeness(self, left: Station, right: Station) -> Likeness:
        """What two frames have in common; that of the last two asked about is at hand."""
        pair = (left.pts, right.pts)
        if self._alike is None or self._alike[0] != pair:
            self._alike = pair, likeness_of(self._seen_at(left), self._seen_at(right))
        return self._alike[1]

    def forget_all_but(self, kept: Collection[int]) -> None:
        """Drops what was made of frames other than those with these pts."""
        self._pictures = {key: value for key, value in self._pictures.items() if key[0] in kept}
        self._seen = {key: value for key, value in self._seen.items() if key in kept}

    def close(self) -> None:
        """Closes the engines that were loaded here."""
        for engine in self._loaded.values():
            engine.close()

    def _seen_at(self, station: Station) -> Seen:
        if station.pts not in self._seen:
            take = Take.NATIVE if native_layout(station.frame.format.name) else Take.RGB
            self._seen[station.pts] = Seen(thumbnail(self.picture(station, take)))
        return self._seen[station.pts]
