"""`Router`: which engine suits a gap, by evidence.

Where flow is lost (`codec_plugin.evidence`) it is the generative engine, if it is there and the budget has room.
Else it is one of the flow engines: known frames beside the gap are taken away and made again by each.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations

import numpy as np

from codec_plugin.engine import Finding, Take, engine_parts
from codec_plugin.errors import CannotFill, EngineError
from codec_plugin.evidence import LEAST_MISSING, Evidence, judge
from codec_plugin.filling import Filler, Station
from codec_plugin.media.pixels import native_layout, to_frame, to_picture
from codec_plugin.picture import Family, Picture

_HISTORY = 12  # source frames kept: the known ones that probes are made of
_HISTORY_PIXELS = 25_000_000  # in all of them; of UHD frames three are kept
_LEAST_HISTORY = 3
_FULL = 3  # probes that make an opinion
_REFRESH = 8  # gaps that an opinion serves before one more probe is made
_MEMORY = 4  # probes that count; older ones are another moment's
_FRESH_S = 2  # seconds; motion changes
_DISSOLVE = "blend"
# Measured on five clips at gaps of 1, 3 and 7: two flow engines that come within 0.4 dB of each other err
# differently, and their mean is better than either (up to 0.35 dB); beyond, the better one alone is.
_CLEAR_DB = 0.4
# Probes are wider than the gap where a stream is doubled, and a dissolve loses less there than flow does: with a
# lead of 1 dB it was taken for gaps that flow fills 1.6 dB better.
_DISSOLVE_LEADS_DB = 2.0
_MIDDLE = (Fraction(3, 10), Fraction(7, 10))  # a frame close to a neighbour is easy for every engine
_LIKE = 0.2  # of the logarithm of the windows' widths
_FILM = 8  # probes of earlier shots that count where a shot has none yet
_AS_WIDE = 0.7  # of the gap: probes over less say too little of it
_BEST_DB = 80.0
_WORST_DB = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Three known frames: the middle one is taken away and made again from the two outer ones."""

    left: Station
    """The one before."""
    middle: Station
    """The one that is made again."""
    right: Station
    """The one after."""

    @property
    def position(self) -> Fraction:
        """Of the middle one between the outer ones."""
        return Fraction(self.middle.pts - self.left.pts, self.right.pts - self.left.pts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Probe:
    """What one window showed."""

    right_pts: int
    width_pts: int
    scores: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The engine for one gap, and why."""

    engine: str
    """Its name."""
    because: str | None = None
    """What the rule says of the gap, and why the engine that it asks for isn't taken, where that is so; None where the
    engine was named."""
    lost: bool = False
    """Whether flow is lost in the gap, as the rule has it."""
    findings: tuple[Finding, ...] = ()
    """The evidence, and what the probes showed: for each flow engine the mean luma PSNR of the known frames that it
    made again."""


class Router:
    """Chooses between the engines that are usable here, gap by gap.

    Probes are made at the spacing nearest to the gap's that the known frames allow: the gap's own where a few
    frames of a full-rate stream are missing, twice the gap's where a whole stream is doubled. Cost is bounded: three
    probes make an opinion of a shot, and one more is made for every eighth gap.
    """

    def __init__(self, filler: Filler, *, time_base: Fraction, scene_threshold: float) -> None:
        """Starts without an opinion.

        Args:
            filler: asks the engines.
            time_base: seconds a source tick.
            scene_threshold: cut score from which no probe is made across two frames.
        """
        self._filler, self._time_base, self._scene_threshold = filler, time_base, scene_threshold
        self.known: deque[Station] = deque()
        """The last source frames that went by."""
        self._probes: deque[_Probe] = deque(maxlen=_MEMORY)
        self._earlier: deque[_Probe] = deque(maxlen=_FILM)
        self._done: deque[tuple[int, int]] = deque(maxlen=4 * _HISTORY)
        self._last: tuple[object, Choice] | None = None
        self._served = 0
        self.unserved: dict[str, int] = {}
        """Gaps where flow is lost and was taken all the same, by the reason."""
        self.probes = 0
        """Windows probed so far."""
        self.seconds = 0.0
        """Wall time that they took."""

    def see(self, station: Station) -> None:
        """Takes note of a good source frame that goes by."""
        self.known.append(station)
        room = _HISTORY_PIXELS // (station.frame.width * station.frame.height)
        while len(self.known) > max(_LEAST_HISTORY, min(_HISTORY, room)):
            self.known.popleft()

    def forget(self) -> None:
        """A new shot: until it has probes of its own, those of the film so far speak for it."""
        self.known.clear()
        self._probes.clear()
        self._served = 0

    def choose(self, left: Station, right: Station, *, count: int, generative: bool = True) -> Choice:
        """The engine for a gap; `left` is the frame seen last.

        Args:
            left: the frame before the gap.
            right: the frame after.
            count: frames to be made.
            generative: whether the generative engine may be taken.

        Raises:
            EngineError: a candidate broke its promise.
        """
        flow = self._flow(left, right, count=count)
        probed_db = self._probed_db(width_pts=right.pts - left.pts)
        if count < LEAST_MISSING:
            short = Evidence(missing=count, motion=0, unexplained=0, disagreement=0)
            return replace(flow, because=judge(short).because)
        evidence = Evidence.of(self._filler.likeness(left, right), missing=count, probed_db=probed_db)
        verdict = judge(evidence)
        findings = (*evidence.findings, *flow.findings)
        if not verdict.lost or not generative:
            return replace(flow, because=verdict.because, findings=findings)
        name, obstacle = self._generative(left, count=count)
        if obstacle is None:
            return Choice(engine=name, because=verdict.because, lost=True, findings=findings)
        return self._instead(replace(flow, because=verdict.because, lost=True, findings=findings), obstacle)

    def planned(self, name: str, left: Station, right: Station, *, count: int) -> Choice:
        """The generative engine, as a budget planned it; flow where it can't be had any more. As `choose`."""
        generative, obstacle = self._generative(left, count=count)
        if obstacle is None and generative == name:
            return Choice(engine=name, because=f"the budget goes to {name} here", lost=True)
        flow = self.choose(left, right, count=count, generative=False)
        return self._instead(flow, obstacle or f"{name} isn't what makes lost gaps here")

    def _instead(self, flow: Choice, obstacle: str) -> Choice:
        self.unserved[obstacle] = self.unserved.get(obstacle, 0) + 1
        return replace(flow, because=f"{flow.because}; {obstacle}")

    def others(
        self, choice: Choice, left: Station, *, count: int, generative: bool = True
    ) -> tuple[list[str], list[str]]:
        """Who is asked next where the engine chosen refuses, in order, and why somebody isn't.

        The other flow engines and, for a long gap, the generative one: that one first where flow is lost.
        """
        first = engine_parts(choice.engine)[0]  # of a mean the second may do it alone
        flows = [name for name in self._filler.candidates() if name not in (first, _DISSOLVE)]
        if count < LEAST_MISSING or not generative:
            return flows, []
        name, obstacle = self._generative(left, count=count)
        if obstacle is not None:
            return flows, [] if choice.lost else [obstacle]  # else it was said when the engine was chosen
        return [name, *flows] if choice.lost else [*flows, name], []

    def _generative(self, left: Station, *, count: int) -> tuple[str, str | None]:
        """The generative engine's name, and why it can't be taken; None where it can."""
        status = self._filler.generative()
        if status.missing is not None:
            return status.name, f"{status.name} isn't usable here"
        objection = self._filler.unfit(status.name, left.frame, count=count)
        if objection is not None:
            return status.name, objection
        size = left.frame.width, left.frame.height
        try:
            seconds = self._filler.engine(status.name).estimate(size, positions=count).seconds
        except (CannotFill, EngineError) as error:
            return status.name, f"{status.name} can't: {error}"
        refusal = self._filler.purse.refusal(seconds)
        return status.name, refusal and f"{status.name}: {refusal}"

    def _probed_db(self, *, width_pts: int) -> float | None:
        """How well the best flow engine made known frames of this shot again, over gaps that are as wide."""
        best = [
            max(score for name, score in probe.scores.items() if name != _DISSOLVE)
            for probe in self._probes
            if probe.width_pts >= _AS_WIDE * width_pts and set(probe.scores) != {_DISSOLVE}
        ]
        return float(np.mean(best)) if best else None

    def _flow(self, left: Station, right: Station, *, count: int) -> Choice:
        """The flow engine that made known frames best, or the mean of two."""
        fit = [name for name in self._filler.candidates() if self._filler.unfit(name, left.frame, count=count) is None]
        if len(fit) < 2:
            return Choice(engine=fit[0] if fit else self._filler.candidates()[0], findings=())
        self._probes = deque((p for p in self._probes if self._is_fresh(p, left)), maxlen=_MEMORY)
        self._served += 1
        for window in self._windows(left, right, most=self._wanted()):
            self._probe(window, fit)
        return self._opinion(fit)

    def _wanted(self) -> int:
        """How many probes to make now."""
        if len(self._probes) < _FULL:
            return _FULL - len(self._probes)
        return 1 if self._served > _REFRESH else 0

    def _is_fresh(self, probe: _Probe, left: Station) -> bool:
        return (left.pts - probe.right_pts) * self._time_base <= _FRESH_S

    def _opinion(self, fit: list[str]) -> Choice:
        probes = [probe for probe in self._probes or self._earlier if probe.scores.keys() >= set(fit)]
        if not probes:
            return Choice(engine=pick_by_scores(dict.fromkeys(fit, 0.0)), findings=())
        key = (fit, probes)
        if self._last is None or self._last[0] != key:
            self._last = key, self._judged(fit, probes)  # gaps share what stands in the report
        return self._last[1]

    def _judged(self, fit: list[str], probes: list[_Probe]) -> Choice:
        means = {name: float(np.mean([probe.scores[name] for probe in probes])) for name in fit}
        told = [Finding(name=f"probed {name}", value=round(mean, 2), unit="dB") for name, mean in means.items()]
        return Choice(engine=pick_by_scores(means), findings=(*told, Finding(name="probes", value=len(probes))))

    def _windows(self, left: Station, right: Station, *, most: int) -> list[Window]:
        """The windows nearest to the gap in spacing, the latest first, that were not probed yet.

        Wider ones than there need be say more of the engines' limits than of the gap.
        """
        if most == 0:
            return []
        wanted = right.pts - left.pts
        known = [*self.known, right]
        found = []
        for first, last in combinations(range(len(known)), 2):
            window = _window(known, first, last)
            if window is not None:
                unlike = abs(math.log((window.right.pts - window.left.pts) / wanted))
                found.append((round(unlike, 2), -last, window))
        found.sort(key=lambda entry: entry[:2])
        near = [window for unlike, _, window in found if unlike <= found[0][0] + _LIKE]
        new = [window for window in near if (window.left.pts, window.right.pts) not in self._done]
        return [window for window in new[:most] if self._is_one_shot(window)]

    def _is_one_shot(self, window: Window) -> bool:
        if self._scene_threshold >= 100:
            return True
        return self._filler.cut_score(window.left, window.right) < self._scene_threshold

    def _probe(self, window: Window, names: list[str]) -> None:
        started = time.monotonic()
        scores = {name: self._score(window, name) for name in names}
        width_pts = window.right.pts - window.left.pts
        probe = _Probe(right_pts=window.right.pts, width_pts=width_pts, scores=scores)
        self._probes.append(probe)
        self._earlier.append(probe)
        self._done.append((window.left.pts, window.right.pts))
        self._served = 0
        self.probes += 1
        self.seconds += time.monotonic() - started

    def _score(self, window: Window, name: str) -> float:
        """Luma PSNR of the middle frame as the output would have it, in dB; 0 where the engine can't make it."""
        try:
            made = list(self._filler.fill(name, window.left, window.right, (window.position,)))
        except CannotFill:
            return _WORST_DB
        return _psnr(self._as_shown(made[0], window.middle), self._truth(window.middle))

    def _truth(self, station: Station) -> Picture:
        native = native_layout(station.frame.format.name)
        return self._filler.picture(station, Take.NATIVE if native else Take.RGB)

    def _as_shown(self, made: Picture, station: Station) -> Picture:
        if made.layout.is_float and native_layout(station.frame.format.name):
            frame = to_frame(made, like=station.frame, pts=station.pts, time_base=self._time_base)
            return to_picture(frame)
        return made


def pick_by_scores(scores: dict[str, float]) -> str:
    """The rule: the flow engine that leads clearly, the mean of those that are near it, or the dissolve.

    Args:
        scores: for each candidate, the likeliest to be best first, its mean luma PSNR in dB.
    """
    flows = {name: score for name, score in scores.items() if name != _DISSOLVE}
    if not flows:
        return _DISSOLVE
    best = max(flows.values())
    if scores.get(_DISSOLVE, _WORST_DB) > best + _DISSOLVE_LEADS_DB:
        return _DISSOLVE
    return "+".join(name for name, score in flows.items() if score > best - _CLEAR_DB)


def _window(known: list[Station], first: int, last: int) -> Window | None:
    """The window between two known frames around the one nearest to its middle; None where that is off-centre."""
    inside: Iterator[Station] = iter(known[first + 1 : last])
    centre = Fraction(known[first].pts + known[last].pts, 2)
    middle = min(inside, key=lambda station: abs(station.pts - centre), default=None)
    if middle is None:
        return None
    window = Window(left=known[first], middle=middle, right=known[last])
    return window if _MIDDLE[0] <= window.position <= _MIDDLE[1] else None


def _psnr(made: Picture, truth: Picture) -> float:
    """Of luma, or of all three colours of RGB, in dB."""
    count = 3 if truth.layout.family is Family.RGB else 1
    peak = 1.0 if truth.layout.is_float else float(truth.layout.peak)
    errors = [
        np.mean(np.square(np.subtract(ours, theirs, dtype=np.float32)), dtype=np.float64)
        for ours, theirs in zip(made.planes[:count], truth.planes[:count], strict=True)
    ]
    error = float(np.mean(errors)) / peak**2
    return min(_BEST_DB, -10.0 * math.log10(error)) if error > 0 else _BEST_DB
