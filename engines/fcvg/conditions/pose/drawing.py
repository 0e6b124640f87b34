"""Draws people as FCVG saw them in training: limbs and joints in OpenPose's colours, hands and faces over them.

As the published code does, everything is drawn without anti-aliasing on a picture whose shorter side is 2160 pixels,
and that is brought to its size by bilinear interpolation.
"""

from __future__ import annotations

import colorsys
import math

import cv2
import numpy as np
import numpy.typing as npt

from fcvg.conditions.conditioner import Rgb8
from fcvg.conditions.pose.people import BODY, FACE, HANDS, SEEN, Floats, People

_SHORT_SIDE = 2160
_LONG_SIDE = 4 * _SHORT_SIDE  # narrower pictures than 4:1 are drawn smaller: memory
_LIMBS = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13)),
    *((1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),
)
_FINGERS = tuple(
    (0 if not bone else 4 * finger + bone, 4 * finger + bone + 1) for finger in range(5) for bone in range(4)
)
_LIMB_SHADE = 0.6
_LIMB_WIDTH, _JOINT_RADIUS, _BONE_WIDTH, _HAND_RADIUS, _FACE_RADIUS = 8, 4, 4, 4, 3


def draw_people(people: People, *, size: tuple[int, int]) -> Rgb8:
    """(height, width, 3): R, G, B on black.

    Args:
        people: where they are, in pixels of the picture.
        size: (width, height).
    """
    width, height = size
    if not len(people):
        return np.zeros((height, width, 3), np.uint8)
    factor = min(_SHORT_SIDE / min(size), _LONG_SIDE / max(size))
    canvas = np.zeros((int(height * factor), int(width * factor), 3), np.uint8)
    places = people.points / (width, height) * (canvas.shape[1], canvas.shape[0])
    canvas = _with_bodies(canvas, places[:, BODY], people.scores[:, BODY])
    for hand in HANDS:
        for points, scores in zip(places[:, hand], people.scores[:, hand], strict=True):
            _draw_hand(canvas, points, scores)
    for points, scores in zip(places[:, FACE], people.scores[:, FACE], strict=True):
        for (x, y), score in zip(points.astype(int).tolist(), scores, strict=True):
            if x > 0 and y > 0:
                cv2.circle(canvas, (x, y), _FACE_RADIUS, [int(score * 255)] * 3, thickness=-1)
    # The colours are given as R, G, B and shown as B, G, R: so were the pictures in training.
    return np.asarray(cv2.resize(canvas, size)[..., ::-1])


def _with_bodies(canvas: Rgb8, places: Floats, scores: Floats) -> Rgb8:
    """Limbs of all people, darkened, and their joints over them."""
    for (start, end), colour in zip(_LIMBS, _wheel(18), strict=False):
        for points, seen in zip(places, scores, strict=True):
            if seen[start] < SEEN or seen[end] < SEEN:
                continue
            (x0, y0), (x1, y1) = points[start], points[end]
            half = int(math.hypot(x0 - x1, y0 - y1) / 2)
            angle = int(math.degrees(math.atan2(y0 - y1, x0 - x1)))
            middle = int((x0 + x1) / 2), int((y0 + y1) / 2)
            outline = np.array(cv2.ellipse2Poly(middle, (half, _LIMB_WIDTH), angle, 0, 360, 1))
            cv2.fillConvexPoly(canvas, outline, _shaded(colour, seen[start] * seen[end]))
    canvas = (canvas * _LIMB_SHADE).astype(np.uint8)
    for joint, colour in enumerate(_wheel(18)):
        for points, seen in zip(places, scores, strict=True):
            if seen[joint] > SEEN:
                x, y = points[joint].astype(int).tolist()
                cv2.circle(canvas, (x, y), _JOINT_RADIUS, _shaded(colour, seen[joint]), thickness=-1)
    return canvas


def _draw_hand(canvas: Rgb8, places: Floats, scores: Floats) -> None:
    """A hand's bones, each finger's hues in a row, and its joints in one colour; points outside are left out."""
    points = [tuple(place) for place in places.astype(int).tolist()]
    inside = [x > 0 and y > 0 for x, y in points]
    for (start, end), colour in zip(_FINGERS, _wheel(len(_FINGERS)), strict=True):
        if inside[start] and inside[end]:
            strength = int(scores[start] * scores[end] * 255)
            tint = [share / 255 * strength for share in colour]
            cv2.line(canvas, points[start], points[end], tint, thickness=_BONE_WIDTH)
    for point, shown, score in zip(points, inside, scores, strict=True):
        if shown:
            cv2.circle(canvas, point, _HAND_RADIUS, (0, 0, int(score * 255)), thickness=-1)


def _wheel(count: int) -> list[tuple[float, ...]]:
    """Pure hues, evenly spaced, from 0 to 255."""
    return [tuple(255 * share for share in colorsys.hsv_to_rgb(index / count, 1, 1)) for index in range(count)]


def _shaded(colour: tuple[float, ...], share: float) -> list[int]:
    return [int(round(value) * share) for value in colour]


def over(pictures: npt.NDArray[np.float32], drawn: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Lays what is drawn over pictures, each channel by itself wherever it isn't black, as published."""
    return np.where(drawn > 0, drawn, pictures)
