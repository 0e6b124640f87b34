"""`Watch`: what the caller hears of a run and can say to it, and the check that it still makes sense."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from codec_plugin.errors import Cancelled, CannotFill


def _never() -> bool:
    return False


def _nobody(_share: float) -> None:
    pass


@dataclass(slots=True, kw_only=True)
class Watch:
    """Counts UNet calls; between them it asks whether to go on."""

    expected: int
    """UNet calls that the run is going to take."""
    cancelled: Callable[[], bool] = _never
    """Asked after every call."""
    progress: Callable[[float], None] = _nobody
    """Told the share of the calls that is done, 0 to 1."""
    calls: int = field(default=0, init=False)
    """UNet calls so far; one has both guidance halves."""

    def saw(self, prediction: Tensor, *, sigma: float) -> None:
        """One call came back.

        Raises:
            CannotFill: it isn't finite.
            Cancelled: the caller asked to stop.
        """
        self.calls += 1
        if not bool(torch.isfinite(prediction).all()):
            raise CannotFill(
                f"the network's prediction is not finite at call {self.calls} of {self.expected} (sigma {sigma:.4g}): "
                "try a precision of bf16 or fp32, and check the weights with: codec-plugin weights check DIR"
            )
        self.progress(min(1.0, self.calls / max(1, self.expected)))
        self.go_on()

    def go_on(self) -> None:
        """Asks whether to go on.

        Raises:
            Cancelled: the caller asked to stop.
        """
        if self.cancelled():
            raise Cancelled("FCVG stopped between two of its steps, as asked")
