"""Makes tests/golden/gluestick/pairs.safetensors from a checkout of the public GlueStick code.

    python tests/golden/make_gluestick.py PATH_OF_PUBLIC_CHECKOUT

It needs torch, OpenCV, safetensors, and the checkout's own omegaconf, scikit-learn and pytlsd. The checkout is run as
it is, but that its LSD is replaced by the segments that tests/fcvg/scenes.py knows of, and its weights by that
module's; nothing of it is kept but the numbers. The same pictures, segments and weights are given to ours by
tests/fcvg/test_gluestick_parity.py.
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
EVERY = 64
"""Of so many nodes, one's descriptor is kept."""


def known_scenes() -> Any:
    """tests/fcvg/scenes.py, without anything of ours on the import path."""
    spec = importlib.util.spec_from_file_location("scenes", HERE.parent / "fcvg" / "scenes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["scenes"] = module
    spec.loader.exec_module(module)
    return module


def public_pipeline(scenes: Any, limits: Any) -> Any:
    """The public classes with our weights, configured as FCVG does."""
    from gluestick.models.two_view_pipeline import TwoViewPipeline

    torch.hub.load_state_dict_from_url = lambda *_, **__: {}  # SuperPoint's own weights, where the checkout lacks them
    pipeline = TwoViewPipeline(
        {
            "name": "two_view_pipeline",
            "use_lines": True,
            "extractor": {
                "name": "wireframe",
                "sp_params": {"force_num_keypoints": False, "max_num_keypoints": limits.points},
                "wireframe_params": {"merge_points": True, "merge_line_endpoints": True},
                "max_n_lines": limits.lines,
            },
            "matcher": {"name": "gluestick", "weights": None, "trainable": False},
            "ground_truth": {"from_pose_depth": False},
        }
    ).eval()
    scenes.weighted(pipeline.extractor.sp, "superpoint")
    scenes.weighted(pipeline.matcher, "gluestick")
    return pipeline


@torch.no_grad()
def matched(scenes: Any, index: int) -> tuple[dict[str, torch.Tensor], Any]:
    """One pair's numbers, and the pipeline that made them."""
    from gluestick import numpy_image_to_torch
    from gluestick.models import wireframe

    sides = scenes.pair_of(index)
    known = {side.gray.tobytes(): side for side in sides}
    wireframe.lsd = lambda gray, scale: scenes.rows_of(known[gray.tobytes()], scale)
    pipeline = public_pipeline(scenes, scenes.limits_of(index))
    made = pipeline({f"image{number}": numpy_image_to_torch(side.gray)[None] for number, side in enumerate(sides)})
    numbers = {
        "matches": made["matches0"][0].to(torch.int16),
        "scores": made["match_scores0"][0],
        "line_matches": made["line_matches0"][0].to(torch.int16),
        "line_scores": made["line_match_scores0"][0],
    }
    for number, which in enumerate(scenes.SIDES):
        numbers[f"{which}.places"] = made[f"keypoints{number}"][0]
        numbers[f"{which}.node_scores"] = made[f"keypoint_scores{number}"][0][::EVERY].contiguous()
        numbers[f"{which}.descriptors"] = made[f"descriptors{number}"][0][:, ::EVERY].contiguous()
        numbers[f"{which}.lines"] = made[f"lines{number}"][0]
    print(index, len(numbers["matches"]), "nodes,", len(numbers["line_matches"]), "lines; matched:", end=" ")
    print(*(int((numbers[name] >= 0).sum()) for name in ("matches", "line_matches")))
    return {f"{index}.{name}": value for name, value in numbers.items()}, pipeline


def digest(module: Any) -> str:
    """Of a network's keys and shapes."""
    lines = sorted(f"{key} {tuple(value.shape)}\n" for key, value in module.state_dict().items())
    return f"{len(lines)} {hashlib.sha256(''.join(lines).encode()).hexdigest()}"


def commit_of(checkout: Path) -> str:
    """The commit that is checked out."""
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Writes the file."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    checkout = Path(sys.argv[1])
    sys.path.insert(0, str(checkout))
    torch.set_num_threads(1)
    scenes = known_scenes()
    about = {"commit": commit_of(checkout), "code": "cvg/GlueStick", "torch": torch.__version__}
    tensors: dict[str, torch.Tensor] = {}
    for index in range(scenes.PAIRS):
        numbers, pipeline = matched(scenes, index)
        tensors |= numbers
        about |= {"superpoint": digest(pipeline.extractor.sp), "gluestick": digest(pipeline.matcher)}
    (HERE / "gluestick").mkdir(exist_ok=True)
    save_file(tensors, HERE / "gluestick" / "pairs.safetensors", metadata=about)


if __name__ == "__main__":
    main()
