"""`People`: the bodies, hands and faces in a picture, as points with scores, in the order that OpenPose made usual."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

POINTS = 134
"""Of one person: 18 of the body, 6 of the feet, 68 of the face, 21 of each hand."""
BODY, FACE = slice(0, 18), slice(24, 92)
HANDS = (slice(92, 113), slice(113, 134))
"""The person's left hand, and the right one."""
SEEN = 0.3
"""The score from which a joint of the body counts as seen, as published."""

# Where the body's joints lie among the network's 133 points (COCO-WholeBody's order); -1 is the neck, which it lacks.
_JOINTS = (0, -1, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
_SHOULDERS = (5, 6)
_COCO_BODY = 17


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class People:
    """The people in one picture."""

    points: Floats
    """(person, point, 2): x and y in pixels."""
    scores: Floats
    """(person, point): how sure the network is, about 0 to 1."""

    def __len__(self) -> int:
        return len(self.points)

    @classmethod
    def nobody(cls) -> People:
        """No person."""
        return cls(points=np.empty((0, POINTS, 2)), scores=np.empty((0, POINTS)))

    @classmethod
    def from_coco(cls, points: Floats, scores: Floats) -> People:
        """Brings the network's 133 points (COCO-WholeBody) into OpenPose's order.

        The neck is the middle of the shoulders, and seen (score 1) where both of them are, else not (score 0).

        Args:
            points: (person, 133, 2).
            scores: (person, 133).
        """
        shoulders = list(_SHOULDERS)
        neck = points[:, shoulders].mean(axis=1, keepdims=True)
        neck_score = (scores[:, shoulders] > SEEN).all(axis=1, keepdims=True).astype(np.float64)
        joints = list(_JOINTS)
        body = np.where(np.array(joints)[None, :, None] < 0, neck, points[:, joints])
        body_scores = np.where(np.array(joints)[None] < 0, neck_score, scores[:, joints])
        return cls(
            points=np.concatenate([body, points[:, _COCO_BODY:]], axis=1),
            scores=np.concatenate([body_scores, scores[:, _COCO_BODY:]], axis=1),
        )
