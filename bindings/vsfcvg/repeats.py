"""Frozen repeats in a clip of which any frame may be asked for at any time."""

from __future__ import annotations

import math

import numpy as np
import vapoursynth as vs

from codec_plugin.picture import Family, Layout, Picture
from codec_plugin.timeline.duplicates import LONGEST_RUN, LOOK_AHEAD, DifferenceStats, difference, find_repeats

SEEN_EACH_WAY = LONGEST_RUN + LOOK_AHEAD + 1
"""Frames on either side by which a frame is judged: all that can matter for the run that it may be in."""

_MEAN, _PEAK = "FCVGMean", "FCVGPeak"
_CACHED = 4 * SEEN_EACH_WAY


def measured(clip: vs.VideoNode) -> vs.VideoNode:
    """A clip of one pixel a frame, whose properties say how each frame differs from the one before."""
    before = clip[0] + clip[:-1] if clip.num_frames > 1 else clip
    dot = vs.core.std.BlankClip(clip, width=1, height=1, format=vs.GRAY8, keep=True)
    stats = vs.core.std.ModifyFrame(dot, [dot, before, clip], _measure)
    # Every frame is asked for by its neighbours on either side; to measure it again would mean to decode it again.
    vs.core.std.SetVideoCache(stats, mode=1, fixedsize=1, maxsize=_CACHED)
    return stats


def run_around(n: int, seen: list[vs.VideoFrame], *, frames: int) -> range | None:
    """The run of repeats that frame n is in.

    Args:
        n: a frame of the clip.
        seen: the measurements of frames n - SEEN_EACH_WAY to n + SEEN_EACH_WAY, those outside the clip repeated.
        frames: the clip's frames.
    """
    first, stop = max(0, n - SEEN_EACH_WAY), min(frames, n + SEEN_EACH_WAY + 1)
    differences = [_stats(seen[at - n + SEEN_EACH_WAY]) for at in range(first + 1, stop)]
    for run in find_repeats(differences):
        if first + run.start <= n < first + run.stop:
            return range(first + run.start, first + run.stop)
    return None


def _measure(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
    told = f[0].copy()
    stats = difference(_luma(f[1]), _luma(f[2])) if n else DifferenceStats(mean=0.0, peak=0.0)
    told.props[_MEAN], told.props[_PEAK] = stats.mean, stats.peak
    return told


def _luma(frame: vs.VideoFrame) -> Picture:
    """The plane that differences are measured in: luma, or green."""
    plane = np.asarray(frame[1 if frame.format.color_family == vs.RGB else 0])
    if frame.format.sample_type == vs.FLOAT:
        plane = plane.astype(np.float32)
    depth = 32 if frame.format.sample_type == vs.FLOAT else frame.format.bits_per_sample
    return Picture(planes=(plane,), layout=Layout(family=Family.GRAY, depth=depth))


def _stats(frame: vs.VideoFrame) -> DifferenceStats:
    mean, peak = (float(frame.props[name]) for name in (_MEAN, _PEAK))
    assert math.isfinite(mean + peak)
    return DifferenceStats(mean=mean, peak=peak)
