"""Which frames of a film could go: each block of four is scored by what an engine makes of it from its neighbours."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from codec_plugin.engine import CHOICES, auto_candidates
from codec_plugin.errors import CannotFill
from codec_plugin.filling import Filler, Station
from codec_plugin.job import Job, Progress
from codec_plugin.media.pixels import to_frame
from codec_plugin.media.reader import Frame, Reader
from codec_plugin.media.similarity import FrameScores, Similarity
from codec_plugin.options import RestoreOptions
from codec_plugin.timeline.scan import scan

_BLOCK = 4
_NEVER = -1.0
_BEST = 1000.0  # in place of an infinite PSNR


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How good made frames must be."""

    measure: str
    """"psnr" (all planes, dB) or "ssim" (all planes, 0 to 1)."""
    least: float
    """The lowest value that is good enough."""

    def __str__(self) -> str:
        return f"PSNR {self.least:.2f} dB" if self.measure == "psnr" else f"SSIM {self.least:.4f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Four frames in a row and the one after; the first stays always. Frames 1 and 3 may go alone, or 1 to 3 together.

    A score is the lowest of the frames that would be made, below 0 where they must stay (a cut, an engine that can't).
    """

    pts: tuple[int, int, int]
    """The times of frames 1, 2 and 3, in source ticks."""
    first: float
    """If frame 1 goes alone."""
    last: float
    """If frame 3 goes alone."""
    all_three: float
    """If all three go."""

    def dropped(self, quality: Quality) -> tuple[int, ...]:
        """The times of the frames that go at a quality: as many as may."""
        if self.all_three >= quality.least:
            return self.pts
        alone = ((self.pts[0], self.first), (self.pts[2], self.last))
        return tuple(pts for pts, score in alone if score >= quality.least)

    def levels(self) -> Iterator[float]:
        """The scores at which one more frame may go."""
        yield from (score for score in (self.first, self.last, self.all_three) if score >= 0)

    def without(self, failing: Collection[int], *, quality: Quality) -> Block:
        """The block after some of its frames came back worse than they must: those go in fewer at a time, or stay."""
        gone = set(self.dropped(quality))
        if not gone & set(failing):
            return self
        if self.all_three >= quality.least:
            return replace(self, all_three=_NEVER)
        return replace(
            self,
            first=_NEVER if self.pts[0] in failing else self.first,
            last=_NEVER if self.pts[2] in failing else self.last,
        )


def value_of(scores: FrameScores, measure: str) -> float:
    """One measure of a pair; a picture too small for SSIM can't be judged by it, and gets 0."""
    if measure == "psnr":
        return min(scores.psnr, _BEST)
    return scores.ssim if scores.ssim is not None else 0.0


def score_blocks(
    source: Path, *, measure: str, job: Job, options: RestoreOptions, least: float | None = None
) -> list[Block]:
    """Scores every block of a film on its own frames; five frames are in memory at a time.

    Blocks lie where five frames stand in neighbouring slots: never across a gap or a discontinuity. Films without a
    clock (true VFR) have none, since nothing could tell later that a frame is missing.

    Args:
        source: the film.
        measure: "psnr" or "ssim".
        job: window and the like.
        options: engine, rate, `max_gap` and scene threshold.
        least: what will be asked of a frame, if that is known: a block whose single frames miss it isn't tried with
            all three gone, which have further neighbours to be made of.
    """
    found = scan(source, options=options, video=job.video, window=job.window)
    slots = {
        int(pts): (number, segment.clock.slot_of(int(pts)))
        for number, segment in enumerate(found.timeline.segments)
        if segment.clock is not None
        for pts in segment.pts
    }
    name = options.engine if options.engine not in CHOICES else auto_candidates(options.engine_options)[0]
    blocks: list[Block] = []
    held: list[Station] = []
    with (
        Reader(source, video=job.video, threads=job.encode.threads, window=job.window) as reader,
        closing(
            Filler(
                source=reader.info.name,
                time_base=reader.info.video.time_base,
                engine=job.engine,
                options=options.engine_options,
                cancelled=job.cancelled,
            )
        ) as filler,
    ):
        judge = _Judge(filler, name=name, measure=measure, threshold=options.scene_threshold, least=least or 0.0)
        for count, item in enumerate(reader.items(), start=1):
            if not isinstance(item, Frame) or item.pts is None or item.is_corrupt:
                held = []
                continue
            held.append(Station(pts=item.pts, frame=item))
            if len(held) > 1 and not _follows(held[-2].pts, item.pts, slots):
                held = held[-1:]
            if len(held) == _BLOCK + 1:
                blocks.append(judge.block(held))
                held = held[-1:]
                filler.forget_all_but({item.pts})
            job.progress(Progress(stage="look", frames=count, total=found.timeline.frame_count, made=0))
    return blocks


def _follows(one: int, other: int, slots: dict[int, tuple[int, int]]) -> bool:
    """Whether two frames stand in neighbouring slots of one segment."""
    if one not in slots or other not in slots:
        return False
    return slots[one][0] == slots[other][0] and slots[other][1] == slots[one][1] + 1


class _Judge:
    """Fills and measures."""

    def __init__(self, filler: Filler, *, name: str, measure: str, threshold: float, least: float) -> None:
        self._filler, self._name, self._measure, self._threshold = filler, name, measure, threshold
        self._least, self._similarity = least, Similarity(measures=(measure,))

    def block(self, frames: Sequence[Station]) -> Block:
        """Scores five frames; the three are tried together only where both singles could go."""
        first, last = self._score(frames[:3]), self._score(frames[2:])
        together = self._score(frames) if min(first, last) >= self._least else _NEVER
        return Block(pts=(frames[1].pts, frames[2].pts, frames[3].pts), first=first, last=last, all_three=together)

    def _score(self, frames: Sequence[Station]) -> float:
        """The lowest score of the frames between the first and the last."""
        left, right = frames[0], frames[-1]
        if self._threshold < 100 and self._filler.cut_score(left, right) >= self._threshold:
            return _NEVER
        if self._filler.unfit(self._name, left.frame, count=len(frames) - 2):
            return _NEVER
        count = len(frames) - 1
        positions = tuple(Fraction(index, count) for index in range(1, count))
        try:
            pictures = list(self._filler.fill(self._name, left, right, positions))
        except CannotFill:
            return _NEVER
        values = []
        for own, picture in zip(frames[1:-1], pictures, strict=True):
            made = to_frame(picture, like=left.frame, pts=own.pts, time_base=Fraction(1, 1000))
            values.append(value_of(self._similarity.score(own.frame, made), self._measure))
        return min(values)
