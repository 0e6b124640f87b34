"""The verbs as functions, for Python programs."""

from __future__ import annotations

import os
from fractions import Fraction

from codec_plugin.grids import Multiply, Resample, Restore
from codec_plugin.job import Job
from codec_plugin.media.source import Source
from codec_plugin.options import RestoreOptions, Smart
from codec_plugin.plan import RestorePlan
from codec_plugin.report import RestoreReport
from codec_plugin.runner import run_file
from codec_plugin.smart.restoring import restore_smart

Target = str | os.PathLike[str]
"""Where to write; the ending says the format."""


def restore(
    source: Source,
    target: Target,
    *,
    options: RestoreOptions | None = None,
    job: Job | None = None,
    plan: RestorePlan | None = None,
    smart: Smart = Smart.OFF,
) -> RestoreReport:
    """Fills the gaps of a film and changes nothing else; without gaps, copies it packet for packet.

    Args:
        source: a path, "-", or an open binary file.
        target: the output.
        options: how gaps are found and filled.
        job: encoder, preview window, progress and the like.
        plan: a plan to run, edited or not, in place of making one.
        smart: whether to keep the packets that no gap touches, bit for bit, and what to do where that can't be.

    Returns:
        What was done, frame by frame; times in output ticks.

    Raises:
        InputError: the source can't be read, or isn't supported.
        OutputError: the target can't be written; nothing is left under its name.
        EngineError: the engine isn't usable, or broke its promise.
        PlanError: the plan belongs to another film.
        CannotSplice: `smart` is "only", and packets can't be kept; the message says why.
    """
    if smart is not Smart.OFF:
        return restore_smart(source, target, smart=smart, options=options, job=job, plan=plan)
    return run_file(source, target, verb=Restore(), options=options, job=job, plan=plan)


def double(
    source: Source, target: Target, *, options: RestoreOptions | None = None, job: Job | None = None
) -> RestoreReport:
    """Twice the frame rate: 2·N frames for the N slots of the film's clock, dropped ones filled too.

    Args, returns and raises as for `restore`.
    """
    return run_file(source, target, verb=Multiply(2), options=options, job=job)


def upsample(
    source: Source,
    target: Target,
    *,
    factor: int | None = None,
    rate: Fraction | None = None,
    options: RestoreOptions | None = None,
    job: Job | None = None,
) -> RestoreReport:
    """`factor` times the frame rate, or frames at any rational `rate` (frames a second); exactly one is given.

    Further args, returns and raises as for `restore`.
    """
    if (factor is None) == (rate is None):
        raise ValueError("give either factor or rate")
    verb = Multiply(factor) if factor is not None else Resample(rate or Fraction(0))
    return run_file(source, target, verb=verb, options=options, job=job)
