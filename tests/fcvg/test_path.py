"""The way that lines and poses take from one end of a clip to the other: named, or from a file."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from codec_plugin.cli.engine_flags import ENGINE_FLAGS, flagged_options
from codec_plugin.errors import OptionError
from fcvg.conditions.path import PATH_NAMES, MotionPath, path_of
from fcvg.options import FcvgOptions

TIMES = st.fractions(0, 1, max_denominator=1000)


def written(folder: Path, text: str) -> Path:
    file = folder / "path.txt"
    file.write_text(text)
    return file


@pytest.mark.parametrize("name", PATH_NAMES)
@given(times=st.lists(TIMES, min_size=2, max_size=6))
def test_named_paths_are_monotone_and_exact_at_both_ends(name: str, times: list[Fraction]) -> None:
    path = path_of(name)
    progress = [path(time) for time in sorted(times)]

    assert path(Fraction(0)) == 0
    assert path(Fraction(1)) == 1
    assert all(0 <= before <= after <= 1 for before, after in pairwise(progress))


@given(shares=st.lists(st.tuples(TIMES, TIMES), max_size=6), time=TIMES)
def test_a_clip_from_its_other_end_on_the_mirrored_path_is_the_clip_in_reverse(
    shares: list[tuple[Fraction, Fraction]], time: Fraction
) -> None:
    inner = sorted({share for share, _ in shares} - {Fraction(0), Fraction(1)})
    heights = sorted(height for _, height in shares)[: len(inner)]
    knots = ((Fraction(0), Fraction(0)), *zip(inner, heights, strict=True), (Fraction(1), Fraction(1)))

    for path in (MotionPath(name="own", knots=knots), *map(path_of, PATH_NAMES)):
        assert path.mirrored()(time) == 1 - path(1 - time)
        assert path.mirrored().mirrored() == path


def test_linear_and_ease_in_out_are_their_own_mirror_images_and_the_other_two_each_others() -> None:
    mirrors = {name: path_of(name).mirrored().name for name in PATH_NAMES}

    assert mirrors == {
        "linear": "linear",
        "ease-in": "ease-out",
        "ease-out": "ease-in",
        "ease-in-out": "ease-in-out",
    }


def test_a_file_is_followed_in_straight_lines_and_may_stand_still(tmp_path: Path) -> None:
    file = written(tmp_path, "# time progress\n0 0\n\n0.25, 0.5  # quick\n0.5\t0.5\n1 1.000000000000000000e+00\n")
    path = path_of(str(file))

    wanted = {"0": "0", "1/8": "1/4", "1/4": "1/2", "2/5": "1/2", "3/4": "3/4", "1": "1"}
    assert {time: str(path(Fraction(time))) for time in wanted} == wanted


def test_thirds_in_a_file_are_thirds(tmp_path: Path) -> None:
    path = path_of(str(written(tmp_path, "0 0\n0.333333333333333 0.666666666667\n1 1\n")))

    assert path(Fraction(1, 3)) == Fraction(2, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 0\n0.5 0.6\n0.7 0.5\n1 1\n", r"path\.txt, line 3: progress goes back from 0\.6 to 0\.5"),
        ("0 0\n0.5 0.6\n0.5 0.7\n1 1\n", r"path\.txt, line 3: time 0\.5 doesn't come after 0\.5"),
        ("0 0\n0.5 1.2\n1 1\n", r"line 2: the progress must be from 0 to 1, not 1\.2"),
        ("0 0\n-0.5 0\n1 1\n", r"line 2: the time must be from 0 to 1, not -0\.5"),
        ("0 0\nnan 0\n1 1\n", r"line 2: the time must be from 0 to 1, not nan"),
        ("0 0\n1e999999999 0\n1 1\n", r"line 2: the time must be from 0 to 1"),
        ("time progress\n0 0\n1 1\n", r"line 1: the time 'time' is no number"),
        ("0 0\n0.5\n1 1\n", r"line 2: 1 number\(s\) where there should be a time and a progress"),
        ("0 0\n0.5 0.5 0.5\n1 1\n", r"line 2: 3 number\(s\)"),
        ("0.1 0\n1 1\n", r"line 1: a path begins with 0 0, not with 0\.1 0"),
        ("0 0\n0.9 0.9 # near\n", r"line 2: a path ends with 1 1, not with 0\.9 0\.9"),
        ("0 0\n", r"has 1 line\(s\) of numbers: a path has two at least"),
        ("", r"has 0 line\(s\) of numbers"),
    ],
)
def test_a_file_that_is_no_path_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        FcvgOptions(path=str(written(tmp_path, text)))


def test_files_that_are_no_text_or_far_too_long_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "path.txt"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OptionError, match="is no text file"):
        path_of(str(file))

    file.write_bytes(b"# " * (1 << 20))
    with pytest.raises(OptionError, match="is too long for a path file"):
        path_of(str(file))


@pytest.mark.parametrize(
    ("text", "meant"), [("ease-inout", "ease-in-out"), ("Ease_In", "ease-in"), ("liner", "linear")]
)
def test_a_name_that_is_misspelt_is_answered_with_the_one_that_was_meant(text: str, meant: str) -> None:
    with pytest.raises(OptionError, match=rf"{text}.*did you mean {meant}\?"):
        FcvgOptions(path=text)


def test_the_flag_keeps_a_file_by_its_whole_name_and_a_name_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, str] = {}

    @click.command()
    @ENGINE_FLAGS
    def command(**given: Any) -> None:
        seen.update(flagged_options(given))

    written(tmp_path, "0 0\n1 1\n")
    monkeypatch.chdir(tmp_path)
    for text, kept in (("path.txt", str(tmp_path / "path.txt")), ("ease-in", "ease-in"), ("nosuch", "nosuch")):
        assert CliRunner().invoke(command, ["--path", text, "--profile", "8-steps"]).exit_code == 0
        assert seen == {"fcvg.path": kept, "fcvg.profile": "8-steps"}


def test_a_name_like_no_other_is_answered_with_all_of_them(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"linear, ease-in, ease-out, ease-in-out or a file(?!.*did you mean)"):
        FcvgOptions(path="zigzag")
    with pytest.raises(OptionError, match="none of them"):
        FcvgOptions(path=str(tmp_path))
