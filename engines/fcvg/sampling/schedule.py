"""Noise levels: the Euler scheduler of the SVD checkpoint, as a few pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codec_plugin.errors import EngineError

_NEEDED = {"prediction_type": "v_prediction", "timestep_type": "continuous", "use_karras_sigmas": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The noise levels of one run."""

    sigmas: tuple[float, ...]
    """Falling; one for each step, and 0 behind them."""
    initial_sigma: float
    """What the initial noise is multiplied by."""

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.sigmas) - 1


def karras_sigmas(
    steps: int, *, sigma_min: float = 0.002, sigma_max: float = 700.0, rho: float = 7.0
) -> tuple[float, ...]:
    """Noise levels after Karras et al. (arXiv 2206.00364), eq. 5, without the 0 behind them."""
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return tuple((high + index / (steps - 1) * (low - high)) ** rho for index in range(steps))


def consistency_sigmas(
    steps: int, *, sigma_min: float = 0.002, sigma_max: float = 700.0, rho: float = 7.0, trained: int = 40
) -> tuple[float, ...]:
    """Of the levels that a consistency model was trained on, evenly chosen ones, without the 0 behind them.

    AnimateLCM's (Wang et al., arXiv 2402.00769): the first of every `trained // steps` of 40 levels after Karras.
    """
    levels = karras_sigmas(trained, sigma_min=sigma_min, sigma_max=sigma_max, rho=rho)
    return levels[:: trained // steps][:steps]


def timestep(sigma: float) -> float:
    """What the networks are told of a noise level: 0.25 ln sigma (Karras et al., table 1, as SVD was trained)."""
    return 0.25 * math.log(sigma)


def schedule_of(config: Mapping[str, Any], *, steps: int, consistency: bool = False) -> Schedule:
    """The schedule that a checkpoint's scheduler_config.json asks for.

    Args:
        config: what it says.
        steps: noise levels, without the 0 at the end; at most 40 for a consistency model.
        consistency: whether they are to be those of a consistency model.

    Raises:
        EngineError: it asks for one that SVD doesn't use; the message names the entry.
    """
    for name, value in _NEEDED.items():
        if config.get(name) != value:
            raise EngineError(
                f"scheduler_config.json says {name}={config.get(name)!r}, and SVD's says {value!r}: "
                "this is the configuration of another model"
            )
    low, high = config.get("sigma_min"), config.get("sigma_max")
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)) or not 0 < low < high:
        raise EngineError(f"scheduler_config.json must give 0 < sigma_min < sigma_max, not {low} and {high}")
    levels = consistency_sigmas if consistency else karras_sigmas
    sigmas = levels(steps, sigma_min=low, sigma_max=high)
    full = config.get("timestep_spacing", "linspace") in ("linspace", "trailing")
    return Schedule(sigmas=(*sigmas, 0.0), initial_sigma=sigmas[0] if full else math.hypot(sigmas[0], 1.0))
