"""The README's host commands, run word for word."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.bindings.hosts import ROOT, needs_ffmpeg, shell
from tests.bindings.test_gstfcvg import WHY_NOT as NO_GSTREAMER
from tests.synth import MP4, WEBM, Clip

README = (ROOT / "README.md").read_text(encoding="utf-8")
CLIP = Clip(kind=MP4, rate=Fraction(25), slots=10, size=(96, 64))
pytestmark = pytest.mark.host


def block(language: str, word: str) -> str:
    """The fenced block of a language that has this word in it."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    (found,) = [text for text in blocks if word in text]
    return found


def frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@needs_ffmpeg
def test_the_pipe_between_two_ffmpegs(tmp_path: Path) -> None:
    CLIP.write(tmp_path / "film.mp4")
    done = shell(block("sh", "codec-plugin pipe"), folder=tmp_path)

    assert done.returncode == 0, done.stderr
    assert frames_of(tmp_path / "doubled.mp4") == 20


@needs_ffmpeg
@pytest.mark.skipif(
    importlib.util.find_spec("vapoursynth") is None,
    reason="VapourSynth isn't installed here (its wheels need Python 3.12 or newer)",
)
def test_the_vapoursynth_script_through_vspipe(tmp_path: Path) -> None:
    (tmp_path / "double.vpy").write_text(block("python", "vsfcvg.fcvg("), encoding="utf-8")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    line = f"export PATH={path}; vapoursynth config >&2; {block('sh', 'vspipe')}"
    done = shell(line, folder=tmp_path, HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path / "config"))

    assert done.returncode == 0, done.stderr
    assert frames_of(tmp_path / "doubled.mp4") == 48


@pytest.mark.skipif(NO_GSTREAMER is not None, reason=NO_GSTREAMER or "")
def test_the_gstreamer_pipeline(tmp_path: Path) -> None:
    Clip(kind=WEBM, rate=Fraction(25), slots=10, size=(96, 64)).write(tmp_path / "film.webm")
    line = f"export PATH={tmp_path / '.tools'}:/usr/bin:$PATH GST_REGISTRY={tmp_path / 'registry'}; "
    done = shell(line + block("sh", "gst-launch-1.0"), folder=tmp_path)

    assert done.returncode == 0, done.stderr
    assert frames_of(tmp_path / "doubled.webm") == 20
