"""Weaves made frames between source frames. Source frames pass through untouched: never converted, never copied."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby

import numpy as np
import numpy.typing as npt

from codec_plugin.engine import Engine, FillRequest, Take, load_engine
from codec_plugin.errors import Cancelled, CannotFill, CodecPluginError, DamagedInput, EngineError
from codec_plugin.media.packets import AnyPacket, Packet
from codec_plugin.media.pixels import copy_frame, native_layout, to_frame, to_picture, to_rgb_picture
from codec_plugin.media.reader import Frame, Item, Lost
from codec_plugin.options import Repair
from codec_plugin.picture import Picture
from codec_plugin.plan import GUARDS, Action, Guard
from codec_plugin.schedule import Schedule, Target
from codec_plugin.timeline.scenes import cut_score, thumbnail
from codec_plugin.timing import Timestamp

Thumbnail = npt.NDArray[np.uint8]
"""A small luma picture, (height, width)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of the targets between two source frames."""

    left_pts: int | None
    """The source frame before, in source ticks."""
    right_pts: int | None
    """The source frame after, in source ticks."""
    target_pts: tuple[int, ...]
    """When the frames are shown, in output ticks."""
    action: Action
    """What was done: fill or hold."""
    engine: str | None
    """Which engine made them."""
    reason: str
    """Why they were to be made."""
    held_because: str | None = None
    """Why frames that were to be made were held instead; None where nothing stood in the way."""
    cut_score: float | None = None
    """How much the neighbours look like two scenes, 0 to 100; None where nobody looked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFrame:
    """A frame of the output."""

    frame: Frame
    """The source's own frame object, or a made one."""
    pts: int
    """When it is to be shown, in output ticks."""
    made_by: str | None
    """None for a source frame; an engine's name, or "hold"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeaveSettings:
    """What the weaver must know beside the schedule."""

    time_base: Fraction
    """Seconds a source tick."""
    engine: str
    """Makes what the schedule did not foresee: frames that turn out damaged."""
    scene_threshold: float
    """Cut score from which two pictures are two scenes."""
    max_gap: Fraction
    """Seconds between neighbours, beyond which nothing is made."""
    repair: Repair
    """How far to go into damaged pictures."""
    name: str
    """The source, for messages."""


class _Engines:
    """The engines that a job has used so far, each loaded once."""

    def __init__(self, given: Engine | None) -> None:
        self._given = given
        self._loaded: dict[str, Engine] = {}

    def get(self, name: str) -> Engine:
        if self._given is not None and self._given.info.name == name:
            return self._given
        if name not in self._loaded:
            self._loaded[name] = load_engine(name)
        return self._loaded[name]

    def close(self) -> None:
        for engine in self._loaded.values():
            engine.close()


class Weaver:
    """Takes what a reader yields and gives the output's frames, in order, with other streams' packets between.

    It holds one source frame (the last good one) and the times waiting for the next; memory doesn't grow.
    """

    def __init__(
        self,
        schedule: Schedule,
        settings: WeaveSettings,
        *,
        engine: Engine | None = None,
        outcome: Callable[[Outcome], None] = lambda outcome: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._schedule, self._settings = schedule, settings
        self._engines = _Engines(engine)
        self._outcome, self._cancelled = outcome, cancelled
        self._output_time_base = settings.time_base / schedule.parts
        self._left: tuple[int, Frame] | None = None
        self._pictures: dict[tuple[int, Take], Picture] = {}
        self._thumbnails: dict[int, Thumbnail] = {}
        self._pending: list[Target] = []
        self.dropped: list[int] = []
        """Source frames left out so far, in output ticks."""

    def weave(self, items: Iterable[Item]) -> Generator[OutputFrame | AnyPacket, None, None]:
        """The output's frames and the packets between them.

        Raises:
            EngineError: an engine broke its promise.
            Cancelled: the caller asked to stop.
        """
        with closing(self._engines):
            for item in items:
                if self._cancelled():
                    raise Cancelled(f"{self._settings.name}: stopped as asked")
                if isinstance(item, Packet):
                    yield item
                else:
                    yield from self._next(item)
            self._pending += self._schedule.rest()
            yield from self._made_before(None)

    def _next(self, item: Frame | Lost) -> Iterator[OutputFrame]:
        pts = item.pts
        assert pts is not None  # the reader gives every frame its time
        self._pending += self._schedule.up_to(pts)
        kept = self._schedule.keeps(pts)
        replacement = self._schedule.replacement(pts) or self._damaged(item, pts)
        if replacement is not None:
            if kept:
                self._pending.append(replacement)
            else:
                self.dropped.append(pts * self._schedule.parts)
            return
        assert isinstance(item, Frame)
        yield from self._made_before((pts, item))
        self._left = (pts, item)
        if not kept:
            self.dropped.append(pts * self._schedule.parts)
        else:
            yield OutputFrame(frame=item, pts=pts * self._schedule.parts, made_by=None)

    def _damaged(self, item: Frame | Lost, pts: int) -> Target | None:
        if isinstance(item, Lost):
            reason = "lost in decoding"
        elif item.is_corrupt and self._settings.repair is not Repair.MISSING:
            reason = "flagged as corrupt"
        else:
            return None
        return Target(
            pts=pts * self._schedule.parts,
            action=Action.FILL,
            engine=self._settings.engine,
            guards=GUARDS,
            reason=reason,
        )

    def _made_before(self, right: tuple[int, Frame] | None) -> Iterator[OutputFrame]:
        pending, self._pending = self._pending, []
        for (action, engine, at_left), group in groupby(pending, key=lambda t: (t.action, t.engine, t.at_left)):
            targets = list(group)
            if action is Action.FILL and engine and self._left and right:
                yield from self._filled(targets, engine, self._left, right)
            else:
                alone = "no good frame on the other side" if action is Action.FILL else None
                other = None if at_left and self._left else right
                yield from self._held(targets, self._left, other, because=alone)
        self._forget(right)

    def _filled(
        self, targets: Sequence[Target], name: str, left: tuple[int, Frame], right: tuple[int, Frame]
    ) -> Iterator[OutputFrame]:
        engine = self._engines.get(name)
        score, objection = self._objection(targets, engine, left, right)
        done = 0
        if objection is None:
            try:
                for target, picture in zip(targets, self._fill(engine, targets, left, right), strict=True):
                    frame = to_frame(picture, like=left[1], pts=target.pts, time_base=self._output_time_base)
                    yield OutputFrame(frame=frame, pts=target.pts, made_by=name)
                    done += 1
            except CannotFill as error:
                if Guard.CANNOT_FILL not in targets[0].guards:
                    raise
                objection = f"{name} can't fill it: {error}"
            self._tell(targets[:done], left, right, Action.FILL, engine=name, score=score)
        if objection is not None:
            yield from self._held(targets[done:], left, right, because=objection, score=score)

    def _fill(
        self, engine: Engine, targets: Sequence[Target], left: tuple[int, Frame], right: tuple[int, Frame]
    ) -> Iterator[Picture]:
        """The engine's pictures, its promises checked."""
        span = right[0] - left[0]
        low = left[0] * self._schedule.parts
        request = FillRequest(
            left=self._picture(left, engine.info.take),
            right=self._picture(right, engine.info.take),
            positions=tuple(Fraction(t.pts - low, span * self._schedule.parts) for t in targets),
            interval=span * self._settings.time_base,
            seed=zlib.crc32(f"{left[0]}:{right[0]}".encode()),
            cancelled=self._cancelled,
        )
        where = f"{self._settings.name}, after {self._at(left[0])}: engine {engine.info.name}"
        count = 0
        try:
            for count, picture in enumerate(engine.fill(request), start=1):
                if count > len(targets):
                    raise EngineError(f"{where} gave more than {len(targets)} pictures")
                if picture.layout != request.left.layout or picture.planes[0].shape != request.left.planes[0].shape:
                    raise EngineError(f"{where} gave a picture of another size or layout")
                yield picture
        except CodecPluginError:
            raise
        except Exception as error:
            raise EngineError(f"{where} failed: {type(error).__name__}: {error}") from error
        if count != len(targets):
            raise EngineError(f"{where} gave {count} of {len(targets)} pictures")

    def _objection(
        self, targets: Sequence[Target], engine: Engine, left: tuple[int, Frame], right: tuple[int, Frame]
    ) -> tuple[float | None, str | None]:
        """The guards: the cut score, where it was looked at, and why not to fill, if there is a reason."""
        guards, settings = targets[0].guards, self._settings
        if Guard.DISTANCE in guards and (right[0] - left[0]) * settings.time_base > settings.max_gap:
            return None, f"neighbours are more than {float(settings.max_gap):g} s apart"
        if problem := _unfit(engine, left[1], count=len(targets)):
            return None, problem
        score = None
        if Guard.SCENE_CUT in guards:
            score = cut_score(self._thumbnail(left), self._thumbnail(right))
            if score >= settings.scene_threshold and settings.scene_threshold < 100:
                return score, f"scene cut (score {score:.0f})"
        return score, None

    def _held(
        self,
        targets: Sequence[Target],
        left: tuple[int, Frame] | None,
        right: tuple[int, Frame] | None,
        *,
        because: str | None,
        score: float | None = None,
    ) -> Iterator[OutputFrame]:
        """The nearer neighbour again, a tie going to the left one."""
        for target in targets:
            shown = left or right
            if left and right:
                to_left = target.pts - left[0] * self._schedule.parts
                to_right = right[0] * self._schedule.parts - target.pts
                shown = left if to_left <= to_right else right
            if shown is None:
                raise DamagedInput(
                    f"{self._settings.name}: every picture is damaged; --repair missing shows those that come out"
                )
            frame = copy_frame(shown[1], pts=target.pts, time_base=self._output_time_base)
            yield OutputFrame(frame=frame, pts=target.pts, made_by="hold")
        self._tell(targets, left, right, Action.HOLD, because=because, score=score)

    def _picture(self, side: tuple[int, Frame], take: Take) -> Picture:
        key = (side[0], take)
        if key not in self._pictures:
            convert = to_rgb_picture if take is Take.RGB else to_picture
            self._pictures[key] = convert(side[1], key=side[0])
        return self._pictures[key]

    def _thumbnail(self, side: tuple[int, Frame]) -> Thumbnail:
        if side[0] not in self._thumbnails:
            take = Take.NATIVE if native_layout(side[1].format.name) else Take.RGB
            self._thumbnails[side[0]] = thumbnail(self._picture(side, take))
        return self._thumbnails[side[0]]

    def _forget(self, right: tuple[int, Frame] | None) -> None:
        """Keeps only what was made of the right frame, which is the next gap's left one."""
        kept = right[0] if right else None
        self._pictures = {key: value for key, value in self._pictures.items() if key[0] == kept}
        self._thumbnails = {key: value for key, value in self._thumbnails.items() if key == kept}

    def _tell(
        self,
        targets: Sequence[Target],
        left: tuple[int, Frame] | None,
        right: tuple[int, Frame] | None,
        action: Action,
        *,
        engine: str | None = None,
        because: str | None = None,
        score: float | None = None,
    ) -> None:
        for reason, group in groupby(targets, key=lambda target: target.reason):
            self._outcome(
                Outcome(
                    left_pts=left[0] if left else None,
                    right_pts=right[0] if right else None,
                    target_pts=tuple(target.pts for target in group),
                    action=action,
                    engine=engine,
                    reason=reason,
                    held_because=because,
                    cut_score=None if score is None else round(score, 2),
                )
            )

    def _at(self, pts: int) -> Timestamp:
        return Timestamp(pts=pts, time_base=self._settings.time_base)


def _unfit(engine: Engine, frame: Frame, *, count: int) -> str | None:
    """Why an engine can't take these pictures, by what it says of itself."""
    info = engine.info
    if min(frame.width, frame.height) < info.min_size:
        return f"{info.name} needs at least {info.min_size} pixels a side, not {frame.width}x{frame.height}"
    if info.max_positions is not None and count > info.max_positions:
        return f"{info.name} makes at most {info.max_positions} frames a gap, not {count}"
    if info.take is Take.NATIVE and native_layout(frame.format.name) is None:
        return f"{info.name} can't work in pixel format {frame.format.name}"
    return None
