"""Ticks, rates and frame clocks. The only place that does arithmetic on time stamps; all of it is exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from math import floor, gcd
from typing import Any

import numpy as np
import numpy.typing as npt

Ticks = npt.NDArray[np.int64]
"""Time stamps in ticks of some time base, (n,)."""

STANDARD_RATES = tuple(
    Fraction(rate)
    for rate in (
        "24000/1001 24 25 30000/1001 30 50 60000/1001 60 48 48000/1001 15 15000/1001 12 12000/1001 10 25/2 "
        "100 120000/1001 120 20 5 240"
    ).split()
)
"""Rates that cameras and encoders use, the likelier first: what a fitted period is snapped to."""

MAX_REGULAR_DROP = 8
"""A codec's own timing is believed where it is up to this many times the rate of the steps: "every 8th frame kept".
A larger ratio is a time base written where a rate should stand (x264 does so for VFR input), not a rate."""


def round_half_up(value: Fraction) -> int:
    """The nearest integer; a half goes up, so that equal steps round alike on both sides of zero."""
    return floor(value + Fraction(1, 2))


def rescale(ticks: int, source: Fraction, target: Fraction) -> int:
    """A time stamp in another time base, to the nearest tick."""
    return round_half_up(ticks * source / target)


def show_rate(rate: Fraction) -> str:
    """A rate for people: "29.97 (30000/1001)", "25"."""
    if rate.denominator == 1:
        return str(rate.numerator)
    return f"{float(rate):.3f}".rstrip("0").rstrip(".") + f" ({rate.numerator}/{rate.denominator})"


def show_time(seconds: Fraction | float) -> str:
    """A time for people: "0:01:02.345"."""
    milliseconds = round_half_up(Fraction(seconds) * 1000)
    sign, milliseconds = ("-", -milliseconds) if milliseconds < 0 else ("", milliseconds)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{sign}{hours}:{minutes:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Timestamp:
    """A moment of a stream: an integer count of ticks of a time base."""

    pts: int
    """Presentation time in ticks."""
    time_base: Fraction
    """Seconds a tick."""

    @property
    def seconds(self) -> Fraction:
        """The moment in seconds, exact."""
        return self.pts * self.time_base

    def __str__(self) -> str:
        return f"pts {self.pts} ({show_time(self.seconds)})"


class RateSource(StrEnum):
    """Where a rate was learnt from."""

    USER = "user"
    """`--rate`: believed, even where the time stamps disagree."""
    DROP_MAP = "drop map"
    """A note that travels with the stream and says what was dropped."""
    CODEC = "codec"
    """The bitstream's own timing (H.264 and HEVC VUI, MPEG-4 VOL …)."""
    HEADER = "header"
    """The container."""
    CONTENT = "content"
    """The steps between the time stamps themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateCandidate:
    """A rate that somebody claims for a stream."""

    rate: Fraction
    """Frames a second."""
    source: RateSource
    """Who claims it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameClock:
    """A lattice of evenly spaced slots that frames stand on."""

    origin: Fraction
    """Where slot 0 is, in ticks; a fraction where the container rounded the time stamps."""
    time_base: Fraction
    """Seconds a tick."""
    rate: Fraction
    """Slots a second."""
    source: RateSource = RateSource.CONTENT
    """Where the rate was learnt from."""
    residual: Fraction = Fraction(0)
    """The largest distance of a time stamp from its slot, in slots; at most 1/2."""

    def __post_init__(self) -> None:
        if self.rate <= 0 or self.time_base <= 0:
            raise ValueError(f"rate and time base must be above 0, not {self.rate} and {self.time_base}")

    @property
    def period(self) -> Fraction:
        """Ticks from one slot to the next."""
        return 1 / (self.rate * self.time_base)

    def slot_of(self, pts: int) -> int:
        """The slot nearest to a time stamp."""
        return round_half_up((pts - self.origin) / self.period)

    def position_of(self, slot: Fraction | int) -> Fraction:
        """Where a slot, or a fraction of one, is: in ticks, exact."""
        return self.origin + slot * self.period

    def pts_of(self, slot: Fraction | int) -> int:
        """Where a slot is, to the nearest tick."""
        return round_half_up(self.position_of(slot))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockFit:
    """What the time stamps of a segment say about its clock."""

    clock: FrameClock | None
    """The clock that explains them; None where none does (true VFR), or where there is nothing to tell by."""
    rate_from_content: Fraction | None
    """The rate of the commonest step, whether or not a lattice fits."""
    disagreements: tuple[RateCandidate, ...]
    """The claims that differ from the clock's rate, to be shown to the user."""

    @property
    def is_vfr(self) -> bool:
        """Whether there are steps, and no lattice explains them."""
        return self.clock is None and self.rate_from_content is not None


def believed_rate(*, codec: Fraction | None, header: Fraction | None) -> Fraction | None:
    """The rate to work with where no time stamps can be waited for: the codec's, unless it can only be a time base."""
    if codec is not None and (header is None or codec <= header * MAX_REGULAR_DROP):
        return codec
    return header


def slots_of(pts: Ticks, *, origin: Fraction, period: Fraction) -> npt.NDArray[Any]:
    """The slot nearest to each of many time stamps, in exact integer arithmetic.

    Args:
        pts: time stamps in ticks, (n,).
        origin: where slot 0 is, in ticks.
        period: ticks from slot to slot.

    Returns:
        Slots, (n,): int64, or Python integers where int64 could overflow.
    """
    scale = origin.denominator * period.denominator // gcd(origin.denominator, period.denominator)
    numerator, start = int(period * scale), int(origin * scale)
    largest = max(abs(int(pts[0])), abs(int(pts[-1])), 1) * scale + abs(start) + numerator
    exact = pts if 2 * largest < 2**62 else pts.astype(object)
    return (2 * (exact * scale - start) + numerator) // (2 * numerator)


def fit_clock(pts: Ticks, *, time_base: Fraction, candidates: Sequence[RateCandidate] = ()) -> ClockFit:
    """Finds the lattice that the time stamps of one segment stand on.

    The order of belief: the user; a drop map; the codec's own timing, where the steps are whole multiples of it; the
    steps, written as the exact rate that the header or the list of standard rates gives them. A header alone is
    never believed over the steps: after "keep every second frame" MP4, MOV, TS and AVI claim the halved rate, and
    after random drops MP4's average is nonsense.

    Args:
        pts: time stamps in presentation order, strictly rising, (n,).
        time_base: seconds a tick.
        candidates: what user, drop map, codec and header claim.
    """
    if pts.size == 0:
        return ClockFit(clock=None, rate_from_content=None, disagreements=())
    imposed = next((c for c in candidates if c.source in (RateSource.USER, RateSource.DROP_MAP)), None)
    content = _content_rate(pts, time_base=time_base, claims=[c.rate for c in candidates])
    clock = _imposed(pts, time_base, imposed) if imposed else _believed(pts, time_base, candidates, content)
    rate = clock.rate if clock else content
    differing = tuple(
        c for c in candidates if rate is not None and not _alike(c.rate, rate) and not _is_time_base(c, rate)
    )
    return ClockFit(clock=clock, rate_from_content=content, disagreements=differing)


def output_subdivision(steps: Sequence[Fraction], *, time_base: Fraction) -> int:
    """Into how many parts a tick must be cut for all steps to be whole numbers of ticks.

    Args:
        steps: lengths in ticks.
        time_base: seconds a tick; the result keeps its denominator in 31 bits, as MP4 and FFmpeg need, and then
            some steps are rounded.
    """
    parts = 1
    for step in steps:
        parts = parts * step.denominator // gcd(parts, step.denominator)
    limit = (2**31 - 1) // time_base.denominator
    while parts > max(limit, 1):
        parts //= 2
    return max(parts, 1)


def _imposed(pts: Ticks, time_base: Fraction, candidate: RateCandidate) -> FrameClock:
    clock, _ = _lattice(pts, time_base, candidate)
    return clock


def _believed(
    pts: Ticks, time_base: Fraction, candidates: Sequence[RateCandidate], content: Fraction | None
) -> FrameClock | None:
    codec = [c for c in candidates if c.source is RateSource.CODEC]
    header = [c for c in candidates if c.source is RateSource.HEADER]
    if content is None:  # one frame: nothing contradicts the claims
        return next((_imposed(pts, time_base, c) for c in (*codec, *header)), None)
    steps = RateCandidate(rate=content, source=RateSource.CONTENT)
    fits_content = _lattice(pts, time_base, steps)[1]
    plausible = [
        c
        for c in codec
        if content <= c.rate * Fraction(1001, 1000) and c.rate <= content * MAX_REGULAR_DROP * Fraction(1001, 1000)
    ]
    exact = [c for c in header if fits_content and _alike(c.rate, content) and c.rate in STANDARD_RATES]
    for candidate in (*plausible, *exact, steps, *([] if fits_content else header)):
        clock, fits = _lattice(pts, time_base, candidate)
        if fits:
            return clock
    return None


def _is_time_base(claim: RateCandidate, rate: Fraction) -> bool:
    """Whether a codec names its tick (MPEG-4's VOL, x264's VFR timing) where a rate should stand."""
    return claim.source is RateSource.CODEC and claim.rate > rate * MAX_REGULAR_DROP


def _alike(one: Fraction, other: Fraction) -> bool:
    return abs(one - other) * 2000 < other


def _lattice(pts: Ticks, time_base: Fraction, candidate: RateCandidate) -> tuple[FrameClock, bool]:
    """The lattice of a rate laid over time stamps as well as can be, and whether it explains every one of them."""
    period = 1 / (candidate.rate * time_base)
    origin = Fraction(int(pts[0]))
    for _ in range(2):  # the first stamp may be the one that stands off; once centred, the slots are right
        slots = slots_of(pts, origin=origin, period=period)
        low, high = _deviations(pts, slots, origin=origin, period=period)
        origin += _recentred(low, high)
    slots = slots_of(pts, origin=origin, period=period)
    low, high = _deviations(pts, slots, origin=origin, period=period)
    residual = max(abs(low), abs(high))
    own_slot = bool(np.all(np.diff(slots) > 0))
    # One tick: containers round or cut off. An eighth of a slot: what live encoders jitter by.
    fits = own_slot and residual <= max(Fraction(1), period / 8)
    clock = FrameClock(
        origin=origin,
        time_base=time_base,
        rate=candidate.rate,
        source=candidate.source,
        residual=min(residual / period, Fraction(1, 2)),
    )
    return clock, fits


def _deviations(
    pts: Ticks, slots: npt.NDArray[Any], *, origin: Fraction, period: Fraction
) -> tuple[Fraction, Fraction]:
    """The least and the largest (pts - position of its slot), in ticks, exact."""
    scale = origin.denominator * period.denominator // gcd(origin.denominator, period.denominator)
    wide = pts.astype(object) if abs(int(pts[-1])) * scale > 2**61 else pts
    scaled = wide * scale - int(origin * scale) - slots * int(period * scale)
    return Fraction(int(scaled.min()), scale), Fraction(int(scaled.max()), scale)


def _recentred(low: Fraction, high: Fraction) -> Fraction:
    """How far to move the origin: not at all where rounding to the nearest tick explains everything."""
    half = Fraction(1, 2)
    if -half <= low and high <= half:
        return Fraction(0)
    return (low + high) / 2


def _content_rate(pts: Ticks, *, time_base: Fraction, claims: Sequence[Fraction]) -> Fraction | None:
    """The rate of the commonest step, as the exact fraction somebody claims, or a standard one, or the simplest."""
    period = _content_period(pts)
    if period is None:
        return None
    span = max(int(pts[-1] - pts[0]), 1)
    # The period is known to about a tick at either end of the span; coarser for jittered stamps.
    tolerance = min(Fraction(1, 100), Fraction(3, 2) / span) + Fraction(1, 10**7)
    rate = 1 / (period * time_base)
    standard = [claim for claim in claims if claim in STANDARD_RATES]
    # FFmpeg guesses odd header rates such as 19001/317 from millisecond stamps: a standard rate goes first.
    for known in (*standard, *STANDARD_RATES, *claims):
        if abs(known - rate) <= rate * tolerance:
            return known
    return simplest_between(rate * (1 - tolerance), rate * (1 + tolerance))


def _content_period(pts: Ticks) -> Fraction | None:
    steps = np.diff(pts)
    if steps.size == 0:
        return None
    values, counts = np.unique(steps, return_counts=True)
    counts_with_neighbours = [int(counts[np.abs(values - value) <= 1].sum()) for value in values]
    mode = int(values[int(np.argmax(counts_with_neighbours))])  # 33 and 34 are one step, rounded
    near = steps[np.abs(steps - mode) <= max(1, mode // 10)]
    period = Fraction(int(near.sum()), int(near.size))
    for reach in (
        4,
        64,
        None,
    ):  # ever longer steps, as the period grows sharp enough to count the slots in them
        slots = slots_of(steps, origin=Fraction(0), period=period)
        off = np.abs(steps - slots * float(period))
        # A short step that is no whole number of slots says nothing of their length; in a long one that may be drift.
        used = (slots > 0) & ((slots > 2) | (off <= max(1.0, float(period) / 8)))
        if reach is not None:
            used &= slots <= reach
        if not used.any():
            return period
        period = Fraction(int(steps[used].sum()), int(slots[used].sum()))
    return period


def simplest_between(low: Fraction, high: Fraction) -> Fraction:
    """The fraction with the smallest denominator in [low, high] (Stern-Brocot tree); 0 < low <= high."""
    whole = floor(low)
    if whole == low:
        return low
    if whole + 1 <= high:
        return Fraction(whole + 1)
    return whole + 1 / simplest_between(1 / (high - whole), 1 / (low - whole))
