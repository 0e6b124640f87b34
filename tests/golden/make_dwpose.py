"""Makes tests/golden/fcvg/dwpose.safetensors from a checkout of the public FCVG code.

    python tests/golden/make_dwpose.py PATH_OF_PUBLIC_CHECKOUT

The checkout's code around DWPose's networks is run as it is, on what tests/fcvg/recorded.py says that the networks
answered; nothing of it is kept but the numbers that it gives. The same answers are given to ours by
tests/fcvg/test_poses.py. It needs onnxruntime and matplotlib, which the checkout imports.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
EVERY = 8
"""Of the pictures that the networks are given, each so manieth row and column is kept."""

_NEEDLESS = (
    *("decord", "diffusers", "diffusers.utils", "einops", "imageio", "torchvision", "transformers"),
    *("models.controlnext_vid_svd", "models.unet_spatio_temporal_condition_controlnext", "pipeline.pipeline_FCVG"),
    *("models.gluestick", "models.gluestick.models.two_view_pipeline", "models.gluestick.models"),
    "models.gluestick.drawing",
)
"""What the demo imports for videos, networks and lines, and doesn't need for people."""


class Recorded:
    """Stands for an ONNX Runtime session: keeps what it is given, and answers what it was told to."""

    def __init__(self, size: tuple[int, int], answers: Iterable[list[Any]]) -> None:
        self._size, self._answers = size, iter(answers)
        self.given: list[Any] = []

    def get_inputs(self) -> list[Any]:
        """One input."""
        return [SimpleNamespace(name="input", shape=[1, 3, *self._size])]

    def get_outputs(self) -> list[Any]:
        """As many as there may be; only their names are asked for."""
        return [SimpleNamespace(name="x"), SimpleNamespace(name="y")]

    def run(self, _names: object, given: dict[str, Any]) -> list[Any]:
        """The next answer."""
        self.given.append(np.asarray(next(iter(given.values())))[0])
        return next(self._answers)


def interpolated(recorded: Any) -> dict[str, Any]:
    """Two of the demo's pictures between two frames with three people each, all of whose joints are seen."""
    for name in _NEEDLESS:
        sys.modules[name] = MagicMock()
    import demo_FCVG as demo
    from models.dwpose.dwpose_detector import DWposeDetector

    poses = []
    for name in ("left", "right"):
        points, sureness = recorded.followed(name)
        detector = DWposeDetector("", "")
        detector.pose_estimation = lambda _picture, found=points, sure=sureness: (
            found * (recorded.WIDTH, recorded.HEIGHT),
            sure.copy(),
        )
        poses.append((np.zeros((3, recorded.HEIGHT, recorded.WIDTH), np.uint8), detector(recorded.picture())))
    answers = iter(poses)
    demo.get_image_pose = lambda _picture: next(answers)
    pictures = demo.infer_poses_interp(recorded.picture(), recorded.picture(), num_frames=5)
    return {f"between {place}": pictures[1 + place].transpose(2, 0, 1) for place in (1, 2)}


def main() -> None:
    """Writes the file."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    checkout = Path(sys.argv[1])
    sys.path.insert(0, str(checkout))
    sys.path.append(str(HERE.parent.parent))
    from models.dwpose.dwpose_detector import DWposeDetector
    from models.dwpose.util import draw_pose
    from models.dwpose.wholebody import Wholebody

    from tests.fcvg import recorded

    whole_body = object.__new__(Wholebody)
    whole_body.session_det = Recorded((640, 640), [[recorded.detections()]])
    whole_body.session_pose = Recorded(recorded.CROP[::-1], (list(recorded.bins(person)) for person in count()))
    keypoints, scores = whole_body(recorded.picture())
    crops = np.stack(whole_body.session_pose.given)
    tensors = {
        "letterboxed": whole_body.session_det.given[0][:, ::EVERY, ::EVERY],
        "crops": crops[:3, :, ::EVERY, ::EVERY].astype(np.float32),
        "points": keypoints,
        "scores": scores,
    }
    for name, number in (("alone", 1), ("three", 3)):
        points, sureness = recorded.people(name, number)
        detector = DWposeDetector("", "")
        detector.pose_estimation = lambda _picture, found=points, sure=sureness: (
            found * (recorded.WIDTH, recorded.HEIGHT),
            sure.copy(),
        )
        pose = detector(recorded.picture())
        tensors[f"drawn {name}"] = draw_pose(pose, recorded.HEIGHT, recorded.WIDTH)
    tensors |= interpolated(recorded)
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    kept = {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in tensors.items()}
    about = {"commit": commit, "code": "Tian-one/FCVG"}
    save_file(kept, HERE / "fcvg" / "dwpose.safetensors", metadata=about)
    print({key: (tuple(value.shape), str(value.dtype)) for key, value in kept.items()})


if __name__ == "__main__":
    main()
