"""`judge`: whether flow is lost in a gap. The one rule that sends gaps to a generative engine, with all its numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from codec_plugin.engine import Finding
from codec_plugin.timeline.scenes import Likeness

LEAST_MISSING = 5
"""Fewer frames to make than that are flow's, whatever moves. Our choice: `fcvg`'s least clip has 9 frames."""
LOST_FROM = 0.15
"""The `Evidence.loss` from which flow is lost. Chosen on these seven films
(`benchmarks/results/routing.json`): of 2074 gaps flow makes 76 of 5 frames and more worse than 23 dB; the rule flags
75, 48 of them among those."""
SOUND_DB = 30.0
"""Where flow made known frames of this shot so well again, over as wide a gap, it isn't lost."""

_FURTHEST_ASTRAY = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of a gap before anyone fills it. Shares are 0 to 1."""

    missing: int
    """Frames to be made."""
    motion: float
    """How far what is textured moves, as a share of the picture's longer side."""
    unexplained: float
    """Share of the texture that no motion carries over."""
    disagreement: float
    """How far blocks go astray that go there and back, as a share of the furthest that is looked at."""
    probed_db: float | None = None
    """How well the best flow engine made known frames of this shot again, over gaps no narrower; None: not known."""

    @classmethod
    def of(cls, likeness: Likeness, *, missing: int, probed_db: float | None = None) -> Self:
        """The evidence of a gap between two pictures."""
        return cls(
            missing=missing,
            motion=likeness.motion,
            unexplained=likeness.unexplained,
            disagreement=likeness.disagreement / _FURTHEST_ASTRAY,
            probed_db=probed_db,
        )

    @property
    def loss(self) -> float:
        """The geometric mean of the three shares: flow is lost where much moves, far, and comes back elsewhere."""
        return math.cbrt(self.motion * self.unexplained * self.disagreement)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All of it but the probes, for the report."""
        names = ("motion", "unexplained", "disagreement", "loss")
        return tuple(Finding(name=name, value=round(float(getattr(self, name)), 3)) for name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the rule says of a gap."""

    lost: bool
    """Whether flow is lost there."""
    because: str
    """Why, with the numbers."""


_SHORT = Verdict(lost=False, because=f"fewer than {LEAST_MISSING} frames to make: flow's")


def judge(evidence: Evidence) -> Verdict:
    """Whether flow is lost: much to make, what moves moves far and is not found again, and no probe speaks for it."""
    if evidence.missing < LEAST_MISSING:
        return _SHORT
    numbers = (
        f"{evidence.missing} frames to make, loss {evidence.loss:.2f} of motion {evidence.motion:.0%}, "
        f"unexplained {evidence.unexplained:.0%}, disagreement {evidence.disagreement:.0%}"
    )
    if evidence.loss < LOST_FROM:
        return Verdict(lost=False, because=f"flow follows it ({numbers})")
    if evidence.probed_db is not None and evidence.probed_db >= SOUND_DB:
        return Verdict(lost=False, because=f"flow made known frames again at {evidence.probed_db:.1f} dB ({numbers})")
    return Verdict(lost=True, because=f"flow is lost ({numbers})")
