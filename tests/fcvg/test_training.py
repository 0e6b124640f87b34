"""Training: what is drawn, what is minimised, what is written, and that nothing is lost when it is broken off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch", reason="the fcvg extra is not installed")
pytest.importorskip("diffusers", reason="the fcvg extra is not installed")
pytest.importorskip("transformers", reason="the fcvg extra is not installed")

from safetensors.torch import load_file

from benchmarks.training import stage_rows
from codec_plugin.errors import EngineError, InputError, OptionError
from codec_plugin.media.samples import through_codec
from fcvg.sampling.steps import denoised
from fcvg.training.averaging import Average
from fcvg.training.command import main
from fcvg.training.draws import Stream, clip_at
from fcvg.training.files import write_whole
from fcvg.training.footage import Footage, covering, shots_of, survey
from fcvg.training.journal import Journal, read_journal
from fcvg.training.loop import CHECKPOINT
from fcvg.training.losses import velocity_loss, velocity_target
from fcvg.training.options import Place, TrainOptions, Trains
from fcvg.training.planar import make_planar
from fcvg.training.run import JOURNAL, TrainReport, train
from fcvg.training.sizes import Size, StageName
from tests import synth
from tests.makers import CommandLine, decoded, picture, write_clip

QUICK = TrainOptions(
    size=Size.TINY,
    crop=(64, 64),
    frames=3,
    vae_steps=8,
    base_steps=5,
    steps=3,
    measured=1,
    checkpoint_every=2,
    measure_every=2,
    place=Place.CENTRE,
)
TUNING = replace(QUICK, size=Size.SVD, vae_steps=None, base_steps=None, steps=1, rate=1e-3, ema=0.0)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two short films."""
    folder = tmp_path_factory.mktemp("videos")
    write_clip(folder / "a.mkv", size=(96, 80), frames=range(16))
    write_clip(folder / "b.mkv", size=(96, 80), frames=range(40, 56))
    return folder


@pytest.fixture(scope="module")
def unbroken(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainReport]:
    """A whole run from nothing, and what it came to."""
    out = tmp_path_factory.mktemp("runs") / "unbroken"
    return out, run(videos, out, QUICK)


def run(videos: Path, out: Path, options: TrainOptions, **told: Any) -> TrainReport:
    return train(survey(videos, crop=options.cropped), out, options, **told)


def tensors(out: Path) -> dict[str, Any]:
    """Everything that a run wrote, by file and key."""
    return {
        f"{path.relative_to(out)}/{key}": value
        for path in sorted(out.rglob("*.safetensors"))
        for key, value in load_file(path).items()
    }


def without_times(out: Path) -> list[dict[str, Any]]:
    entries = read_journal(out / JOURNAL)
    return [{key: value for key, value in e.items() if key not in ("seconds", "clips_per_s")} for e in entries]


def assert_same_run(ours: Path, theirs: Path) -> None:
    found, expected = tensors(ours), tensors(theirs)
    assert found.keys() == expected.keys()
    assert [key for key in found if not torch.equal(found[key], expected[key])] == []
    assert without_times(ours) == without_times(theirs)


@pytest.mark.parametrize("stage", [StageName.BASE, StageName.FCVG])  # the VAE's is killed below
def test_a_resumed_run_equals_an_unbroken_one_to_the_bit(
    stage: StageName, videos: Path, unbroken: tuple[Path, TrainReport], tmp_path: Path
) -> None:
    def stop(line: str) -> None:
        if line.startswith(f"{stage}: step 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(videos, tmp_path / "out", QUICK, tell=stop)
    run(videos, tmp_path / "out", QUICK)

    assert_same_run(tmp_path / "out", unbroken[0])


def test_a_run_that_is_killed_goes_on_from_its_last_checkpoint(
    videos: Path, unbroken: tuple[Path, TrainReport], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    told = "--size tiny --crop 64x64 --frames 3 --vae-steps 8 --base-steps 5 --steps 3 --measured 1 --place centre"
    told += " --checkpoint-every 2 --measure-every 2"
    command = [sys.executable, "-m", "fcvg.train", str(videos), str(out), *told.split()]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            journal = out / JOURNAL
            if journal.is_file() and len(journal.read_bytes().splitlines()) >= 4:
                break
            time.sleep(0.02)
        assert process.poll() is None, "the run ended before it could be killed"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
    assert (out / CHECKPOINT).is_file()

    run(videos, out, QUICK)

    assert_same_run(out, unbroken[0])


def test_every_stage_lowers_its_held_out_loss(unbroken: tuple[Path, TrainReport]) -> None:
    stages = unbroken[1].stages

    assert list(stages) == list(StageName)
    assert stages[StageName.VAE].loss_after < stages[StageName.VAE].loss_before * 0.97
    assert stages[StageName.BASE].loss_after < stages[StageName.BASE].loss_before * 0.9


@pytest.mark.slow  # a minute: hundreds of steps until a few frames are known by heart
def test_a_few_frames_are_learned_by_heart(videos: Path, tmp_path: Path) -> None:
    options = replace(QUICK, vae_steps=300, base_steps=200, steps=60, measure_every=1000, checkpoint_every=1000)
    stages = run(videos, tmp_path / "out", options).stages

    assert stages[StageName.VAE].loss_after < stages[StageName.VAE].loss_before / 2
    assert stages[StageName.BASE].loss_after < stages[StageName.BASE].loss_before / 2


def test_what_training_from_nothing_writes_is_a_weights_folder_that_restore_takes(
    unbroken: tuple[Path, TrainReport], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cli = CommandLine(tmp_path, capfd)
    film = write_clip(tmp_path / "holed.mkv", size=(80, 64), frames=[n for n in range(12) if not 4 <= n < 9])
    told = ("--engine", "fcvg", "--engine-option", f"fcvg.weights={unbroken[0]}")
    cli.done("weights", "check", unbroken[0])
    cli.done("restore", film, tmp_path / "out.mkv", *told, "--fcvg-size", "64x64", "--steps", "2", "--lossless")

    assert len(decoded(tmp_path / "out.mkv")) == 12


def test_from_public_weights_only_what_was_asked_for_is_trained(
    videos: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    options = replace(TUNING, weights=tiny_weights, trains=Trains.ATTENTION)
    report = run(videos, tmp_path / "out", options)
    tuned = load_file(tmp_path / "out" / "unet.safetensors")

    assert list(report.stages) == [StageName.FCVG]
    assert tuned
    assert all(".attn1." in key or ".attn2." in key for key in tuned)
    assert (tmp_path / "out" / "controlnext.safetensors").is_file()


def test_two_batches_of_one_and_one_of_two_are_the_same_step(videos: Path, tiny_weights: Path, tmp_path: Path) -> None:
    # AdamW's first step is the gradient's sign, so gradients are compared, as the optimiser keeps them.
    moments = []
    for name, batch, accumulate in (("one", 1, 2), ("two", 2, 1)):
        options = replace(
            TUNING, weights=tiny_weights, trains=Trains.TEMPORAL, batch=batch, accumulate=accumulate, dropout=0.5
        )
        run(videos, tmp_path / name, options, tell=keep_state(tmp_path / name, moments))
    ones, twos = moments

    assert len(ones) == len(twos) > 10
    for one, two in zip(ones, twos, strict=True):
        torch.testing.assert_close(one, two, rtol=2e-3, atol=1e-6)


def keep_state(out: Path, moments: list[list[Any]]) -> Any:
    """A listener that reads the optimiser's first moments out of the last checkpoint before the stage is over."""

    def listen(line: str) -> None:
        if line.startswith("fcvg: step 1"):
            from fcvg.training import loop

            write = loop.write_checkpoint

            def kept(path: Path, state: dict[str, Any]) -> None:
                moments.append([entry["exp_avg"].clone() for entry in state["optimizer"]["state"].values()])
                loop.write_checkpoint = write
                write(path, state)

            loop.write_checkpoint = kept

    return listen


def test_an_average_without_decay_is_the_weights_and_one_with_it_lags_behind() -> None:
    weight = torch.nn.Parameter(torch.zeros(3))
    none, slow = Average({"w": weight}, decay=0.0), Average({"w": weight}, decay=0.9)
    with torch.no_grad():
        weight.fill_(1.0)
    for average in (none, slow):
        average.update(100)

    assert torch.equal(none.values["w"], torch.ones(3))
    torch.testing.assert_close(slow.values["w"], torch.full((3,), 0.1))
    with slow.applied():
        torch.testing.assert_close(weight.detach(), torch.full((3,), 0.1))
    assert torch.equal(weight.detach(), torch.ones(3))


def test_an_average_rises_quickly_at_first() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    average = Average({"w": weight}, decay=0.9999)
    with torch.no_grad():
        weight.fill_(1.0)
    average.update(1)

    torch.testing.assert_close(average.values["w"], torch.tensor([1 - 2 / 11]))


@pytest.mark.parametrize("sigma", [0.01, 0.7, 30.0])
def test_the_target_is_the_velocity_that_the_samplers_turn_into_the_clean_latents(sigma: float) -> None:
    random = torch.Generator().manual_seed(1)
    clean, noise = (torch.randn((1, 3, 4, 2, 2), generator=random) for _ in range(2))
    noisy = clean + sigma * noise
    level = torch.full((1, 1, 1, 1, 1), sigma)
    target = velocity_target(clean, noisy, level)

    torch.testing.assert_close(denoised(noisy, target, sigma=sigma), clean, rtol=1e-3, atol=1e-3)
    assert float(velocity_loss(target, clean, noisy, level)) == 0.0


def test_temporal_convolutions_in_two_dimensions_give_the_same_numbers() -> None:
    module = torch.nn.Sequential(torch.nn.Conv3d(4, 6, (3, 1, 1), padding=(1, 0, 0)))
    clip = torch.randn((2, 4, 5, 3, 7), generator=torch.Generator().manual_seed(0))
    before = module(clip)
    make_planar(module)

    torch.testing.assert_close(module(clip), before)


def test_the_same_number_draws_the_same_clip_and_half_of_all_go_backward(videos: Path) -> None:
    footage = Footage(survey(videos, crop=(64, 64)).training, crop=(64, 64), cache_bytes=1)
    options = replace(QUICK, place=Place.RANDOM, compress=(20.0, 40.0))
    clips = [
        clip_at(number, footage=footage, options=options, stream=Stream.BASE, controlled=False) for number in range(30)
    ]
    again = clip_at(7, footage=footage, options=options, stream=Stream.BASE, controlled=False)

    assert again.draw == clips[7].draw
    np.testing.assert_array_equal(again.frames, clips[7].frames)
    np.testing.assert_array_equal(again.ends[1], clips[7].ends[1])
    assert 5 < sum(clip.draw.is_backward for clip in clips) < 25
    assert {clip.draw.is_blank for clip in clips} == {False, True}
    assert len({clip.draw.sigma for clip in clips}) == 30
    assert any(not np.array_equal(clip.ends[0], clip.frames[0]) for clip in clips)


def test_no_clip_is_drawn_across_a_cut() -> None:
    one, other = (
        [synth.picture(index, scene=scene, size=(160, 96)).to_ndarray(format="rgb24") for index in range(6)]
        for scene in (0, 3)
    )

    assert shots_of([*one, *other]) == ((0, 6), (6, 12))


def test_lines_are_drawn_where_a_clip_is_to_be_controlled(videos: Path) -> None:
    footage = Footage(survey(videos, crop=(64, 64)).training, crop=(64, 64), cache_bytes=1 << 30)
    clip = clip_at(0, footage=footage, options=QUICK, stream=Stream.FCVG, controlled=True)

    assert clip.lines.shape == (3, 3, 64, 64)


def test_a_codec_leaves_less_the_higher_its_crf() -> None:
    frames = [picture(index, size=(96, 64)).to_ndarray(format="rgb24") for index in range(5)]
    errors = [
        np.abs(np.stack(through_codec(frames, crf=crf)).astype(int) - np.stack(frames)).mean() for crf in (10, 45)
    ]

    assert errors[0] < 4
    assert errors[1] > errors[0] * 1.5


@pytest.mark.parametrize(
    ("size", "crop", "covers"),
    [((1280, 720), (512, 320), (569, 320)), ((1280, 720), (128, 128), (228, 128)), ((64, 64), (64, 64), (64, 64))],
)
def test_pictures_are_scaled_to_just_cover_the_crop(
    size: tuple[int, int], crop: tuple[int, int], covers: tuple[int, int]
) -> None:
    assert covering(size, crop) == covers


def test_files_that_cannot_be_used_are_named_and_counted(videos: Path, tmp_path: Path) -> None:
    for path in videos.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "notes.txt").write_text("not a film")
    (tmp_path / "broken.mp4").write_bytes(os.urandom(500))
    write_clip(tmp_path / "small.mkv", size=(48, 48), frames=range(4))
    split = survey(tmp_path, crop=(64, 64))

    assert len(split.training) + len(split.held_out) == 2
    assert len(split.left_out) == 3
    assert any("small.mkv: 48x48 is smaller than the crop of 64x64" in reason for reason in split.left_out)
    assert any("broken.mp4" in reason for reason in split.left_out)


def test_a_piece_that_breaks_later_is_counted_and_passed_over(videos: Path) -> None:
    pieces = survey(videos, crop=(64, 64)).training
    gone = replace(pieces[0], path=videos / "gone.mkv")
    told: list[str] = []
    footage = Footage([gone, *pieces], crop=(64, 64), cache_bytes=1, tell=told.append)
    for number in range(6):
        clip_at(number, footage=footage, options=QUICK, stream=Stream.BASE, controlled=False)

    assert footage.counts["undecodable pieces"] == 1
    assert len(told) == 1
    assert "gone.mkv" in told[0]


@pytest.mark.parametrize(
    ("files", "says"), [((), "no video that can be used"), (("a.mkv",), "a single piece"), (None, "no such folder")]
)
def test_a_folder_with_too_little_in_it_is_refused(
    files: tuple[str, ...] | None, says: str, videos: Path, tmp_path: Path
) -> None:
    for name in files or ():
        (tmp_path / name).write_bytes((videos / name).read_bytes())
    folder = tmp_path if files is not None else tmp_path / "nothing"

    with pytest.raises(InputError, match=says):
        survey(folder, crop=(64, 64))


def test_footage_of_shots_that_are_too_short_is_refused(videos: Path) -> None:
    footage = Footage(survey(videos, crop=(64, 64)).training, crop=(64, 64), cache_bytes=1 << 30)

    with pytest.raises(InputError, match="no stretch of 200 frames without a cut"):
        clip_at(0, footage=footage, options=replace(QUICK, frames=200), stream=Stream.BASE, controlled=False)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"crop": (100, 64)}, "multiples of 64"),
        ({"frames": 2}, "frames must be from 3"),
        ({"batch": 0}, "batch must be from 1"),
        ({"compress": (40.0, 20.0)}, "FROM no higher than TO"),
        ({"compress": (20.0, 60.0)}, "compress must be from 0 to 51"),
        ({"ema": 1.0}, "ema must be from 0 to below 1"),
        ({"dropout": 1.5}, "dropout must be from 0 to 1"),
        ({"part": (9.0, 3.0)}, "START below STOP"),
        ({"size": Size.TINY, "weights": Path("w")}, "leave one of the two out"),
        ({"vae_steps": 5}, "for the small sizes"),
        ({"minutes": 0.0}, "minutes must be above 0"),
        ({"steps": -1}, "steps must not be negative"),
    ],
)
def test_options_out_of_range_are_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        TrainOptions(**values)


def test_a_run_is_not_resumed_with_other_options_or_other_videos(
    videos: Path, unbroken: tuple[Path, TrainReport], tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=r"dropout was 0\.1 and is 0\.2"):
        run(videos, unbroken[0], replace(QUICK, dropout=0.2))
    write_clip(tmp_path / "c.mkv", size=(96, 80), frames=range(16))
    write_clip(tmp_path / "d.mkv", size=(96, 80), frames=range(16))
    with pytest.raises(OptionError, match="the videos are others"):
        run(tmp_path, unbroken[0], QUICK)


def test_a_checkpoint_that_cannot_be_read_is_named(videos: Path, tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).parent.mkdir()
    (tmp_path / CHECKPOINT).write_bytes(b"half a file")

    with pytest.raises(EngineError, match=r"checkpoint\.pt can't be read"):
        run(videos, tmp_path, QUICK)


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ((), "name their folder with --weights DIR"),
        (("--weights", "nowhere"), "is missing"),
        (("--size", "tiny", "--crop", "100x64"), "multiples of 64"),
        (("--crop", "large"), "is not WxH"),
        (("--size", "huge"), "is not one of"),
        (("--size", "tiny", "--crop", "512x320"), "smaller than the crop"),
    ],
)
def test_the_command_refuses_before_it_loads_anything(
    told: tuple[str, ...], says: str, videos: Path, tmp_path: Path
) -> None:
    ran = CliRunner().invoke(main, [str(videos), str(tmp_path / "out"), *told])

    assert ran.exit_code != 0
    assert says in " ".join(ran.output.split())
    assert not (tmp_path / "out").exists()


def test_looking_through_the_videos_loads_no_torch(videos: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom fcvg.training.command import main\n"
        f"try: main([{str(videos)!r}, {str(tmp_path / 'out')!r}, '--size', 'tiny', '--crop', '512x320'])\n"
        "except SystemExit: pass\nassert 'torch' not in sys.modules"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.startswith("looking through")
    assert "smaller than the crop" in done.stderr


def test_a_journal_forgets_what_the_checkpoint_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.note({"step": 1})
        kept = journal.bytes
        journal.note({"step": 2})
    with Journal(path, keep_bytes=kept) as journal:
        journal.note({"step": 3})

    assert read_journal(path) == [{"step": 1}, {"step": 3}]
    assert json.loads(path.read_text().splitlines()[0]) == {"step": 1}


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_text("old")

    def fails(beside: Path) -> None:
        beside.write_text("half")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        write_whole(path, fails)
    assert path.read_text() == "old"


def test_the_benchmark_reads_each_stage_out_of_the_journal() -> None:
    journal = [
        {"stage": "vae", "step": 0, "held_out": 0.5, "seconds": 1.0},
        {"stage": "vae", "step": 10, "loss": 0.4, "seconds": 4.0},
        {"stage": "vae", "step": 20, "held_out": 0.2, "seconds": 5.0},
        {"stage": "base", "step": 0, "held_out": 1.0, "seconds": 0.5},
        {"stage": "base", "step": 10, "held_out": 0.3, "seconds": 2.0},
    ]
    vae, base = stage_rows(journal)

    assert (vae.steps, vae.held_out_before, vae.held_out_after, vae.clips_per_s) == (20, 0.5, 0.2, 4.0)
    assert vae.loss == ((10, 0.4),)
    assert base.held_out == ((0, 1.0), (10, 0.3))
