"""`Profile`: a named way of taking fewer operations than the published method does, at some loss.

None of them is a default. `python -m benchmarks profiles` measures each one's loss against the exact run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from codec_plugin.errors import OptionError


class ProfileName(StrEnum):
    """The profiles that can be asked for."""

    EXACT = "exact"
    """Everything as published."""
    LATE_GUIDANCE = "late-guidance"
    """No guidance in the last two fifths of the steps, where it changes little (Kynkäänniemi et al., arXiv 2404.07724):
    the half without the image isn't computed there."""
    DEEPCACHE = "deepcache"
    """All of the UNet but its outermost layers at every other step only (Ma, Fang, Wang, arXiv 2312.00858)."""
    TWELVE_STEPS = "12-steps"
    """Twelve steps."""
    EIGHT_STEPS = "8-steps"
    """Eight steps."""
    LCM = "lcm"
    """Four steps without guidance, by a consistency model's weights (AnimateLCM, Wang et al., arXiv 2402.00769)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What is left out."""

    name: str
    """Shown in errors; those of `PROFILES` are `ProfileName`s."""
    steps: int | None = None
    """Denoising steps; None for as many as the fusion was published with, or as the user says."""
    unguided_share: float = 0.0
    """Of the steps, the last ones: they are run with the image only. 1 for a model that needs no guidance."""
    reuse_interval: int = 1
    """The UNet's deep features are computed at each so manieth noise level, and kept in between; 1 keeps none."""
    consistency: bool = False
    """Whether the weights are a consistency model's: it has noise levels of its own, and noise anew between them."""

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 2:
            raise OptionError(f"a profile has at least 2 steps, not {self.steps}")
        if not 0 <= self.unguided_share <= 1:
            raise OptionError(f"unguided_share is from 0 to 1, not {self.unguided_share}")
        if self.reuse_interval < 1:
            raise OptionError(f"reuse_interval must be at least 1, not {self.reuse_interval}")

    def guided(self, index: int, *, steps: int) -> bool:
        """Whether the step of an index is run with guidance."""
        return index < steps - round(self.unguided_share * steps)


EXACT = Profile(name=ProfileName.EXACT)
PROFILES = {
    ProfileName.EXACT: EXACT,
    ProfileName.LATE_GUIDANCE: Profile(name=ProfileName.LATE_GUIDANCE, unguided_share=0.4),
    ProfileName.DEEPCACHE: Profile(name=ProfileName.DEEPCACHE, reuse_interval=2),
    ProfileName.TWELVE_STEPS: Profile(name=ProfileName.TWELVE_STEPS, steps=12),
    ProfileName.EIGHT_STEPS: Profile(name=ProfileName.EIGHT_STEPS, steps=8),
    ProfileName.LCM: Profile(name=ProfileName.LCM, steps=4, unguided_share=1.0, consistency=True),
}
"""By name."""


class Rhythm:
    """At which noise levels of a run deep features are computed: every so manieth, and the first after a rise."""

    def __init__(self, interval: int) -> None:
        self._interval = interval
        self._last: float | None = None
        self._since = 0

    def at(self, sigma: float) -> bool:
        """Whether they are computed at this level; to be asked in the run's order, as often as one likes at a level."""
        if self._last is None or sigma > self._last:
            self._since = 0
        elif sigma < self._last:
            self._since += 1
        self._last = sigma
        return self._since % self._interval == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What a clip takes of the UNet: rows of its batch, a direction and a guidance half each."""

    whole: int
    """Computed from end to end."""
    shallow: int
    """Computed by the outermost layers, on deep features that were kept."""


def rows_of(profile: Profile, visits: Sequence[tuple[int, int]], *, steps: int) -> Rows:
    """Counts a run's rows.

    Args:
        profile: what is left out.
        visits: (index of the step, UNet calls there), in the order in which they are run.
        steps: of the run.
    """
    rhythm = Rhythm(profile.reuse_interval)
    counts = {True: 0, False: 0}
    for index, calls in visits:
        counts[rhythm.at(-float(index))] += calls * (2 if profile.guided(index, steps=steps) else 1)
    return Rows(whole=counts[True], shallow=counts[False])
