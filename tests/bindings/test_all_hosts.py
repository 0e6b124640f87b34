"""One clip through the command line, the pipe, VapourSynth and GStreamer: the same frames from all of them."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from codec_plugin.engine import engine_status
from tests.bindings.hosts import needs_ffmpeg, shell
from tests.bindings.test_gstfcvg import WHY_NOT as NO_GSTREAMER
from tests.bindings.test_gstfcvg import environment as environment
from tests.synth import MP4, Clip, planes_of

Film = npt.NDArray[np.int16]
"""Luma and chroma of each frame in a row, (frames, samples)."""

CLIP = Clip(kind=MP4, rate=Fraction(25), slots=14, size=(96, 64), scene_of=lambda slot: slot // 8)
"""14 frames, a scene cut after the eighth; B-frames."""
FACTOR = 3
TOLERANCE = {"dis": 0, "rife": 1}
"""Levels of 255. `rife` computes in floats, whose sums depend on the threads' order."""

no_vapoursynth = importlib.util.find_spec("vapoursynth") is None
HOSTS = [
    pytest.param("pipe", marks=needs_ffmpeg),
    pytest.param(
        "vapoursynth",
        marks=pytest.mark.skipif(
            no_vapoursynth, reason="VapourSynth isn't installed here (its wheels need Python 3.12 or newer)"
        ),
    ),
    pytest.param("gstreamer", marks=pytest.mark.skipif(NO_GSTREAMER is not None, reason=NO_GSTREAMER or "")),
]


def film(path: Path) -> Film:
    """All samples of a file."""
    with av.open(str(path)) as container:
        return np.stack(
            [
                np.concatenate([p.ravel() for p in planes_of(frame)]).astype(np.int16)
                for frame in container.decode(video=0)
            ]
        )


def through_pipe(source: Path, engine: str, folder: Path, environment: dict[str, str]) -> Film:
    """With the real ffmpeg at both ends."""
    line = (
        f"ffmpeg -v error -i {source} -f yuv4mpegpipe - | codec-plugin pipe -q --factor {FACTOR} --engine {engine} "
        "| ffmpeg -v error -i - -c:v ffv1 piped.mkv"
    )
    done = shell(line, folder=folder)
    assert done.returncode == 0, done.stderr
    return film(folder / "piped.mkv")


def through_vapoursynth(source: Path, engine: str, folder: Path, environment: dict[str, str]) -> Film:
    """With the real core."""
    import vsfcvg
    from tests.bindings.test_vsfcvg import clip_of, samples

    with av.open(str(source)) as container:
        frames = list(container.decode(video=0))
    out = vsfcvg.fcvg(clip_of(frames), factor_num=FACTOR, engine=engine)  # type: ignore[arg-type]
    return np.stack([np.concatenate([p.ravel() for p in samples(f)]).astype(np.int16) for f in out.frames()])


def through_gstreamer(source: Path, engine: str, folder: Path, environment: dict[str, str]) -> Film:
    """With gst-launch-1.0, from the same samples as YUV4MPEG2."""
    made = shell(f"ffmpeg -v error -i {source} -f yuv4mpegpipe plain.y4m", folder=folder)
    assert made.returncode == 0, made.stderr
    line = f"filesrc location={folder}/plain.y4m ! y4mdec ! fcvg factor={FACTOR} engine={engine} "
    line += f"! filesink location={folder}/out.yuv"
    done = subprocess.run(["gst-launch-1.0", "-q", *line.split()], env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    width, height = CLIP.size
    return np.fromfile(folder / "out.yuv", np.uint8).reshape(-1, width * height * 3 // 2).astype(np.int16)


THROUGH: dict[str, Callable[[Path, str, Path, dict[str, str]], Film]] = {
    "pipe": through_pipe,
    "vapoursynth": through_vapoursynth,
    "gstreamer": through_gstreamer,
}


@pytest.mark.host
@pytest.mark.parametrize("engine", TOLERANCE)
@pytest.mark.parametrize("host", HOSTS)
def test_frames_are_those_of_the_command_line(
    host: str, engine: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    if (missing := engine_status(engine).missing) is not None:
        pytest.skip(missing)
    source = CLIP.write(tmp_path / "clip.mp4")
    line = f"codec-plugin upsample {source} cli.mkv --factor {FACTOR} --engine {engine} --encoder ffv1"
    done = shell(line, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    expected = film(tmp_path / "cli.mkv")

    got = THROUGH[host](source, engine, tmp_path, environment)

    assert len(got) == len(expected) == FACTOR * CLIP.slots
    assert np.abs(got - expected).max() <= TOLERANCE[engine]
    held = [n for n in range(1, len(got)) if np.array_equal(got[n], got[n - 1])]
    assert len(held) == 2 + 2  # beside the cut, and after the last frame
