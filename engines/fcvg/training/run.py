"""`train`: a whole run, from the videos to a weights folder; one that was broken off goes on where it stood."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from codec_plugin.errors import OptionError
from fcvg.place import device_of
from fcvg.training.files import RUN, read_checkpoint, write_checkpoint
from fcvg.training.footage import Footage, Split
from fcvg.training.journal import Journal
from fcvg.training.loop import CHECKPOINT, Trained, train_stage
from fcvg.training.networks import from_nothing, from_weights
from fcvg.training.options import UNBOUND, Precision, TrainOptions
from fcvg.training.planar import make_planar
from fcvg.training.sizes import StageName
from fcvg.training.stages import Ground, make_stage

JOURNAL = f"{RUN}/journal.jsonl"
"""Losses and speeds, in the weights folder that the run makes."""
_DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """What a run came to. A resumed one tells of all of it."""

    stages: dict[StageName, Trained]
    """The stages, in order."""
    undecodable: int
    """Pieces of the films that could not be decoded, met in this run."""


def _nobody(_line: str) -> None:
    pass


def train(split: Split, out: Path, options: TrainOptions, *, tell: Callable[[str], None] = _nobody) -> TrainReport:
    """Trains, and writes a weights folder; goes on from the checkpoint where there is one.

    Args:
        split: from `footage.survey`.
        out: the weights folder. For `svd` it holds FCVG's own two files only.
        options: how.
        tell: told how it goes, in lines.

    Raises:
        OptionError: the folder's run was begun with other options.
        EngineError: there is no such device, the networks can't be made or read, or the loss is no number any more.
        InputError: the footage has no stretch long enough.
    """
    state = read_checkpoint(out / CHECKPOINT)
    told = _told(split, options)
    if state is not None:
        _same_run(state["told"], told, out=out)
        tell(f"going on with stage {state['stage']} at step {state['step']}, from {out / CHECKPOINT}")
    names = tuple(StageName) if options.is_from_nothing else (StageName.FCVG,)
    finished: dict[StageName, Trained] = {}
    for name, values in (state["finished"] if state else {}).items():
        finished[StageName(name)] = Trained(**values)
    device, autocast = _place(options)
    if options.is_from_nothing:
        models = from_nothing(options, folder=out, done=frozenset(finished))
    else:
        models = from_weights(options)
    cropped, cache = options.cropped, options.cache_mb << 20
    for network in (models.unet, models.encoder, models.vae, models.image_encoder):
        network.to(device)
    if device.type == "cpu" and autocast is not None:
        make_planar(models.unet)
        make_planar(models.vae)
    ground = Ground(
        models=replace(models, device=device),
        options=options,
        training=Footage(split.training, crop=cropped, cache_bytes=cache, tell=tell),
        held_out=Footage(split.held_out, crop=cropped, cache_bytes=cache // 4, tell=tell),
        autocast=autocast,
    )
    with Journal(out / JOURNAL, keep_bytes=state["journal_bytes"] if state else 0) as journal:
        for name in names:
            if name in finished:
                continue
            stage = make_stage(name, ground)
            fixed: dict[str, Any] = {"told": told, "finished": _plain(finished)}
            resumed = state if state is not None and state["stage"] == name else None
            finished[name] = train_stage(
                stage, options, folder=out, journal=journal, fixed=fixed, state=resumed, tell=tell
            )
            stage.finish(out, trained=f"stage {name}: {finished[name].steps} steps, size {options.size}")
        fixed = {"told": told, "finished": _plain(finished), "journal_bytes": journal.bytes}
        write_checkpoint(out / CHECKPOINT, fixed | {"stage": _DONE, "step": 0})
    undecodable = sum(footage.counts["undecodable pieces"] for footage in (ground.training, ground.held_out))
    return TrainReport(stages=finished, undecodable=undecodable)


def _place(options: TrainOptions) -> tuple[torch.device, torch.dtype | None]:
    device = device_of(options.device)
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
    is_bf16 = options.precision is Precision.BF16 or (options.precision is Precision.AUTO and fast)
    return device, torch.bfloat16 if is_bf16 else None


def _told(split: Split, options: TrainOptions) -> str:
    """All that a run's numbers hang on, as JSON."""
    values = {name: value for name, value in asdict(options).items() if name not in UNBOUND}
    pieces = [
        [piece.path.name, float(piece.start), float(piece.duration)] for piece in (*split.training, *split.held_out)
    ]
    return json.dumps(values | {"pieces": pieces}, default=str)


def _same_run(before: str, now: str, *, out: Path) -> None:
    theirs, ours = json.loads(before), json.loads(now)
    differing = [name for name in ours if theirs.get(name) != ours[name]]
    if not differing:
        return
    shown = [
        "the videos are others" if name == "pieces" else f"{name} was {theirs.get(name)} and is {ours[name]}"
        for name in differing
    ]
    raise OptionError(
        f"{out} holds a run that was begun otherwise ({'; '.join(shown)}): resume it as it was begun, or give "
        "another folder"
    )


def _plain(finished: dict[StageName, Trained]) -> dict[str, dict[str, Any]]:
    return {str(name): asdict(trained) for name, trained in finished.items()}
