"""VapourSynth: the real core and vspipe; formats, properties, random access, and what can go wrong."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from av.video.frame import VideoFrame

from codec_plugin import RestoringDecoder, made_by
from codec_plugin.grids import Multiply, Resample
from codec_plugin.options import Duplicates, RestoreOptions
from tests.bindings.broken_engine import BrokenEngine
from tests.bindings.hosts import CLIP, ENVIRONMENT, digests, y4m_frames
from tests.synth import picture, planes_of

WHY_NOT = "VapourSynth isn't installed here (its wheels need Python 3.12 or newer)"
vs = pytest.importorskip("vapoursynth", reason=WHY_NOT, exc_type=ImportError)
vsfcvg = pytest.importorskip("vsfcvg")
pytestmark = pytest.mark.host

RATE = Fraction(25)
NAMES = {"gray": "GRAY8", "gray16le": "GRAY16", "yuv420p": "YUV420P8", "yuv422p10le": "YUV422P10"}
NAMES |= {"yuv444p16le": "YUV444P16", "yuv420p12le": "YUV420P12", "yuv411p": "YUV411P8", "gbrp": "RGB24"}
NAMES |= {"gbrp10le": "RGB30", "gbrp16le": "RGB48"}


def clip_of(frames: Sequence[VideoFrame], *, rate: Fraction = RATE, name: str = "YUV420P8") -> object:
    """A VapourSynth clip with these frames' samples."""
    length, first = len(frames), frames[0]
    blank = vs.core.std.BlankClip(
        width=first.width,
        height=first.height,
        format=getattr(vs, name),
        length=length,
        fpsnum=rate.numerator,
        fpsden=rate.denominator,
        keep=True,
    )

    def filled(n: int, f: object) -> object:
        made = f.copy()  # type: ignore[attr-defined]
        planes = planes_of(frames[n])
        order = (2, 0, 1) if name.startswith("RGB") else range(len(planes))
        for index, plane in enumerate(order):
            np.asarray(made[index])[:] = planes[plane]
        return made

    return vs.core.std.ModifyFrame(blank, blank, filled)


def pictures(count: int, *, pixel_format: str = "yuv420p", scenes: Sequence[int] = ()) -> list[VideoFrame]:
    """Moving pictures; a new scene from each of `scenes` on."""
    return [
        picture(n, scene=sum(n >= start for start in scenes), size=(96, 64), pixel_format=pixel_format)
        for n in range(count)
    ]


def samples(frame: object) -> list[npt.NDArray[np.generic]]:
    return [np.array(frame[index]) for index in range(frame.format.num_planes)]  # type: ignore[attr-defined, index]


def same(one: object, other: object) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(samples(one), samples(other), strict=True))


def makers(clip: object) -> list[str | None]:
    return [frame.props.get("FCVGMadeBy") for frame in clip.frames()]  # type: ignore[attr-defined]


# What comes out.


@pytest.mark.parametrize("pixel_format", NAMES)
def test_a_clip_is_doubled_in_its_own_format_and_its_frames_stay(pixel_format: str) -> None:
    clip = clip_of(pictures(6, pixel_format=pixel_format), name=NAMES[pixel_format])

    out = vsfcvg.fcvg(clip, engine="blend")

    assert (out.num_frames, out.fps, out.format.id) == (12, 2 * RATE, clip.format.id)
    assert makers(out) == [None, "blend"] * 5 + [None, "hold"]
    for n in range(6):
        assert same(out.get_frame(2 * n), clip.get_frame(n))
    for left, middle, right in zip(*(samples(out.get_frame(n)) for n in (4, 5, 6)), strict=True):
        assert np.abs(middle.astype(float) - (left.astype(float) + right) / 2).max() <= 1


@pytest.mark.parametrize("name", ["GRAYS", "GRAYH", "RGBS", "RGBH", "YUV444PS", "YUV420PS"])
def test_float_clips_are_filled_within_a_sixteenth_bit_and_keep_what_lies_outside_the_range(name: str) -> None:
    clip = vs.core.std.BlankClip(format=getattr(vs, name), width=64, height=48, length=3, keep=True)

    def filled(n: int, f: object) -> object:
        made = f.copy()  # type: ignore[attr-defined]
        y, x = np.mgrid[:48, :64]
        for index in range(made.format.num_planes):
            plane = np.asarray(made[index])
            low, high = (-0.4, 0.4) if index and name.startswith("YUV") else (0.0, 1.0)
            wave = 0.5 + 0.45 * np.sin((x + 2 * n) / 9 + y / 13 + index)
            plane[:] = (low + (high - low) * wave)[: plane.shape[0], : plane.shape[1]]
        return made

    clip = vs.core.std.ModifyFrame(clip, clip, filled)
    out = vsfcvg.fcvg(clip, engine="blend", sc=False)

    halves = name.endswith("H")
    for left, middle, right in zip(*(samples(out.get_frame(n)) for n in (0, 1, 2)), strict=True):
        assert np.abs(middle.astype(float) - (left.astype(float) + right) / 2).max() <= (1e-3 if halves else 1e-4)
    assert same(out.get_frame(2), clip.get_frame(1))


def test_frames_are_those_that_the_restoring_decoder_makes() -> None:
    frames = pictures(8, scenes=[4])
    for number, frame in enumerate(frames):
        frame.pts, frame.time_base = number, 1 / RATE
    for verb, words in ((Multiply(3), {"factor_num": 3}), (Resample(Fraction(40)), {"fps_num": 40})):
        options = RestoreOptions(engine="dis", rate=RATE)
        told = [
            (made_by(frame), [np.array(plane) for plane in planes_of(frame)])
            for frame in RestoringDecoder([copy_of(frame) for frame in frames], verb=verb, options=options)
        ]
        out = vsfcvg.fcvg(clip_of(pictures(8, scenes=[4])), engine="dis", **words)

        assert out.num_frames == len(told)
        for (by, planes), frame in zip(told, out.frames(), strict=True):
            assert frame.props.get("FCVGMadeBy") == by
            assert all(np.array_equal(a, b) for a, b in zip(planes, samples(frame), strict=True))


def copy_of(frame: VideoFrame) -> VideoFrame:
    copied = VideoFrame.from_ndarray(frame.to_ndarray(), format=frame.format.name)
    copied.pts, copied.time_base = frame.pts, frame.time_base
    return copied


def test_frames_may_be_asked_for_in_any_order_and_all_at_once() -> None:
    clip = clip_of(pictures(12))
    in_order = [samples(frame) for frame in vsfcvg.fcvg(clip, factor_num=4, engine="dis").frames()]
    order = list(range(48))
    random.Random(7).shuffle(order)

    out = vsfcvg.fcvg(clip, factor_num=4, engine="dis")
    for n, future in [(n, out.get_frame_async(n)) for n in order]:
        assert all(np.array_equal(a, b) for a, b in zip(in_order[n], samples(future.result()), strict=True))


def test_a_fractional_factor_is_a_rate() -> None:
    out = vsfcvg.fcvg(clip_of(pictures(10)), factor_num=5, factor_den=2, engine="blend")

    assert (out.num_frames, out.fps) == (25, RATE * 5 / 2)
    assert makers(out)[:6] == [None, "blend", "blend", "blend", "blend", None]


def test_durations_times_and_rate_are_those_of_the_new_clip() -> None:
    clip = clip_of(pictures(4)).std.SetFrameProps(_AbsoluteTime=1.0)  # type: ignore[attr-defined]
    out = vsfcvg.fcvg(clip, factor_num=2, engine="blend")

    for frame in out.frames():
        assert Fraction(frame.props["_DurationNum"], frame.props["_DurationDen"]) == Fraction(1, 50)
    assert out.get_frame(1).props["_AbsoluteTime"] == pytest.approx(1.02)


# Scene cuts.


def test_a_cut_is_found_and_nothing_made_across_it() -> None:
    clip = clip_of(pictures(8, scenes=[4]))

    assert makers(vsfcvg.fcvg(clip, engine="blend"))[7] == "hold"
    assert "hold" not in makers(vsfcvg.fcvg(clip, engine="blend", sc=False))[:-1]
    assert "hold" not in makers(vsfcvg.fcvg(clip, engine="blend", sc_threshold=100))[:-1]
    assert makers(vsfcvg.fcvg(clip, engine="blend", sc_threshold=0)).count("hold") == 8


@pytest.mark.parametrize(("prop", "at"), [("_SceneChangeNext", 3), ("_SceneChangePrev", 4)])
def test_the_scripts_own_cut_marks_decide(prop: str, at: int) -> None:
    def marked(clip: object, value: int) -> object:
        here = clip[at : at + 1].std.SetFrameProps(**{prop: value})  # type: ignore[index]
        return clip[:at] + here + clip[at + 1 :]  # type: ignore[index]

    same_scene, two_scenes = clip_of(pictures(8)), clip_of(pictures(8, scenes=[4]))
    out = vsfcvg.fcvg(marked(same_scene, 1), factor_num=3, engine="blend")
    assert makers(out)[9:12] == [None, "hold", "hold"]
    assert makers(vsfcvg.fcvg(marked(two_scenes, 0), engine="blend"))[7] == "blend"
    assert makers(vsfcvg.fcvg(marked(same_scene, 1), engine="blend", sc=False))[7] == "blend"
    marks = [n for n, frame in enumerate(out.frames()) if frame.props.get(prop)]
    assert marks == ([11] if prop == "_SceneChangeNext" else [12])  # a cut stays one cut


# Repeats.


def test_repeats_are_made_again_as_on_the_command_line(tmp_path: Path) -> None:
    frozen = {20: 19, 21: 19, 40: 39}
    frames = pictures(60)
    clip = clip_of([frames[frozen.get(n, n)] for n in range(60)])

    out = vsfcvg.restore(clip, engine="dis")

    assert [n for n, by in enumerate(makers(out)) if by] == sorted(frozen)
    assert (out.num_frames, out.fps) == (clip.num_frames, clip.fps)  # type: ignore[attr-defined]
    file = tmp_path / "frozen.y4m"
    with file.open("wb") as sink:
        clip.output(sink, y4m=True)  # type: ignore[attr-defined]
    options = RestoreOptions(engine="dis", duplicates=Duplicates.FILL)
    offline = list(RestoringDecoder(file, options=options))
    for n, (frame, other) in enumerate(zip(out.frames(), offline, strict=True)):
        assert all(np.array_equal(a, b) for a, b in zip(samples(frame), planes_of(other), strict=True)), n
    assert same(out.get_frame(21), list(out.frames())[21])


def test_a_still_clip_and_one_without_repeats_stay_as_they_are() -> None:
    moving, still = clip_of(pictures(30)), clip_of(pictures(1) * 30)
    for clip in (moving, still):
        out = vsfcvg.restore(clip, engine="blend")
        assert not any(makers(out))
        assert all(same(a, b) for a, b in zip(out.frames(), clip.frames(), strict=True))  # type: ignore[attr-defined]


# Bad use.


def test_a_clip_of_one_frame_is_held() -> None:
    out = vsfcvg.fcvg(clip_of(pictures(1)), factor_num=3, engine="dis")

    assert makers(out) == [None, "hold", "hold"]
    assert same(out.get_frame(0), out.get_frame(2))
    assert makers(vsfcvg.restore(clip_of(pictures(1)), engine="dis")) == [None]


def test_a_clip_whose_format_or_size_varies_is_refused() -> None:
    clip = clip_of(pictures(3))
    for other in ({"width": 32}, {"format": vs.RGB24}):
        mixed = vs.core.std.Splice([clip, vs.core.std.BlankClip(clip, **other)], mismatch=True)
        for function in (vsfcvg.fcvg, vsfcvg.restore):
            with pytest.raises(vs.Error, match="format and size must not vary"):
                function(mixed, engine="blend")


def test_a_clip_without_a_rate_takes_a_whole_factor_and_its_frames_durations() -> None:
    clip = clip_of(pictures(4))
    slow = vs.core.std.AssumeFPS(clip, fpsnum=10)
    varying = vs.core.std.Splice([clip, slow], mismatch=True)
    assert varying.fps == 0

    out = vsfcvg.fcvg(varying, engine="blend")
    assert (out.num_frames, out.fps) == (16, 0)
    durations = [Fraction(f.props["_DurationNum"], f.props["_DurationDen"]) for f in out.frames()]
    assert durations == [Fraction(1, 50)] * 8 + [Fraction(1, 20)] * 8
    for words in ({"fps_num": 60}, {"factor_num": 5, "factor_den": 2}):
        with pytest.raises(vs.Error, match=r"frame rate varies .*AssumeFPS"):
            vsfcvg.fcvg(varying, engine="blend", **words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"engine": "nonesuch"}, "no engine is called 'nonesuch'"),
        ({"factor_num": 1}, "factor must be from 2 to 64"),
        ({"factor_num": 0}, "factor_num must be a whole number above 0"),
        ({"factor_num": 2.5}, "factor_num must be a whole number above 0"),
        ({"factor_den": -1}, "factor_den must be"),
        ({"fps_den": 1}, "fps_den without fps_num"),
        ({"fps_num": 5000}, "fps must be from"),
        ({"engine": "dis", "engine_options": {"dis.nonesuch": "1"}}, "nonesuch"),
        ({"sc_threshold": 101}, "scene_threshold must be from 0 to 100"),
    ],
)
def test_bad_arguments_are_vapoursynth_errors(words: dict[str, object], message: str) -> None:
    with pytest.raises(vs.Error, match=f"vsfcvg.fcvg: .*{message}"):
        vsfcvg.fcvg(clip_of(pictures(3)), **{"engine": "blend", **words})


def test_what_is_no_clip_or_no_known_format_is_a_vapoursynth_error() -> None:
    with pytest.raises(vs.Error, match="must be a video node, not str"):
        vsfcvg.fcvg("film.mp4")
    odd = vs.core.query_video_format(vs.YUV, vs.INTEGER, 11, 1, 1)
    with pytest.raises(vs.Error, match="YUV420P11 is no format"):
        vsfcvg.fcvg(vs.core.std.BlankClip(format=odd.id, length=2), engine="blend")


def test_missing_weights_are_told_when_the_script_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    from codec_plugin import engine  # here: its table is what is changed

    monkeypatch.setitem(engine._BUILT_IN, "lacking", "tests.bindings.broken_engine:LacksWeights")
    with pytest.raises(vs.Error, match=r"vsfcvg.fcvg: the weights of lacking are missing; fetch them"):
        vsfcvg.fcvg(clip_of(pictures(3)), engine="lacking")


def test_an_engine_that_throws_is_an_error_of_that_frame_and_the_others_live() -> None:
    out = vsfcvg.fcvg(clip_of(pictures(6)), engine=BrokenEngine(after=2))

    for n in (0, 1, 2, 3):
        out.get_frame(n)
    with pytest.raises(vs.Error, match=r"engine broken failed: ZeroDivisionError: it broke"):
        out.get_frame(5)
    assert out.get_frame(6).width == 96
    assert out.get_frame(1).props["FCVGMadeBy"] == "broken"


# vspipe.


def test_vspipe_runs_a_script(tmp_path: Path) -> None:
    script = tmp_path / "double.vpy"
    script.write_text(
        "import vapoursynth as vs\nimport vsfcvg\n"
        "clip = vs.core.std.BlankClip(width=96, height=64, format=vs.YUV420P8, length=10, fpsnum=25, fpsden=1)\n"
        "vsfcvg.fcvg(clip, factor_num=2, engine='dis').set_output()\n"
    )
    tools = Path(sys.executable).parent
    environment = {**ENVIRONMENT, "XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path)}
    subprocess.run([tools / "vapoursynth", "config"], env=environment, check=True, capture_output=True)
    done = subprocess.run(
        [tools / "vspipe", "-c", "y4m", script, "-"], env=environment, capture_output=True, check=False, timeout=60
    )

    assert done.returncode == 0, done.stderr
    frames = y4m_frames(done.stdout, tmp_path)
    assert len(frames) == 20
    assert b"F50:1" in done.stdout[:100]
    script.write_text(script.read_text().replace("'dis'", "'nonesuch'"))
    bad = subprocess.run([tools / "vspipe", script, "-"], env=environment, capture_output=True, check=False, timeout=60)
    assert bad.returncode != 0
    assert b"no engine is called 'nonesuch'" in bad.stderr


def test_the_clip_of_all_hosts_comes_out_as_from_the_command_line(tmp_path: Path) -> None:
    file = replace(CLIP, rate=RATE).write(tmp_path / "clip.mkv")
    frames = list(RestoringDecoder(file, verb=Multiply(2), options=RestoreOptions(engine="dis", rate=RATE)))
    sources = [frame for frame in frames if made_by(frame) is None]
    out = vsfcvg.fcvg(clip_of(sources), engine="dis")

    assert out.num_frames == len(frames) == 2 * CLIP.slots
    for made, frame in zip(out.frames(), frames, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(samples(made), planes_of(frame), strict=True))
    assert len(set(digests(frames))) == 2 * CLIP.slots - 1  # the last is held
