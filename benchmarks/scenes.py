"""Scene cuts on a whole film: `python -m benchmarks.scenes --clips DIR`.

Recall and false alarms of `cut_score` at several distances between the two pictures, beside FFmpeg's measures: the
mean absolute difference (mafd), and scdet's score, which takes off the difference before. Those two get the best
threshold at each distance; `cut_score` has one for all. DIR holds bbb_720p24.mp4 (Big Buck Bunny, 14315 frames).
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from importlib import metadata
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from codec_plugin.picture import Family, Layout, Picture
from codec_plugin.timeline.scenes import DEFAULT_SCENE_THRESHOLD, cut_score, thumbnail

FILM = "bbb_720p24.mp4"
RESULT = Path(__file__).parent / "results" / "scenes.json"
DISTANCES = (1, 2, 4, 8, 12, 24)
STRIDES = {1: 1, 2: 1, 4: 2, 8: 3, 12: 4, 24: 4}
WANTED_RECALL = 0.98

# The last frame before each of the 126 cuts: every step with an scdet score above 3.5 or little in common was looked
# at as a picture.
# fmt: off
LAST_BEFORE_CUT = (
    284, 377, 552, 1144, 1345, 1455, 1530, 1665, 1710, 1762, 1812, 1918, 2153, 2193, 2393, 2493,
    2703, 2830, 2900, 2962, 3044, 3512, 3577, 3743, 3859, 3894, 3918, 3988, 4031, 4068, 4226, 4265,
    4331, 4462, 4543, 4611, 4671, 4696, 4725, 4795, 4899, 4941, 4978, 5012, 5078, 5130, 5291, 5306,
    5370, 5429, 5517, 5578, 5808, 5843, 6017, 6047, 6087, 6127, 6167, 6207, 6227, 6267, 6307, 6347,
    6387, 6487, 6622, 6669, 6712, 6752, 6832, 7012, 7092, 7130, 7324, 7399, 7499, 7545, 7612, 7660,
    7731, 7768, 8023, 8084, 8153, 8944, 9008, 9079, 9147, 9378, 9419, 9467, 9506, 9574, 9583, 9592,
    9718, 9794, 9849, 9890, 9986, 10015, 10080, 10096, 10124, 10183, 10233, 10259, 10302, 10338,
    10408, 10452, 10467, 10573, 10612, 10636, 10841, 10998, 11311, 11348, 11523, 11559, 11611,
    11670, 13941, 14313,
)
# fmt: on
# Frames of a camera that moves faster than one can tell from cuts, and of a light that goes out: pairs across them
# count neither way.
DOUBTFUL = (8087, 8088, 8089, 8090, 10611, 13916, 13917, 13918, 13919)

Thumbnails = npt.NDArray[np.uint8]
Marks = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float64]


def read_thumbnails(path: Path) -> Thumbnails:
    """(frames, 90, 160) of the whole film."""
    layout = Layout(family=Family.GRAY, depth=8)
    small = []
    with av.open(path) as source:
        source.streams.video[0].thread_type = "AUTO"
        for frame in source.decode(video=0):
            rows = np.frombuffer(memoryview(frame.planes[0]), np.uint8).reshape(-1, frame.planes[0].line_size)
            luma = rows[: frame.height, : frame.width]
            small.append(thumbnail(Picture(planes=(luma,), layout=layout)))
    return np.array(small)


def crosses(marks: tuple[int, ...], *, frames: int, distance: int) -> npt.NDArray[np.int64]:
    """(frames - distance,): how many of the marked steps lie between frame i and frame i + distance."""
    steps = np.zeros(frames + 1, dtype=np.int64)
    steps[np.array(marks) + 1] = 1
    total = np.cumsum(steps)[:frames]
    return np.asarray(total[distance:] - total[: frames - distance])


def mean_differences(film: Thumbnails, *, distance: int) -> Scores:
    """(frames - distance,) mean absolute differences in levels."""
    pairs = zip(film[:-distance], film[distance:], strict=True)
    return np.array([np.abs(left.astype(np.int16) - right).mean() for left, right in pairs])


def scdet_scores(differences: Scores, *, distance: int) -> Scores:
    """What vf_scdet makes of differences, on the film thinned to every `distance`-th frame."""
    before = np.concatenate([np.zeros(distance), differences[:-distance]])
    return np.asarray(np.minimum(differences, np.abs(differences - before)))


def rates(scores: Scores, is_cut: Marks, *, threshold: float) -> tuple[float, float]:
    """Recall and false alarms, both as fractions of their pairs."""
    return float((scores[is_cut] >= threshold).mean()), float((scores[~is_cut] >= threshold).mean())


def measure(film: Thumbnails, *, distance: int) -> dict[str, float]:
    """One row of the table."""
    cuts = crosses(LAST_BEFORE_CUT, frames=len(film), distance=distance)
    is_clear = (crosses(DOUBTFUL, frames=len(film), distance=distance) == 0) & (cuts <= 1)
    chosen = np.flatnonzero(is_clear)[:: STRIDES[distance]]
    is_cut = cuts[chosen] == 1
    started = time.perf_counter()
    scores = np.array([cut_score(film[index], film[index + distance]) for index in chosen])
    spent = time.perf_counter() - started
    recall, false_alarms = rates(scores, is_cut, threshold=DEFAULT_SCENE_THRESHOLD)
    row = {
        "distance": distance,
        "pairs_with_cut": int(is_cut.sum()),
        "pairs_without": int((~is_cut).sum()),
        "recall": recall,
        "false_alarms": false_alarms,
        "ms_a_pair": 1000.0 * spent / len(chosen),
    }
    differences = mean_differences(film, distance=distance)
    for name, other in (("mafd", differences), ("scdet", scdet_scores(differences, distance=distance))):
        best = float(np.quantile(other[chosen][is_cut], 1.0 - WANTED_RECALL))
        row[f"{name}_threshold"] = best * 100.0 / 255.0
        row[f"{name}_false_alarms"] = rates(other[chosen], is_cut, threshold=best)[1]
    return row


def main() -> None:
    """Measures, prints the table, writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help=f"directory with {FILM}")
    arguments = parser.parse_args()
    film = read_thumbnails(arguments.clips / FILM)
    rows = []
    print("distance  cuts  others   recall  false alarms | at recall 0.98: mafd  scdet | ms a pair")
    for distance in DISTANCES:
        row = measure(film, distance=distance)
        rows.append(row)
        print(
            f"{distance:8d} {row['pairs_with_cut']:5.0f} {row['pairs_without']:7.0f}   {row['recall']:6.1%}"
            f"  {row['false_alarms']:12.2%} | {row['mafd_false_alarms']:20.2%} {row['scdet_false_alarms']:6.2%}"
            f" | {row['ms_a_pair']:.1f}"
        )
    versions = {name: metadata.version(name) for name in ("av", "numpy")}
    result = {
        "command": "python -m benchmarks.scenes --clips DIR",
        "film": FILM,
        "threshold": DEFAULT_SCENE_THRESHOLD,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": versions,
        "rows": rows,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
