"""Reading excerpts of clips, and telling where their cuts are."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.plane import VideoPlane

from codec_plugin.picture import Family, Layout, Picture, Plane

LAYOUT = Layout(family=Family.YUV, depth=8, chroma_shift_x=1, chroma_shift_y=1)
"""Everything is measured in 8-bit 4:2:0, the only layout that all competitors take."""

_THUMBNAIL = (64, 36)
_CUT_LEAST = 8.0
_CUT_RATIO = 3.0
_NEIGHBOURHOOD = 4


def read_excerpt(path: Path, *, start_s: float, frames: int) -> list[Picture]:
    """Decodes consecutive frames.

    Args:
        path: A file with a video stream.
        start_s: Where to begin, in seconds of the stream's own time; 0 for the first frame.
        frames: The most frames to read.

    Returns:
        Pictures in `LAYOUT`, keyed by their index in the excerpt.
    """
    made: list[Picture] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        if start_s and stream.time_base is not None:
            container.seek(int(start_s / stream.time_base), stream=stream)
        for frame in container.decode(stream):
            if start_s and (frame.time is None or frame.time < start_s):
                continue
            made.append(_picture(frame, key=len(made)))
            if len(made) == frames:
                break
    return made


def plane_rows(plane: VideoPlane) -> npt.NDArray[np.uint8]:
    """A view of an 8-bit plane: (height, width), rows strided as the frame has them."""
    return np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]


def picture_frame(picture: Picture, *, pts: int, time_base: Fraction) -> av.VideoFrame:
    """Copies a picture in `LAYOUT` to a frame."""
    frame = av.VideoFrame(picture.width, picture.height, "yuv420p")
    for plane, source in zip(frame.planes, picture.planes, strict=True):
        plane_rows(plane)[:] = source
    frame.pts, frame.time_base = pts, time_base
    return frame


def resized(picture: Picture, *, width: int, height: int) -> Picture:
    """The picture at another size."""
    sizes = [LAYOUT.plane_size(index, width=width, height=height) for index in range(3)]
    planes = (
        np.asarray(cv2.resize(plane, size[::-1], interpolation=cv2.INTER_AREA), dtype=np.uint8)
        for plane, size in zip(picture.planes, sizes, strict=True)
    )
    return Picture(planes=tuple(planes), layout=LAYOUT, key=picture.key)


def cuts(frames: list[Picture]) -> frozenset[int]:
    """The frames that begin a new shot.

    With every original frame at hand a cut is a step that stands out from the steps around it; that is surer than
    judging two frames that lie far apart.
    """
    small = [_thumbnail(frame.planes[0]) for frame in frames]
    steps = np.array([np.abs(b - a).mean() for a, b in pairwise(small)])
    found = set()
    for index, step in enumerate(steps):
        around = np.r_[steps[max(0, index - _NEIGHBOURHOOD) : index], steps[index + 1 : index + 1 + _NEIGHBOURHOOD]]
        if around.size and step > _CUT_LEAST and step > _CUT_RATIO * float(np.median(around)) + 2.0:
            found.add(index + 1)
    return frozenset(found)


def _picture(frame: av.VideoFrame, *, key: int) -> Picture:
    same = frame if frame.format.name in ("yuv420p", "yuvj420p") else frame.reformat(format="yuv420p")
    planes = tuple(plane_rows(plane).copy() for plane in same.planes)
    return Picture(planes=planes, layout=LAYOUT, key=key)


def _thumbnail(plane: Plane) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.resize(plane, _THUMBNAIL, interpolation=cv2.INTER_AREA), dtype=np.float32)
