"""Which condition pictures are drawn, and when: what the engine's options come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from fcvg.conditions.conditioner import Conditioner, Conditions, Rgb8
from fcvg.conditions.gluestick.files import Lines, half_there, uses_gluestick
from fcvg.conditions.lines import LineConditioner, LineMatcher, MotionMatcher
from fcvg.conditions.path import path_of
from fcvg.conditions.pose.files import Poses, absent_files, pose_files
from fcvg.conditions.times import Schedule, reference_times

if TYPE_CHECKING:
    import torch

    from fcvg.layout import ClipLayout
    from fcvg.options import FcvgOptions


def conditioner_of(options: FcvgOptions, *, folder: Path, device: torch.device | str = "cpu") -> Conditioner:
    """What draws the condition pictures: lines, and people over them where that is wanted and can be had.

    Args:
        options: the engine's.
        folder: the weights folder.
        device: where networks that find lines are to run.

    Raises:
        EngineError: a network is wanted, and a file isn't there or isn't what it should be.
    """
    lines = LineConditioner(seed=options.seed, matcher=matcher_of(options.lines, folder=folder, device=device))
    notes = () if options.lines is Lines.LSD else half_there(folder)
    files = pose_files(folder, options.poses)
    if files is None:
        if options.poses is Poses.AUTO:
            notes = (*notes, f"no people are drawn: {absent_files(folder)[0]} isn't there")
        return Layered(lines, None, notes=notes)
    from fcvg.conditions.pose.estimator import PoseEstimator
    from fcvg.conditions.pose.poses import PoseConditioner

    return Layered(lines, PoseConditioner(PoseEstimator(files)), notes=notes)


def matcher_of(lines: Lines, *, folder: Path, device: torch.device | str = "cpu") -> LineMatcher:
    """What matches the lines.

    Args:
        lines: what is wanted.
        folder: the weights folder.
        device: where networks are to run.

    Raises:
        EngineError: GlueStick is wanted, and a file isn't there; or it is there, and isn't what it should be.
    """
    if not uses_gluestick(folder, lines):
        return MotionMatcher()
    from fcvg.conditions.gluestick.loading import load_networks
    from fcvg.conditions.gluestick.matcher import GlueStickMatcher

    return GlueStickMatcher(load_networks(folder, device=device))


def progress_of(options: FcvgOptions, layout: ClipLayout) -> tuple[Fraction, ...]:
    """How far things have come in each frame of a clip: its time by the schedule, put on the path."""
    path = path_of(options.path)
    as_published = options.schedule is Schedule.REFERENCE
    times = reference_times(layout.frames) if as_published else layout.times
    return tuple(path(time) for time in times)


class Layered:
    """Lines, and people over them."""

    def __init__(self, lines: Conditioner, people: Conditioner | None, *, notes: tuple[str, ...] = ()) -> None:
        """Args:
        lines: drawn first.
        people: drawn over them; None for nobody.
        notes: what the user should know of this choice.
        """
        self._lines, self._people, self._notes = lines, people, notes

    def __call__(self, left: Rgb8, right: Rgb8, times: Sequence[Fraction]) -> Conditions:
        """See `Conditioner`. The lines are what counts as matched."""
        below = self._lines(left, right, times)
        if self._people is None:
            return replace(below, notes=(*below.notes, *self._notes))
        from fcvg.conditions.pose.drawing import over

        above = self._people(left, right, times)
        return Conditions(
            pictures=over(below.pictures, above.pictures),
            matched=below.matched,
            counts=(*below.counts, *above.counts),
            notes=(*below.notes, *above.notes, *self._notes),
        )
