"""Weaves made frames between source frames. Source frames pass through untouched: never converted, never copied."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby

from codec_plugin.budget import Purse
from codec_plugin.engine import AUTO, CHOICES, Engine, Finding, engine_parts
from codec_plugin.errors import Cancelled, CannotFill, DamagedInput
from codec_plugin.filling import Filler, Station
from codec_plugin.media.packets import AnyPacket, Packet
from codec_plugin.media.pixels import copy_frame, to_frame
from codec_plugin.media.reader import Frame, Item, Lost
from codec_plugin.options import HOLD, Repair
from codec_plugin.plan import GUARDS, Action, Guard
from codec_plugin.routing import Choice, Router
from codec_plugin.schedule import Schedule, Target


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
    chosen_because: str | None = None
    """What spoke for the engine, where it was chosen by evidence; None where it was named."""
    fallback_because: str | None = None
    """Why another engine than the one planned made them; None where the planned one did."""
    cut_score: float | None = None
    """How much the neighbours look like two scenes, 0 to 100; None where nobody looked."""
    findings: tuple[Finding, ...] = ()
    """What was measured while the engine was chosen, and by the engine while it worked."""


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
    """Makes what the schedule did not foresee, frames that turn out damaged; "auto" where any target says so."""
    scene_threshold: float
    """Cut score from which two pictures are two scenes."""
    max_gap: Fraction
    """Seconds between neighbours, beyond which nothing is made."""
    repair: Repair
    """How far to go into damaged pictures."""
    name: str
    """The source, for messages."""
    engine_options: Mapping[str, str] = field(default_factory=dict)
    """As in `RestoreOptions`."""
    fallback: str | None = None
    """As in `RestoreOptions`."""
    purse: Purse = field(default_factory=Purse)
    """What generative engines take their time from; one for all weavers of a job."""


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
        filler: Filler | None = None,
    ) -> None:
        """Begins before the first frame.

        Args:
            schedule: what to make.
            settings: everything else.
            engine: an engine to use in place of one loaded by its name.
            outcome: told of everything made.
            cancelled: asked often.
            filler: loaded engines that outlive this weaver, in place of its own; they aren't closed.
        """
        self._schedule, self._settings = schedule, settings
        self._owns_filler = filler is None
        self._outcome, self._cancelled = outcome, cancelled
        self._output_time_base = settings.time_base / schedule.parts
        self._filler = filler or Filler(
            source=settings.name,
            time_base=settings.time_base,
            engine=engine,
            options=settings.engine_options,
            cancelled=cancelled,
            purse=settings.purse,
        )
        self.router = Router(self._filler, time_base=settings.time_base, scene_threshold=settings.scene_threshold)
        """Chooses the engines of targets that leave it open."""
        self._left: Station | None = None
        self._pending: list[Target] = []
        self.dropped: list[int] = []
        """Source frames left out so far, in output ticks."""

    def weave(self, items: Iterable[Item]) -> Generator[OutputFrame | AnyPacket, None, None]:
        """The output's frames and the packets between them.

        Raises:
            EngineError: an engine broke its promise.
            Cancelled: the caller asked to stop.
        """
        with closing(self):
            for item in items:
                yield from self.push(item)
            yield from self.finish()

    def push(self, item: Item) -> Iterator[OutputFrame | AnyPacket]:
        """What one more item gives, for hosts that hand over frame by frame; see `weave`."""
        if self._cancelled():
            raise Cancelled(f"{self._settings.name}: stopped as asked")
        if isinstance(item, Packet):
            yield item
        else:
            yield from self._next(item)

    def finish(self) -> Iterator[OutputFrame]:
        """What is left at the end."""
        self._pending += self._schedule.rest()
        yield from self._made_before(None)

    def close(self) -> None:
        """Closes the engines that were loaded here; `weave` does so itself."""
        if self._owns_filler:
            self._filler.close()

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
        station = Station(pts=pts, frame=item)
        yield from self._made_before(station)
        self._left = station
        if self._settings.engine in CHOICES:
            self.router.see(station)  # only there a dozen frames are worth their memory
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

    def _made_before(self, right: Station | None) -> Iterator[OutputFrame]:
        pending, self._pending = self._pending, []
        for (action, engine, at_left), group in groupby(pending, key=lambda t: (t.action, t.engine, t.at_left)):
            targets = list(group)
            if action is Action.FILL and engine and self._left and right:
                yield from self._filled(targets, engine, self._left, right)
            else:
                alone = "no good frame on the other side" if action is Action.FILL else None
                other = None if at_left and self._left else right
                yield from self._held(targets, self._left, other, because=alone)
        self._filler.forget_all_but({right.pts} if right else ())

    def _filled(self, targets: Sequence[Target], name: str, left: Station, right: Station) -> Iterator[OutputFrame]:
        """The targets' frames, made by the engine named or chosen, else by its fallback, else held."""
        score, objection = self._objection(targets, left, right)
        if objection is not None:
            yield from self._held(targets, left, right, because=objection, score=score)
            return
        choice = self._chosen(targets, name, left, right)
        findings = list(choice.findings)
        done, reasons = 0, list[str]()
        for engine in self._in_turn(choice, left, count=len(targets), reasons=reasons):
            more, inability = yield from self._made(
                targets[done:],
                engine,
                left,
                right,
                score=score,
                findings=findings,
                because=choice.because,
                after=reasons,
            )
            done += more
            if inability is None:
                return
            findings = [] if more else findings
            reasons.append(inability)
        yield from self._held(
            targets[done:],
            left,
            right,
            because="; ".join(reasons),
            score=score,
            findings=findings,
            chosen=choice.because,
        )

    def _chosen(self, targets: Sequence[Target], name: str, left: Station, right: Station) -> Choice:
        if Guard.BUDGET in targets[0].guards:
            return self.router.planned(name, left, right, count=len(targets))
        if name in CHOICES:
            return self.router.choose(left, right, count=len(targets), generative=name == AUTO)
        return Choice(engine=name)

    def _in_turn(self, choice: Choice, left: Station, *, count: int, reasons: list[str]) -> Iterator[str]:
        """The engine, then those that are asked where it can't: each only once the ones before have refused."""
        yield choice.engine
        if choice.because is None or self._settings.fallback is not None:
            other = self._fallback(choice.engine)
            yield from [] if other in (None, choice.engine) else [other]
            return
        may = self._settings.engine == AUTO
        others, absent = self.router.others(choice, left, count=count, generative=may)
        reasons += absent
        yield from others

    def _fallback(self, name: str) -> str | None:
        first = self._filler.engine(engine_parts(name)[0])
        other = self._settings.fallback or first.info.fallback
        return None if other == HOLD else other

    def _made(
        self,
        targets: Sequence[Target],
        name: str,
        left: Station,
        right: Station,
        *,
        score: float | None,
        findings: list[Finding],
        because: str | None,
        after: Sequence[str],
    ) -> Generator[OutputFrame, None, tuple[int, str | None]]:
        """Frames by one engine, as many as it makes; returns their number, and why there are not more."""
        objection = self._filler.unfit(name, left.frame, count=len(targets))
        done = 0
        if objection is None:
            pictures = self._filler.fill(name, left, right, self._positions(targets, left, right), tell=findings.append)
            try:
                for target, picture in zip(targets, pictures, strict=True):
                    frame = to_frame(picture, like=left.frame, pts=target.pts, time_base=self._output_time_base)
                    yield OutputFrame(frame=frame, pts=target.pts, made_by=name)
                    done += 1
            except CannotFill as error:
                if Guard.CANNOT_FILL not in targets[0].guards:
                    raise
                objection = f"{name} can't fill it: {error}"
            self._tell(
                targets[:done],
                left,
                right,
                Action.FILL,
                engine=name,
                score=score,
                findings=findings,
                chosen=because,
                instead="; ".join(after) or None,
            )
        return done, objection

    def _positions(self, targets: Sequence[Target], left: Station, right: Station) -> tuple[Fraction, ...]:
        parts = self._schedule.parts
        span = (right.pts - left.pts) * parts
        return tuple(Fraction(target.pts - left.pts * parts, span) for target in targets)

    def _objection(self, targets: Sequence[Target], left: Station, right: Station) -> tuple[float | None, str | None]:
        """The guards: the cut score, where it was looked at, and why not to fill, if there is a reason."""
        guards, settings = targets[0].guards, self._settings
        if Guard.DISTANCE in guards and (right.pts - left.pts) * settings.time_base > settings.max_gap:
            return None, f"neighbours are more than {float(settings.max_gap):g} s apart"
        score = None
        if Guard.SCENE_CUT in guards:
            score = self._filler.cut_score(left, right)
            if score >= settings.scene_threshold and settings.scene_threshold < 100:
                self.router.forget()
                return score, f"scene cut (score {score:.0f})"
        return score, None

    def _held(
        self,
        targets: Sequence[Target],
        left: Station | None,
        right: Station | None,
        *,
        because: str | None,
        score: float | None = None,
        findings: Sequence[Finding] = (),
        chosen: str | None = None,
    ) -> Iterator[OutputFrame]:
        """The nearer neighbour again, a tie going to the left one."""
        for target in targets:
            shown = left or right
            if left and right:
                to_left = target.pts - left.pts * self._schedule.parts
                to_right = right.pts * self._schedule.parts - target.pts
                shown = left if to_left <= to_right else right
            if shown is None:
                raise DamagedInput(
                    f"{self._settings.name}: every picture is damaged; --repair missing shows those that come out"
                )
            frame = copy_frame(shown.frame, pts=target.pts, time_base=self._output_time_base)
            yield OutputFrame(frame=frame, pts=target.pts, made_by="hold")
        self._tell(targets, left, right, Action.HOLD, because=because, score=score, findings=findings, chosen=chosen)

    def _tell(
        self,
        targets: Sequence[Target],
        left: Station | None,
        right: Station | None,
        action: Action,
        *,
        engine: str | None = None,
        because: str | None = None,
        score: float | None = None,
        findings: Sequence[Finding] = (),
        chosen: str | None = None,
        instead: str | None = None,
    ) -> None:
        for reason, group in groupby(targets, key=lambda target: target.reason):
            self._outcome(
                Outcome(
                    left_pts=left.pts if left else None,
                    right_pts=right.pts if right else None,
                    target_pts=tuple(target.pts for target in group),
                    action=action,
                    engine=engine,
                    reason=reason,
                    held_because=because,
                    chosen_because=chosen,
                    fallback_because=instead,
                    cut_score=None if score is None else round(score, 2),
                    findings=tuple(findings),
                )
            )
