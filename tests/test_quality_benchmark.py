"""The quality benchmark: from a folder of frames, or clips, to rows with intervals, sheets, and what it couldn't do."""

from __future__ import annotations

import json
import re
import shlex
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from benchmarks import results
from benchmarks.__main__ import main
from benchmarks.cases import Gap
from benchmarks.footage import LAYOUT, plane_rows
from benchmarks.peers import EnginePeer, engine_peer, peers
from benchmarks.quality.bootstrap import difference_of, interval_of
from benchmarks.quality.command import typed_command
from benchmarks.quality.dataset import UnusableClip, find_dataset, numbered_frames, read_clip
from benchmarks.quality.film import FilmPeer, halvings
from benchmarks.quality.networks import frechet_distance
from benchmarks.quality.table import difference_lines
from codec_plugin.errors import EngineError, OptionError
from codec_plugin.picture import Picture
from tests.makers import picture, write_clip

README = Path(results.__file__).with_name("README.md")
SIZE = (64, 64)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Toy networks spend their time waiting for each other's threads."""
    if find_spec("torch") is None:
        yield
        return
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def write_frames(folder: Path, numbers: Sequence[int], *, size: tuple[int, int] = SIZE, suffix: str = "png") -> Path:
    """A clip as a folder of frames, in which a texture moves."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        rgb = picture(number, size=size).to_ndarray(format="bgr24")
        cv2.imwrite(str(folder / f"frame_{number:04}.{suffix}"), rgb)
    return folder


def quality(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["quality", *(str(argument) for argument in arguments)])


def rows_of(path: Path) -> dict[tuple[str, int, str], Any]:
    rows = json.loads(path.read_text())["rows"]
    return {(row["clip"], row["dropped"], row["peer"]): row for row in rows}


def excerpt(count: int) -> list[Picture]:
    """Flat frames that brighten evenly."""
    planes = [[np.full(shape, level, np.uint8) for shape in ((64, 64), (32, 32), (32, 32))] for level in range(count)]
    return [
        Picture(planes=(y + np.uint8(60), u * 0 + np.uint8(128), v * 0 + np.uint8(128)), layout=LAYOUT, key=index)
        for index, (y, u, v) in enumerate(planes)
    ]


def script(folder: Path, name: str, network: Any) -> Path:
    """A network as a TorchScript file."""
    import torch

    path = folder / name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # published networks come in this form
        torch.jit.script(network).save(str(path))
    return path


def readme_command() -> list[str]:
    """The command for a dataset, as benchmarks/README.md has it, braces expanded as a shell does."""
    line = next(line for line in README.read_text().splitlines() if "--dataset DATASET" in line)
    words: list[str] = []
    for word in shlex.split(line):
        braces = re.search(r"\{([^}]*)\}", word)
        words += [word.replace(braces[0], each) for each in braces[1].split(",")] if braces else [word]
    assert words[:4] == ["python", "-m", "benchmarks", "quality"]
    return words[4:]


def test_an_interval_holds_the_mean_and_grows_with_what_sets_the_groups_apart() -> None:
    random = np.random.default_rng(5)
    alike = [random.normal(30, 0.1, size=7) for _ in range(20)]
    apart = [group + shift for group, shift in zip(alike, random.normal(0, 3, size=20), strict=True)]

    narrow, wide = interval_of(alike, seed=1), interval_of(apart, seed=1)

    assert narrow is not None
    assert wide is not None
    assert narrow.low < np.concatenate(alike).mean() < narrow.high
    assert wide.high - wide.low > 5 * (narrow.high - narrow.low)
    # The textbook's interval of the mean of 20 groups.
    spread = 2 * 1.96 * np.std([group.mean() for group in apart], ddof=1) / 20**0.5
    assert wide.high - wide.low == pytest.approx(spread, rel=0.2)


def test_the_same_seed_gives_the_same_interval_and_one_group_gives_none() -> None:
    groups = list(np.random.default_rng(0).normal(size=(9, 2)))

    assert interval_of(groups, seed=3) == interval_of(groups, seed=3) != interval_of(groups, seed=4)
    assert interval_of(groups[:1], seed=3) is None


def test_a_constant_lead_is_certain_however_far_the_groups_lie_apart() -> None:
    theirs = [np.array([20.0, 25.0]), np.array([40.0]), np.array([31.0, 30.0])]

    found = difference_of([group + 0.5 for group in theirs], theirs, seed=0)

    assert found.mean == 0.5
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == (0.5, 0.5)


@pytest.mark.parametrize("count", [6, 40])
def test_the_frechet_distance_is_that_of_the_covariances(count: int) -> None:
    random = np.random.default_rng(0)
    one, other = random.normal(size=(count, 8)), random.normal(1, 2, size=(count + 3, 8))
    covariances = [np.cov(sample, rowvar=False) for sample in (one, other)]
    roots = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).astype(complex)).real
    expected = np.square(one.mean(0) - other.mean(0)).sum() + np.trace(sum(covariances)) - 2 * roots.sum()

    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)


def test_an_engine_is_written_with_its_options_and_named_without_paths(tmp_path: Path) -> None:
    assert engine_peer("dis") == EnginePeer(name="dis", engine="dis")
    pytest.importorskip("torch", reason="the fcvg extra is not installed")
    found = engine_peer(f"fcvg:fusion=trf,weights={tmp_path},steps=12")

    assert found.name == "fcvg:fusion=trf,steps=12"
    assert found.options == {"fcvg.fusion": "trf", "fcvg.weights": str(tmp_path), "fcvg.steps": "12"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nobody", "no engine is called 'nobody'"),
        ("rife:flow_scale", "OPTION=VALUE"),
        ("rife:speed=3", "rife has no option 'speed'"),
    ],
)
def test_an_engine_that_is_written_wrongly_is_refused_at_once(text: str, message: str) -> None:
    with pytest.raises((EngineError, OptionError), match=re.escape(message)):
        engine_peer(text)


def test_two_peers_of_one_name_are_refused() -> None:
    with pytest.raises(OptionError, match="both be called dis"):
        peers(("dis", "dis"))


def test_a_command_is_kept_without_the_folders_of_this_machine() -> None:
    typed = ["quality", "--clips", "/home/me/films", "--engine", "fcvg:weights=/data/w,steps=2", "--output=/tmp/a.json"]

    assert typed_command(typed) == (
        "python -m benchmarks quality --clips CLIPS --engine fcvg:weights=w,steps=2 --output=a.json"
    )


def test_a_dataset_with_every_fault_gives_the_whole_clips_and_names_the_rest(tmp_path: Path) -> None:
    write_frames(tmp_path / "a_whole", range(4))
    write_frames(tmp_path / "b_holed", [0, 1, 3, 4, 7])
    (tmp_path / "c_empty").mkdir()
    write_frames(write_frames(tmp_path / "d_twice", range(3)), [1], suffix="jpg")
    for name in ("notes.txt", ".DS_Store", "cover.png"):
        (tmp_path / "a_whole" / name).write_bytes(b"x")
    (tmp_path / "licence.txt").write_text("x")

    found = find_dataset(tmp_path, quick=False)
    said = {each.clip: each.why for each in found.left_out}

    assert [case.name for case in found.cases] == ["a_whole"]
    assert said["a_whole"] == "3 entries are no frames: .DS_Store, cover.png, notes.txt"
    assert said["b_holed"] == "left out: 3 numbers are missing between its frames: 2, 5, 6"
    assert said["c_empty"] == "left out: it holds no PNG or JPEG with a number in its name"
    assert said["d_twice"] == "left out: two frames have one number: 1"
    assert said[tmp_path.name] == "1 files beside the clips: licence.txt"
    assert [path.name for path in numbered_frames(tmp_path / "a_whole")] == [f"frame_{n:04}.png" for n in range(4)]


def test_frames_of_two_sizes_and_frames_that_are_none_are_named(tmp_path: Path) -> None:
    mixed = write_frames(write_frames(tmp_path / "mixed", range(2)), [2], size=(80, 64))
    broken = write_frames(tmp_path / "broken", range(2))
    (broken / "frame_0001.png").write_bytes(b"no picture")

    with pytest.raises(UnusableClip, match=r"frame_0002.png is 80x64, and the frames before it 64x64"):
        read_clip(mixed, frames=9)
    with pytest.raises(UnusableClip, match=r"frame_0001.png can't be decoded"):
        read_clip(broken, frames=9)


def test_frames_keep_their_order_and_luma(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "clip", range(8, 12), size=(65, 63))

    frames = read_clip(folder, frames=3)

    assert [frame.key for frame in frames] == [0, 1, 2]
    for number, frame in enumerate(frames, start=8):
        luma = plane_rows(picture(number, size=(65, 63)).planes[0]).astype(int)
        assert np.abs(frame.planes[0].astype(int) - luma).mean() < 2


def test_a_folder_without_clips_is_refused_with_the_reasons(tmp_path: Path) -> None:
    write_frames(tmp_path / "holed", [0, 2])

    said = quality("--dataset", tmp_path, "--output", tmp_path / "out.json").output

    assert "holds no clip" in said
    assert "films go to --clips" in said
    assert "holed: left out: 1 numbers are missing between its frames: 1" in said


def test_a_dataset_never_replaces_the_results_of_the_readmes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_frames(tmp_path / "set" / "clip", range(3))

    for told in (
        (),
        ("--output", results.RESULTS / "quality.json"),
        ("--output", results.RESULTS / "quality_long.json"),
    ):
        said = quality("--dataset", tmp_path / "set", "--engine", "blend", *told)
        assert said.exit_code == 2
        assert "needs an --output FILE of its own" in said.output


def test_halving_makes_each_frame_from_frames_that_are_there() -> None:
    known = {0, 24}
    for left, middle, right in halvings(0, 24):
        assert {left, right} <= known
        assert left < middle < right
        known.add(middle)
    assert known == set(range(25))


def test_film_is_asked_for_each_frame_at_its_own_time(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="the fcvg extra is not installed")

    class Dissolve(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        def forward(self, left: torch.Tensor, right: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            assert left.size(2) % 64 == 0
            return left * (1 - time) + right * time

    frames = excerpt(13)
    film = FilmPeer(file=script(tmp_path, "film.pt", Dissolve()))

    made = film.make(frames, [Gap(left=0, right=12)]).pictures

    assert sorted(made) == list(range(1, 12))
    for index, found in made.items():
        assert np.abs(found.planes[0].astype(int) - frames[index].planes[0]).max() <= 1


def test_a_file_that_holds_no_network_is_an_error_that_names_it(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the fcvg extra is not installed")
    (tmp_path / "film.pt").write_bytes(b"no network")

    with pytest.raises(EngineError, match=r"film.pt isn't a TorchScript file"):
        FilmPeer(file=tmp_path / "film.pt").make(excerpt(3), [Gap(left=0, right=2)])


def test_rows_are_added_to_those_of_the_same_commit_and_to_no_other(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    write_clip(tmp_path / "clips" / "a.mkv")
    out = tmp_path / "out.json"
    told = ("--clips", tmp_path / "clips", "--no-minterpolate", "--gap", 3, "--output", out)

    first = quality(*told, "--engine", "blend")
    second = quality(*told, "--engine", "dis", "--engine", "blend", "--against", "blend", "--add")
    rows = rows_of(out)
    other = results.load_quality(out)
    results.save(replace(other, machine=replace(other.machine, commit="another")), out)
    third = quality(*told, "--engine", "repeat", "--add")

    assert first.exit_code == second.exit_code == 0, second.output
    assert list(rows) == [("a.mkv", 3, "blend"), ("a.mkv", 3, "dis")]
    assert rows["a.mkv", 3, "dis"]["against"]["peer"] == "blend"
    assert rows["a.mkv", 3, "dis"]["against"]["psnr_db"]["mean"] > 0
    assert rows["a.mkv", 3, "dis"]["intervals"]["xpsnr_db"]["low"] <= rows["a.mkv", 3, "dis"]["summary"]["xpsnr_db"]
    assert third.exit_code == 2
    assert "commit another" in third.output


def test_what_an_engine_refuses_is_counted_and_one_that_cannot_run_has_no_numbers(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    write_clip(tmp_path / "clips" / "a.mkv", frames=range(20))
    out = tmp_path / "out.json"

    done = quality(
        "--clips", tmp_path / "clips", "--no-minterpolate", "--gap", 3, "--gap", 23, "--output", out,
        "--engine", "blend", "--engine", "rife:lost_above=0.0001", "--engine", "rife:runtime=tensorrt",
    )  # fmt: skip
    rows = rows_of(out)
    refused, unusable = rows["a.mkv", 3, "rife:lost_above=0.0001"], rows["a.mkv", 3, "rife:runtime=tensorrt"]

    assert done.exit_code == 0, done.output
    assert refused["held"] + refused["by_fallback"] == refused["summary"]["frames"] == 12
    assert "too little in common" in refused["because"]
    assert unusable["summary"] is None
    assert "tensorrt" in unusable["missing"]
    assert rows["a.mkv", 3, "blend"]["gaps"] == 4
    assert "too short" in rows["a.mkv", 23, "blend"]["missing"]
    table = difference_lines(results.load_quality(out).rows)
    assert any("n/a" in line and unusable["missing"] in line for line in table)


def test_networks_that_are_given_measure_and_pictures_are_written_for_the_rest(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="the fcvg extra is not installed")

    class Distance(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return (a - b).abs().mean()

    class Inception(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
            assert return_features
            return x.float().mean(dim=(2, 3))

    class Videos(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean(dim=(2, 3, 4))

    for number in (0, 5, 40):
        write_frames(tmp_path / "set" / f"clip{number}", range(number, number + 13))
    out, made = tmp_path / "out.json", tmp_path / "made"
    files = {
        name: script(tmp_path, f"{name}.pt", network)
        for name, network in {"lpips": Distance(), "fid": Inception(), "fvd": Videos()}.items()
    }

    done = quality(
        "--dataset", tmp_path / "set", "--no-minterpolate", "--engine", "dis", "--engine", "repeat", "--output", out,
        "--gap", 3, "--gap", 11, "--pictures", made, *(f"--{name}={path}" for name, path in files.items()),
    )  # fmt: skip

    assert done.exit_code == 0, done.output
    rows = rows_of(out)
    scores = {
        peer: {each["measure"]: each for each in rows["all of 3 clips", 11, peer]["networks"]}
        for peer in ("dis", "repeat")
    }
    assert scores["dis"].keys() == {"LPIPS", "FID", "FVD"}
    assert scores["dis"]["LPIPS"]["value"] < scores["repeat"]["LPIPS"]["value"]
    assert (scores["dis"]["FID"]["count"], scores["dis"]["FVD"]["count"]) == (33, 3)
    short = {each["measure"] for each in rows["all of 3 clips", 3, "dis"]["networks"]}
    assert short == {"LPIPS", "FID"}
    assert {each["measure"] for each in rows["clip0", 11, "dis"]["networks"]} == {"LPIPS"}
    assert len(list((made / "dis" / "gap11" / "frames" / "clip5-000").iterdir())) == 13
    with av.open(str(made / "original" / "gap11" / "films" / "clip5-000.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) == 13
    assert "not measured: FVMD: pictures were written; run: python -m fvmd" in done.output


def test_the_readmes_command_measures_every_fusion_on_tiny_weights(tmp_path: Path) -> None:
    pytest.importorskip("diffusers", reason="the fcvg extra is not installed")
    from fcvg.tiny import make_tiny

    weights = make_tiny(tmp_path / "weights")
    write_frames(tmp_path / "set" / "one", range(9))
    write_frames(tmp_path / "set" / "two", range(30, 39))
    write_frames(tmp_path / "set" / "holed", [1, 2, 4])
    out, sheets = tmp_path / "dataset.json", tmp_path / "sheets"
    places = {
        "DATASET": str(tmp_path / "set"),
        "SHEETS": str(sheets),
        "dataset.json": str(out),
        "WEIGHTS": f"{weights},allow_untrained=yes,size=64x64,steps=2",
    }
    told = readme_command()
    for place, path in places.items():
        told = [word.replace(place, path) for word in told]

    done = quality(*told[1:] if told[0] == "quality" else told, "--gap", 7)
    document = json.loads(out.read_text())
    rows = rows_of(out)

    assert done.exit_code == 0, done.output
    fcvg = {peer: row for (clip, dropped, peer), row in rows.items() if (clip, dropped) == ("all of 2 clips", 7)}
    names = {
        f"fcvg:fusion={fusion},allow_untrained=yes,size=64x64,steps=2" for fusion in ("fcvg", "trf", "vibid", "mpd")
    }
    assert names <= {name for name, row in fcvg.items() if row["summary"] is not None}, done.output
    for name in names:
        assert fcvg[name]["summary"]["frames"] == 14
        assert fcvg[name]["held"] == fcvg[name]["by_fallback"] == 0
        assert fcvg[name]["against"]["psnr_db"]["mean"] < 0  # noise, and `dis` is no noise
        assert fcvg[name]["against"]["psnr_db"]["interval"]["high"] < 0
    absent = {each["name"] for each in document["measures"] if not each["taken"]}
    assert absent == {"LPIPS", "FID", "FVD", "FVMD", "VBench"}
    assert all(f"not measured: {name}" in done.output for name in absent)
    assert document["left_out"] == [{"clip": "holed", "why": "left out: 1 numbers are missing between its frames: 3"}]
    assert sorted(path.name for path in sheets.iterdir()) == ["one-gap7.png", "two-gap7.png"]
    sheet = cv2.imread(str(sheets / "one-gap7.png"))
    assert sheet is not None
    assert sheet.shape[1] == 7 * 240
