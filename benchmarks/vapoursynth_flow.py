"""Run by a Python that has VapourSynth: frames from a file, FlowFPS of MVTools or MVUtensils, frames to a file.

    python vapoursynth_flow.py mv|mvu STEP IN.npz OUT.npz

IN holds `y`, `u`, `v`, each (frames, height, width) uint8, of even size: the kept frames.
OUT holds the same for all frames, and the `seconds` that it took. The script stands
alone: that Python has none of our packages.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import vapoursynth as vs

_RATE = 25
_BLOCK, _OVERLAP = 8, 4  # the finest that both plugins take without `divide`


def kept_clip(planes: list[np.ndarray[Any, Any]], step: int) -> vs.VideoNode:
    """The kept frames as a clip at their lower rate."""
    count, height, width = planes[0].shape
    blank = vs.core.std.BlankClip(
        width=width, height=height, format=vs.YUV420P8, length=count, fpsnum=_RATE, fpsden=step
    )

    def put(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        copied = f.copy()
        for index, plane in enumerate(planes):
            np.copyto(np.asarray(copied[index]), plane[n])
        return copied

    return vs.core.std.ModifyFrame(blank, blank, put)


def mvtools(clip: vs.VideoNode) -> vs.VideoNode:
    """FlowFPS with vectors refined once."""
    upper = vs.core.mv.Super(clip, pel=2)
    backward, forward = (
        vs.core.mv.Analyse(upper, isb=isb, blksize=2 * _BLOCK, overlap=2 * _OVERLAP, search=3) for isb in (1, 0)
    )
    fine = [
        vs.core.mv.Recalculate(upper, vectors, blksize=_BLOCK, overlap=_OVERLAP, search=3)
        for vectors in (backward, forward)
    ]
    return vs.core.mv.FlowFPS(clip, upper, *fine, num=_RATE, den=1, blend=0, thscd1=10_000)


def mvutensils(clip: vs.VideoNode) -> vs.VideoNode:
    """FlowFPS with the plugin's own defaults but for blocks and thresholds."""
    blocks, overlap = [2 * _BLOCK, 2 * _BLOCK], [2 * _OVERLAP, 2 * _OVERLAP]
    upper = vs.core.mvu.Super(clip, blksize=blocks, overlap=overlap, pel=2)
    vectors = vs.core.mvu.AnalyseMany(upper, blksize=blocks, overlap=overlap, radius=1)
    return vs.core.mvu.FlowFPS(clip, upper, vectors, num=_RATE, den=1, blend=0, thscd1=10_000)


def main() -> None:
    """Reads, runs, writes."""
    which, step, source, target = sys.argv[1:]
    stored = np.load(source)
    planes = [stored[name] for name in "yuv"]
    begun = time.perf_counter()
    clip = kept_clip(planes, int(step))
    made = {"mv": mvtools, "mvu": mvutensils}[which](clip)
    frames = [[np.asarray(frame[index]).copy() for index in range(3)] for frame in made.frames(close=True)]
    seconds = time.perf_counter() - begun
    y, u, v = (np.stack([frame[index] for frame in frames]) for index in range(3))
    np.savez(target, y=y, u=u, v=v, seconds=seconds)


if __name__ == "__main__":
    main()
