"""FCVG's profiles beside the exact run: seconds, and what is lost. One job for all of them, in one run.

The loss is the PSNR of the made frames against those of the profile `exact`, which itself is no truth: it says how far
a profile goes away from the method, not which of the two is nearer to the film. With random weights it says neither.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import numpy.typing as npt

from benchmarks.machine import Machine, this_machine
from codec_plugin.engine import FillRequest, Finding
from codec_plugin.picture import Family, Layout, Picture

if TYPE_CHECKING:
    from fcvg import FcvgEngine, FcvgOptions
    from fcvg.weights.check import Checked

EXACT = "exact"
Frames = npt.NDArray[np.float32]
"""(frame, 3, height, width), 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What every profile is given."""

    weights: Path | None
    """The weights folder; None for a tiny random set, made for the run."""
    film: Path
    """The film whose frames are the ends."""
    left: int
    """The number of the frame that is the left end, as decoded."""
    right: int
    """Likewise of the right end."""
    gap: int
    """Frames to be made."""
    size: str
    """What the networks see, as the engine's option."""
    fusion: str
    """How the directions are fused."""
    rounds: int
    """Times that each profile makes the frames; they take turns, and the fastest counts."""
    allow_cpu: bool
    """Whether hours are all right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileRow:
    """One profile."""

    profile: str
    """Its name."""
    skipped: str | None = None
    """Why it wasn't run; what follows is empty then."""
    steps: int = 0
    """Denoising steps."""
    whole_rows: int = 0
    """Rows of the UNet's batch computed from end to end."""
    shallow_rows: int = 0
    """Those computed by its outermost layers alone."""
    flops: float = 0.0
    """Operations of the clip, counted."""
    seconds_best: float = 0.0
    """Denoising alone, the fastest of the rounds."""
    seconds: tuple[float, ...] = ()
    """Denoising alone, all rounds."""
    psnr_db: float | None = None
    """Of all made frames together against the exact run's; None where they are equal to the last bit."""
    psnr_db_worst: float | None = None
    """Of the worst frame; likewise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfilesResult:
    """One run of `python -m benchmarks profiles`."""

    command: str
    """What was typed."""
    machine: Machine
    """Where."""
    torch: str
    """Its version."""
    device: str
    """cpu, or the GPU's name."""
    weights: str
    """Whether they are trained."""
    film: str
    """Where the two ends are from."""
    size: str
    """What the networks saw, WxH."""
    gap: int
    """Frames made."""
    fusion: str
    """How the directions were fused."""
    rows: tuple[ProfileRow, ...]
    """What came out."""


def measure_profiles(job: Job, *, command: str, tell: Callable[[str], None]) -> ProfilesResult:
    """Has every profile make the same frames, in turns.

    Args:
        job: what they are given.
        command: what was typed, for the result.
        tell: hears what is being done.

    Raises:
        EngineError: the weights can't be used, or it would take long without a GPU and that wasn't asked for.
        ValueError: the film has too few frames.
    """
    import torch

    from fcvg import FcvgOptions
    from fcvg.canvas import Canvas
    from fcvg.sampling.settings import Fusion
    from fcvg.tiny import make_tiny
    from fcvg.weights.check import check_weights

    left, right = _ends(job)
    with tempfile.TemporaryDirectory() as scratch:
        folder = make_tiny(Path(scratch)) if job.weights is None else job.weights
        options = FcvgOptions(
            weights=folder,
            allow_untrained=True,
            allow_cpu=job.allow_cpu,
            size=job.size,
            fusion=Fusion(job.fusion),
        )
        checked = check_weights(folder)
        untrained = checked.report.untrained
        rows = _measured(options, left, right, job=job, checked=checked, tell=tell)
    seen = Canvas.of((left.width, left.height), job.size).size
    return ProfilesResult(
        command=command,
        machine=this_machine(),
        torch=metadata.version("torch"),
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        weights="random, never trained: the loss says nothing of trained ones" if untrained else "trained",
        film=f"{job.film.name} between its frames {job.left} and {job.right}",
        size=f"{seen[0]}x{seen[1]}",
        gap=job.gap,
        fusion=job.fusion,
        rows=rows,
    )


def save_profiles(result: ProfilesResult, path: Path) -> None:
    """Writes a result beside its final name and moves it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
    os.replace(beside, path)


def load_profiles(path: Path) -> ProfilesResult:
    """Reads what `save_profiles` wrote."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    rows = tuple(ProfileRow(**{**row, "seconds": tuple(row["seconds"])}) for row in raw["rows"])
    return ProfilesResult(**{**raw, "machine": Machine(**raw["machine"]), "rows": rows})


def profiles_table(result: ProfilesResult) -> str:
    """A row for each profile."""
    lines = [
        "| profile | steps | UNet rows, whole + shallow | operations | seconds | PSNR to exact (worst frame), dB |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    exact = next(row for row in result.rows if row.profile == EXACT)
    for row in result.rows:
        if row.skipped is not None:
            lines.append(f"| {row.profile} | skipped: {row.skipped} | | | | |")
            continue
        loss = "equal" if row.psnr_db is None else f"{row.psnr_db:.1f} ({row.psnr_db_worst:.1f})"
        lines.append(
            f"| {row.profile} | {row.steps} | {row.whole_rows} + {row.shallow_rows} | {row.flops / exact.flops:.2f} × "
            f"| {row.seconds_best:.2f} ({exact.seconds_best / row.seconds_best:.2f} ×) | {loss} |"
        )
    legend = (
        f"Weights: {result.weights}. {result.gap} frames of {result.film}, seen at {result.size}, fusion "
        f"{result.fusion}; seconds of denoising, the best of {len(exact.seconds)} rounds in turns, on {result.device}."
    )
    origin = f"`{result.command}` on {result.machine.cores} cores of {result.machine.cpu}, torch {result.torch}, "
    return "\n".join([legend, "", *lines, "", f"{origin}commit {result.machine.commit}."])


def _measured(
    options: FcvgOptions,
    left: Picture,
    right: Picture,
    *,
    job: Job,
    checked: Checked,
    tell: Callable[[str], None],
) -> tuple[ProfileRow, ...]:
    from codec_plugin.errors import EngineError, OptionError
    from fcvg import FcvgEngine
    from fcvg.sampling.profile import ProfileName

    engines: dict[ProfileName, FcvgEngine] = {}
    rows: dict[ProfileName, ProfileRow] = {}
    for name in ProfileName:
        try:
            engine = FcvgEngine(replace(options, profile=name))
            engine.estimate((left.width, left.height), positions=job.gap)  # refuses what would take hours
        except (EngineError, OptionError) as error:
            if name == EXACT:
                raise
            reason = str(error).replace(str(options.weights), "DIR")
            rows[name] = ProfileRow(profile=str(name), skipped=reason)
            tell(f"{name}: skipped: {reason}")
            continue
        engines[name], rows[name] = engine, _foreseen(engine, name, job=job, checked=checked, picture=left)
    made: dict[ProfileName, Frames] = {}
    for number in range(job.rounds):
        for name, engine in engines.items():
            made[name], seconds = _filled(engine, left, right, gap=job.gap)
            engine.close()  # one set of networks at a time; loading isn't in the seconds
            taken = (*rows[name].seconds, seconds)
            rows[name] = replace(rows[name], seconds=taken, seconds_best=min(taken))
            tell(f"{name}, round {number + 1} of {job.rounds}: {seconds:.2f} s")
    for name, frames in made.items():
        whole, worst = psnr_db(frames, made[ProfileName.EXACT])
        rows[name] = replace(rows[name], psnr_db=whole, psnr_db_worst=worst)
    return tuple(rows.values())


def _foreseen(engine: FcvgEngine, name: str, *, job: Job, checked: Checked, picture: Picture) -> ProfileRow:
    """What is known of a profile before it is run."""
    from fcvg.canvas import Canvas
    from fcvg.cost import cost_of
    from fcvg.layout import layout_of
    from fcvg.place import place_of
    from fcvg.sampling.run import unet_rows

    frames = layout_of(_positions(job.gap)).frames
    settings = engine.options.sampling(seed=0)
    rows = unet_rows(settings, frames=frames)
    size = Canvas.of((picture.width, picture.height), job.size).size
    cost = cost_of(checked, settings, size=size, frames=frames, place=place_of(engine.options))
    return ProfileRow(
        profile=str(name),
        steps=settings.steps_taken,
        whole_rows=rows.whole,
        shallow_rows=rows.shallow,
        flops=cost.flops,
    )


def _filled(engine: FcvgEngine, left: Picture, right: Picture, *, gap: int) -> tuple[Frames, float]:
    """The made frames, and the seconds of denoising."""
    told: list[Finding] = []
    request = FillRequest(
        left=left, right=right, positions=_positions(gap), interval=Fraction(gap + 1, 25), seed=1, tell=told.append
    )
    frames = np.stack([np.stack(picture.planes) for picture in engine.fill(request)])
    return frames, sum(finding.value for finding in told if finding.name == "time to sample")


def psnr_db(made: Frames, wanted: Frames) -> tuple[float | None, float | None]:
    """Of all frames together, and of the worst one, in dB; None where there is no difference at all."""
    errors = np.square(made.astype(np.float64) - wanted).mean(axis=(1, 2, 3))
    whole, worst = (
        None if error == 0 else float(round(-10 * np.log10(error), 3)) for error in (errors.mean(), errors.max())
    )
    return whole, worst


def _positions(gap: int) -> tuple[Fraction, ...]:
    return tuple(Fraction(index, gap + 1) for index in range(1, gap + 1))


def _ends(job: Job) -> tuple[Picture, Picture]:
    """The two frames of the film.

    Raises:
        ValueError: it has too few.
    """
    found: dict[int, Picture] = {}
    with av.open(str(job.film)) as film:
        for number, frame in enumerate(film.decode(video=0)):
            if number in (job.left, job.right):
                rgb = frame.to_ndarray(format="rgb24").astype(np.float32) / 255
                planes = tuple(np.ascontiguousarray(rgb[..., channel]) for channel in range(3))
                found[number] = Picture(planes=planes, layout=Layout(family=Family.RGB, depth=32), key=number)
            if number >= max(job.left, job.right):
                break
    if job.left not in found or job.right not in found:
        raise ValueError(f"{job.film} has no frame {max(job.left, job.right)}: name two that it has")
    return found[job.left], found[job.right]
