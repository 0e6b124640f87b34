"""Thinning in a closed loop: only frames go that come back well enough, measured from the files that come out."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from codec_plugin.comparison import pair_frames, spaced
from codec_plugin.errors import OptionError
from codec_plugin.grids import Restore
from codec_plugin.job import Job
from codec_plugin.media.reader import Reader, Window
from codec_plugin.media.similarity import Similarity, timed_frames
from codec_plugin.media.target import check_target, output_errors
from codec_plugin.options import Range, RestoreOptions
from codec_plugin.runner import run_file
from codec_plugin.thinning.candidates import Block, Quality, score_blocks, value_of
from codec_plugin.thinning.thin import DropTimes, Thinning, thin
from codec_plugin.timing import round_half_up

SAVE_RANGE = Range(least=1, most=95)
_MARGIN = {"psnr": 0.5, "ssim": 0.003}
_NARROW = {"psnr": 0.1, "ssim": 0.0005}
_TRIES = 7
"""Encodes that the search for a budget may take, beside the two ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedLoop:
    """What came of it."""

    thinning: Thinning
    """What was written."""
    quality: Quality
    """What was asked for, or found to fit the budget."""
    worst: float | None
    """The lowest value among the made frames, measured from the files; None where nothing was dropped."""
    mean: float | None
    """Their mean."""
    full_bytes: int
    """Bytes of the picture stream with every frame, encoded alike."""
    thinned_bytes: int
    """Bytes of the picture stream that was written, its notes included."""
    rounds: int
    """How often the film was encoded thinned."""

    @property
    def saved(self) -> float:
        """The share of the full-rate stream's bytes that was saved; below 0 for a loss."""
        return 1 - self.thinned_bytes / self.full_bytes


def thin_to_quality(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    quality: Quality,
    job: Job | None = None,
    options: RestoreOptions | None = None,
) -> ClosedLoop:
    """Drops the frames that the engine makes again at `quality` or better, and no others.

    Candidates are found on the source's own frames; then the film is thinned, encoded, restored and encoded again, and
    each made frame is measured against the source. What falls short goes back in, until nothing does.

    Args:
        source: a path.
        target: the output; its ending says the format.
        quality: the least that a made frame must reach.
        job: encoder and the like, for the thinned film and for the restored one that is measured.
        options: engine, rate, `max_gap` and scene threshold.

    Raises:
        InputError, OutputError, EngineError: as `thin` and `restore` do.
    """
    with _Bench(Path(source), Path(target), job or Job(), options or RestoreOptions()) as bench:
        goal = replace(quality, least=quality.least + _MARGIN[quality.measure])
        return bench.settled(bench.blocks(quality.measure, least=goal.least), quality, goal=goal)


def thin_to_budget(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    save: Fraction,
    measure: str = "ssim",
    job: Job | None = None,
    options: RestoreOptions | None = None,
) -> ClosedLoop:
    """Drops the frames that come back best, as few as save the share `save` of the bits, at the same encoder settings.

    Args:
        source: a path.
        target: the output; its ending says the format.
        save: of the bytes of the full-rate stream, 0.01 to 0.95.
        measure: by what "best" is meant: "psnr" or "ssim".
        job: encoder and the like.
        options: engine, rate, `max_gap` and scene threshold.

    Raises:
        OptionError: not even dropping every candidate saves so much; the message says how much it does.
        InputError, OutputError, EngineError: as `thin` and `restore` do.
    """
    SAVE_RANGE.check("--save, in percent,", save * 100)
    with _Bench(Path(source), Path(target), job or Job(), options or RestoreOptions()) as bench:
        blocks = bench.blocks(measure)
        levels = sorted({score for block in blocks for score in block.levels()}, reverse=True)
        limit = bench.full_bytes * (1 - save)
        least = bench.bytes_at(blocks, Quality(measure=measure, least=levels[-1])) if levels else bench.full_bytes
        if least > limit:
            most = 1 - least / bench.full_bytes
            raise OptionError(f"--save {float(save):.0%}: dropping all that may go saves {most:.1%} at these settings")
        low, high = 0, len(levels) - 1
        for _ in range(_TRIES):
            if low >= high:
                break
            middle = (low + high) // 2
            if bench.bytes_at(blocks, Quality(measure=measure, least=levels[middle])) <= limit:
                high = middle
            else:
                low = middle + 1
        return bench.finished(blocks, Quality(measure=measure, least=levels[high]))


def parse_quality(text: str) -> Quality:
    """A quality from text: "0.96" is SSIM, "38" and "38dB" are PSNR.

    Raises:
        OptionError: it is neither.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:db)?", text.strip(), re.IGNORECASE)
    value = float(match.group(1)) if match else -1.0
    if 0 < value <= 1 and not text.lower().endswith("db"):
        return Quality(measure="ssim", least=value)
    if 1 < value <= 100:
        return Quality(measure="psnr", least=value)
    raise OptionError(f"--quality takes an SSIM such as 0.96 or a PSNR such as 38dB, not {text!r}")


class _Bench:
    """One film, thinned and restored again and again in a folder of its own."""

    def __init__(self, source: Path, target: Path, job: Job, options: RestoreOptions) -> None:
        self._source, self._target, self._job, self._options = source, target, job, options
        check_target(target, source=source, overwrite=job.overwrite)
        if options.deinterlace:
            raise OptionError("a closed loop measures against the source's own frames: deinterlace it first")
        # Beside the target, so that the file that was measured can be moved there whole.
        self._folder = tempfile.TemporaryDirectory(prefix=f".{target.stem}.part-", dir=target.parent)
        self._quiet = replace(job, overwrite=True)
        self._full: int | None = None
        self._last: Thinning | None = None
        self._rounds = 0

    def __enter__(self) -> _Bench:
        return self

    def __exit__(self, *unused: object) -> None:
        self._folder.cleanup()

    @property
    def full_bytes(self) -> int:
        """Bytes of the film's picture stream with all its frames, encoded as asked."""
        if self._full is None:
            self._full = self._encoded((), self._at("full")).byte_count
        return self._full

    def blocks(self, measure: str, *, least: float | None = None) -> list[Block]:
        """The candidates, scored on the source's own frames."""
        return score_blocks(self._source, measure=measure, job=self._job, options=self._options, least=least)

    def bytes_at(self, blocks: Sequence[Block], quality: Quality) -> int:
        """Bytes of the film thinned down to a quality."""
        return self._thinned(_dropped(blocks, quality), self._at("try")).byte_count

    def settled(self, blocks: Sequence[Block], quality: Quality, *, goal: Quality) -> ClosedLoop:
        """Thins until every made frame, measured from the files, is good enough; `goal` is asked of candidates."""
        while True:
            dropped = _dropped(blocks, goal)
            self._thinned(dropped, self._at("try"))
            scores = self._measured(dropped, quality.measure)
            if not any(score < quality.least for score in scores.values()):
                return self._result(dropped, quality, scores)
            # What only just passed goes too: another encode moves it a little, and would ask for one more round.
            limit = quality.least + _NARROW[quality.measure]
            failing = {pts for pts, score in scores.items() if score < limit}
            blocks = [block.without(failing, quality=goal) for block in blocks]

    def finished(self, blocks: Sequence[Block], quality: Quality) -> ClosedLoop:
        """Thins down to a quality of the candidates, and measures what comes of it."""
        dropped = _dropped(blocks, quality)
        self._thinned(dropped, self._at("try"))
        scores = self._measured(dropped, quality.measure)
        return self._result(dropped, replace(quality, least=min(scores.values(), default=quality.least)), scores)

    def _result(self, dropped: tuple[int, ...], quality: Quality, scores: Mapping[int, float]) -> ClosedLoop:
        """Gives the file that was measured its name."""
        thinned, full = self._last, self.full_bytes
        assert thinned is not None  # the caller has just thinned it
        with output_errors(str(self._target)):
            os.replace(self._at("try"), self._target)
        values = list(scores.values())
        return ClosedLoop(
            thinning=thinned,
            quality=quality,
            worst=min(values, default=None),
            mean=sum(values) / len(values) if values else None,
            full_bytes=full,
            thinned_bytes=thinned.byte_count,
            rounds=self._rounds,
        )

    def _at(self, name: str) -> Path:
        return Path(self._folder.name) / f"{name}{self._target.suffix}"

    def _thinned(self, dropped: Sequence[int], path: Path) -> Thinning:
        self._rounds += 1
        self._last = self._encoded(dropped, path)
        return self._last

    def _encoded(self, dropped: Sequence[int], path: Path) -> Thinning:
        pattern = DropTimes(pts=tuple(dropped), engine=self._options.engine)
        return thin(self._source, path, pattern=pattern, job=self._quiet, options=self._options)

    def _measured(self, dropped: Sequence[int], measure: str) -> dict[int, float]:
        """The score of each made frame, by its time in the source, once the film is restored and encoded again."""
        if not dropped or self._last is None:
            return {}
        restored = self._at("restored")
        whole = replace(self._quiet, window=Window(), video=None)
        report = run_file(self._at("try"), restored, verb=Restore(), options=self._options, job=whole)
        offset = self._last.offset + report.offset
        wanted = set(dropped)
        scores: dict[int, float] = {}
        with (
            Reader(self._source, video=self._job.video, window=self._job.window) as one,
            Reader(restored) as other,
        ):
            similarity = Similarity(measures=(measure,))
            tick = one.info.video.time_base
            rounding = tick + other.info.video.time_base
            pairs = pair_frames(
                spaced(timed_frames(one)), spaced(timed_frames(other)), offset=offset, rounding=rounding
            )
            for left, right in pairs:
                pts = None if left is None else round_half_up(left.time / tick)
                if left is None or pts not in wanted or pts is None:
                    continue
                # A frame that doesn't come back at all is as bad as can be.
                scores[pts] = value_of(similarity.score(left.picture, right.picture), measure) if right else 0.0
        return scores


def _dropped(blocks: Sequence[Block], quality: Quality) -> tuple[int, ...]:
    return tuple(pts for block in blocks for pts in block.dropped(quality))
