"""`train_stage`: the steps of one stage, with its measurements and checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from codec_plugin.errors import EngineError
from fcvg.training.averaging import Average
from fcvg.training.files import RUN, write_checkpoint
from fcvg.training.journal import Entry, Journal
from fcvg.training.options import TrainOptions
from fcvg.training.reading import Ahead
from fcvg.training.sizes import StageName
from fcvg.training.stages import Stage

CHECKPOINT = f"{RUN}/checkpoint.pt"
"""Where the run stands, in the weights folder that it makes."""
_NOTED_EVERY = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a stage came to."""

    steps: int
    """Optimiser's steps."""
    seconds: float
    """Of wall time, of all its runs."""
    loss_before: float
    """Held-out loss before the first step."""
    loss_after: float
    """Held-out loss of the average of the weights, after the last one."""


class _Run:
    """One stage under way."""

    def __init__(self, stage: Stage, options: TrainOptions, *, state: dict[str, Any] | None) -> None:
        self.stage, self.options = stage, options
        parameters = list(stage.parameters.values())
        rate = options.rate_of(stage.name)
        self.optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=options.weight_decay)
        self.average = Average(stage.parameters, decay=options.decay)
        self.step, self.before_s, self.loss_before = 0, 0.0, math.nan
        self.noted_step, self.losses = 0, 0.0  # since the last line in the journal
        if state is not None:
            with torch.no_grad():
                for name, parameter in stage.parameters.items():
                    parameter.copy_(state["parameters"][name])
            self.average.load(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.before_s = state["step"], state["seconds"]
            self.loss_before = state["loss_before"]
            self.noted_step, self.losses = state["noted_step"], state["losses"]
        self._since = time.perf_counter()

    @property
    def seconds(self) -> float:
        return self.before_s + time.perf_counter() - self._since

    @property
    def share(self) -> float:
        """Of the stage that is done, 0 to 1."""
        allowed = self.options.seconds_of(self.stage.name)
        steps = self.options.steps_of(self.stage.name)
        return min(1.0, self.seconds / allowed) if allowed is not None else self.step / steps if steps else 1.0

    def learn(self, ahead: Ahead) -> tuple[float, float]:
        """One step; the loss before it and the gradients' norm."""
        options = self.options
        for group in self.optimizer.param_groups:
            group["lr"] = options.rate_of(self.stage.name) * warmth(self.step, self.share, options=options)
        self.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for part in range(options.accumulate):
            turn = self.step * options.accumulate + part
            loss = self.stage.loss(ahead.take(self._numbers(turn)), learns=True) / options.accumulate
            loss.backward()
            total += float(loss.detach())
        parameters = list(self.stage.parameters.values())
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, options.clip_norm or math.inf))
        if not math.isfinite(total) or not math.isfinite(norm):
            raise EngineError(
                f"stage {self.stage.name}, step {self.step + 1}: loss {total:g}, gradients {norm:g}: no numbers to go "
                "on from; the last checkpoint is whole: a lower rate, a lower clip_norm or precision=fp32 may do"
            )
        self.optimizer.step()
        self.step += 1
        self.average.update(self.step)
        return total, norm

    def _numbers(self, turn: int) -> range:
        """The examples of a batch: one after another, since those in between would be read ahead for nothing."""
        size = 1 if self.stage.name is StageName.VAE else self.options.batch  # the VAE's example is a whole batch
        return range(turn * size, (turn + 1) * size)

    def measured(self) -> float:
        """Held-out loss of the average of the weights."""
        with self.average.applied(), torch.no_grad():
            losses = [
                float(self.stage.loss([self.stage.measured(number)], learns=False))
                for number in range(self.options.measured)
            ]
        return sum(losses) / len(losses)

    def state(self) -> dict[str, Any]:
        return {
            "stage": str(self.stage.name),
            "step": self.step,
            "seconds": self.seconds,
            "loss_before": self.loss_before,
            "noted_step": self.noted_step,
            "losses": self.losses,
            "parameters": {name: parameter.detach() for name, parameter in self.stage.parameters.items()},
            "average": self.average.values,
            "optimizer": self.optimizer.state_dict(),
        }


def train_stage(
    stage: Stage,
    options: TrainOptions,
    *,
    folder: Path,
    journal: Journal,
    fixed: dict[str, Any],
    state: dict[str, Any] | None,
    tell: Callable[[str], None],
) -> Trained:
    """Trains a stage to its end; afterwards its parameters are their average.

    Args:
        stage: what is trained.
        options: how.
        folder: the weights folder; checkpoints go in it.
        journal: told of the loss, of the speed, and of the held-out loss.
        fixed: what every checkpoint holds besides.
        state: the checkpoint to go on from; None to begin.
        tell: told how it goes, in lines.

    Raises:
        EngineError: the loss is no number any more.
    """
    run = _Run(stage, options, state=state)
    size = sum(parameter.numel() for parameter in stage.parameters.values())
    tell(f"{stage.name}: {size / 1e6:.2f} million parameters, from step {run.step}")

    def measure(what: str) -> float:
        loss = run.measured()
        journal.note({"stage": str(stage.name), "step": run.step, "held_out": loss, "seconds": round(run.seconds, 3)})
        tell(f"{stage.name}: step {run.step}, {run.seconds:.0f} s, held-out loss {loss:.4f}{what}")
        return loss

    def keep() -> None:
        write_checkpoint(folder / CHECKPOINT, fixed | run.state() | {"journal_bytes": journal.bytes})

    if state is None:
        run.loss_before = measure(" before the first step")
        keep()
    noted_s, begun = run.seconds, run.step
    with Ahead(stage.example, workers=options.workers) as ahead:
        while run.share < 1:
            loss, norm = run.learn(ahead)
            run.losses += loss
            if run.step % _NOTED_EVERY == 0:
                taken, steps = run.seconds - noted_s, run.step - max(begun, run.noted_step)
                clips = steps * options.batch * options.accumulate
                entry: Entry = {
                    "stage": str(stage.name),
                    "step": run.step,
                    "loss": run.losses / (run.step - run.noted_step),
                    "norm": norm,
                    "rate": run.optimizer.param_groups[0]["lr"],
                    "seconds": round(run.seconds, 3),
                    "clips_per_s": round(clips / taken, 3),
                }
                journal.note(entry)
                noted_s, run.noted_step, run.losses = run.seconds, run.step, 0.0
            if run.step % options.measure_every == 0 and run.share < 1:
                measure("")
            if run.step % options.checkpoint_every == 0:
                keep()
    loss_after = measure(f", from {run.loss_before:.4f}")
    keep()
    with torch.no_grad():
        for name, parameter in stage.parameters.items():
            parameter.copy_(run.average.values[name])
    return Trained(steps=run.step, seconds=run.seconds, loss_before=run.loss_before, loss_after=loss_after)


def warmth(step: int, share: float, *, options: TrainOptions) -> float:
    """What the learning rate is multiplied by: rising at first, and for small sizes falling along a cosine."""
    rising = min(1.0, (step + 1) / (options.preset.warm_up + 1))
    return rising * (0.5 + 0.5 * math.cos(math.pi * share) if options.preset.cosine else 1.0)
