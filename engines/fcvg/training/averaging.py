"""`Average`: the exponential moving average of the weights, which is what is measured and written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


class Average:
    """A moving average of some parameters. With a decay of 0 it is the parameters themselves."""

    def __init__(self, parameters: Mapping[str, Tensor], *, decay: float) -> None:
        """Begins at the parameters' present values."""
        self.decay = decay
        """How much of the average a step leaves, at most."""
        self._parameters = parameters
        self.values = {name: parameter.detach().clone() for name, parameter in parameters.items()}
        """The average, by the parameters' names."""

    def update(self, step: int) -> None:
        """Takes the parameters in after a step, the first being 1.

        The decay begins small and rises with the steps, (1 + n)/(10 + n), else a short run would average its start.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, value in self.values.items():
                value.lerp_(self._parameters[name].detach(), 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Has the parameters be the average for as long as it lasts."""
        own = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}
        self._set(self.values)
        try:
            yield
        finally:
            self._set(own)

    def load(self, values: Mapping[str, Tensor]) -> None:
        """Goes on from an average that was kept."""
        for name, value in self.values.items():
            value.copy_(values[name])

    def _set(self, values: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(values[name])
