"""Whether training learns: a small model on a piece of a film, and what it makes of gaps that it never saw."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from benchmarks.machine import Machine, this_machine
from benchmarks.score import Score, score, summary
from fcvg.conditions.lines import LineConditioner
from fcvg.conditions.times import uniform_times
from fcvg.models import Models
from fcvg.pictures import decoded, encoded
from fcvg.pipeline import generate
from fcvg.sampling.settings import SampleSettings
from fcvg.training.draws import corner
from fcvg.training.footage import Footage, Split, survey
from fcvg.training.journal import Entry, read_journal
from fcvg.training.options import Place, Precision, TrainOptions
from fcvg.training.run import JOURNAL, train
from fcvg.training.sizes import Size
from fcvg.weights.load import load_weights

Frames = npt.NDArray[np.uint8]
"""(frame, height, width, 3): R, G, B."""
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
_SHOWN = 5  # frames of a clip in the picture
_ENLARGED = 2
_MARGIN = 92  # pixels for the rows' names
_CURVE = 40  # points of a stage's loss that are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """What is trained, and what is made with it."""

    film: Path
    """The film."""
    part: tuple[float, float]
    """[start, stop) in seconds; a fifth of it is held out."""
    minutes: float
    """All stages together, by the clock."""
    clips: int
    """Held-out gaps that are made again."""
    steps: int
    """Denoising steps."""
    guidance: float
    """Weight of the image."""
    keep: Path
    """Folder for the weights, the journal and the picture; a run that was broken off there goes on."""

    @property
    def options(self) -> TrainOptions:
        """How it is trained."""
        return TrainOptions(
            size=Size.SMALL,
            part=self.part,
            minutes=self.minutes,
            place=Place.CENTRE,
            precision=Precision.BF16,
            measured=8,
            measure_every=250,
            checkpoint_every=250,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRow:
    """One stage."""

    stage: str
    """vae, base or fcvg."""
    steps: int
    """Optimiser's steps."""
    seconds: float
    """Wall time, measuring and writing included."""
    clips_per_s: float
    """Over all steps: clips for base and fcvg, four 64x64 pieces of pictures for vae."""
    held_out_before: float
    """Held-out loss before the first step."""
    held_out_after: float
    """After the last one, of the average of the weights."""
    loss: tuple[tuple[int, float], ...]
    """(step, training loss), thinned."""
    held_out: tuple[tuple[int, float], ...]
    """(step, held-out loss)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeRow:
    """How near frames of held-out gaps were come to."""

    by: str
    """fcvg; blend, the dissolve of the ends; or "vae alone", the true frames through the VAE, which fcvg can't beat."""
    frames: int
    """How many."""
    psnr_db: float
    """Mean, of luma."""
    ssim: float
    """Mean, of luma."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """One run."""

    command: str
    """What was typed, the film by its name alone."""
    machine: Machine
    """Where."""
    threads: int
    """Torch's."""
    crop: str
    """What was trained on, and made."""
    gap: int
    """Frames between the ends."""
    stages: tuple[StageRow, ...]
    """Training."""
    made: tuple[MadeRow, ...]
    """What it makes of gaps that it never saw."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Made:
    """A held-out clip and what is made of its ends."""

    rows: dict[str, Frames]
    """By who made it, all frames."""


def measure_training(job: TrainingJob, *, command: str, tell: Callable[[str], None]) -> TrainingResult:
    """Trains, or takes what was trained in that folder, and makes held-out gaps again."""
    options = job.options
    split = survey(job.film, crop=options.cropped, part=options.part)
    train(split, job.keep, options, tell=tell)
    models = load_weights(job.keep)
    made = [_made(models, frames, job, tell=tell) for frames in _clips(split, options, count=job.clips)]
    write_sheet(job.keep / "held_out.png", [clip.rows for clip in made])
    return TrainingResult(
        command=command,
        machine=this_machine(),
        threads=torch.get_num_threads(),
        crop=f"{options.cropped[0]}x{options.cropped[1]}",
        gap=options.frame_count - 2,
        stages=stage_rows(read_journal(job.keep / JOURNAL)),
        made=_scored(made),
    )


def stage_rows(journal: list[Entry]) -> tuple[StageRow, ...]:
    """What a journal says of each stage."""
    rows = []
    for stage in dict.fromkeys(str(entry["stage"]) for entry in journal):
        entries = [entry for entry in journal if entry["stage"] == stage]
        held_out = [(int(e["step"] or 0), round(float(e["held_out"] or 0), 5)) for e in entries if "held_out" in e]
        losses = [(int(e["step"] or 0), round(float(e["loss"] or 0), 5)) for e in entries if "loss" in e]
        steps, seconds = int(entries[-1]["step"] or 0), float(entries[-1]["seconds"] or 0)
        rows.append(
            StageRow(
                stage=stage,
                steps=steps,
                seconds=round(seconds, 1),
                clips_per_s=round(steps / seconds, 2),
                held_out_before=held_out[0][1],
                held_out_after=held_out[-1][1],
                loss=tuple(losses[:: max(1, len(losses) // _CURVE)]),
                held_out=tuple(held_out),
            )
        )
    return tuple(rows)


def save_training(result: TrainingResult, path: Path) -> None:
    """Writes the result beside its name, and moves it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.part")
    beside.write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
    os.replace(beside, path)


def write_sheet(path: Path, clips: list[dict[str, Frames]]) -> None:
    """A picture: for each clip a row for each of its makers, some frames from the first to the last, enlarged."""
    sheet = np.concatenate([_row(name, frames) for clip in clips for name, frames in clip.items()])
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def _row(name: str, frames: Frames) -> Frames:
    chosen = np.linspace(0, len(frames) - 1, _SHOWN).round().astype(int)
    height, width = (side * _ENLARGED for side in frames.shape[1:3])
    row = np.zeros((height + 4, _MARGIN + _SHOWN * (width + 4), 3), np.uint8)
    cv2.putText(row, name, (4, height // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    for place, index in enumerate(chosen):
        left = _MARGIN + place * (width + 4)
        row[:height, left : left + width] = cv2.resize(frames[index], (width, height), interpolation=cv2.INTER_CUBIC)
    return row


def _clips(split: Split, options: TrainOptions, *, count: int) -> list[Frames]:
    """Held-out clips, spread over the pieces and within them."""
    footage = Footage(split.held_out, crop=options.cropped, cache_bytes=1 << 30)
    width, height = options.cropped
    clips = []
    for number in range(count):
        piece = footage.piece(number % len(footage.pieces))
        starts = piece.starts(options.frame_count)
        share = Fraction(number // len(footage.pieces) + 1, -(-count // len(footage.pieces)) + 1)
        start = starts[int(share * (len(starts) - 1))]
        row, column = corner(
            np.random.default_rng(0), piece.frames.shape[1:3], size=(height, width), place=options.place
        )
        clips.append(piece.frames[start : start + options.frame_count, row : row + height, column : column + width])
    return clips


def _made(models: Models, frames: Frames, job: TrainingJob, *, tell: Callable[[str], None]) -> _Made:
    count = len(frames)
    lines = LineConditioner()(frames[0], frames[-1], uniform_times(count))
    left, right = (_tensor(frame) for frame in (frames[0], frames[-1]))
    clip = generate(
        models,
        SampleSettings(steps=job.steps, guidance=job.guidance),
        left=left,
        right=right,
        conditions=torch.from_numpy(lines.pictures),
        frames=count,
    )
    made = _bytes(list(clip))
    share = np.linspace(0, 1, count)[:, None, None, None]
    dissolved = np.rint(frames[:1] * (1 - share) + frames[-1:] * share).astype(np.uint8)
    with torch.inference_mode():
        scale = models.vae.config.scaling_factor
        latents = torch.cat([encoded(models, _tensor(frame)[None] * 2 - 1) for frame in frames]) * scale
        through = _bytes(list(decoded(models, latents[None], chunk=2)))
    tell(f"made a held-out gap of {count - 2} frames, {lines.matched} lines matched")
    return _Made(rows={"film": np.ascontiguousarray(frames), "fcvg": made, "blend": dissolved, "vae alone": through})


def _scored(made: list[_Made]) -> tuple[MadeRow, ...]:
    rows = []
    for name in ("fcvg", "blend", "vae alone"):
        scores: list[Score] = []
        for clip in made:
            pairs = zip(clip.rows[name][1:-1], clip.rows["film"][1:-1], strict=True)
            scores += [score(_luma(ours), _luma(theirs)) for ours, theirs in pairs]
        told = summary(scores)
        rows.append(MadeRow(by=name, frames=told.frames, psnr_db=told.psnr_db, ssim=told.ssim))
    return tuple(rows)


def _luma(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    luma: npt.NDArray[np.uint8] = np.rint(frame @ _LUMA).astype(np.uint8)
    return luma


def _tensor(frame: npt.NDArray[np.uint8]) -> torch.Tensor:
    return torch.tensor(frame).permute(2, 0, 1).float().div(255)


def _bytes(frames: list[torch.Tensor]) -> Frames:
    """(3, h, w) each, in [0, 1], as 8 bits."""
    return torch.stack(frames).permute(0, 2, 3, 1).mul(255).round().to(torch.uint8).numpy()
