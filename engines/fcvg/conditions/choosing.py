"""Which condition pictures are drawn, and when: what the engine's options come to."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from fcvg.conditions.lines import LineConditioner
from fcvg.conditions.path import path_of
from fcvg.conditions.times import Schedule, reference_times

if TYPE_CHECKING:
    from fcvg.conditions.conditioner import Conditioner
    from fcvg.layout import ClipLayout
    from fcvg.options import FcvgOptions


def conditioner_of(options: FcvgOptions, *, folder: Path) -> Conditioner:
    """What draws the condition pictures.

    Args:
        options: the engine's.
        folder: the weights folder.
    """
    return LineConditioner(seed=options.seed)


def progress_of(options: FcvgOptions, layout: ClipLayout) -> tuple[Fraction, ...]:
    """How far things have come in each frame of a clip: its time by the schedule, put on the path."""
    path = path_of(options.path)
    as_published = options.schedule is Schedule.REFERENCE
    times = reference_times(layout.frames) if as_published else layout.times
    return tuple(path(time) for time in times)
