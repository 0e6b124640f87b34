"""The competitors behind one interface: our engines, FFmpeg's minterpolate, VapourSynth's plugins, and FILM."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import av
import numpy as np
from av.filter import Graph

from benchmarks.cases import Gap
from benchmarks.footage import LAYOUT, picture_frame, plane_rows
from codec_plugin.engine import engine_option_fields, engine_parts, pick_engine
from codec_plugin.errors import OptionError
from codec_plugin.grids import Restore
from codec_plugin.options import DEFAULT_SCENE_THRESHOLD, Repair, RestoreOptions
from codec_plugin.picture import Picture, Plane
from codec_plugin.plan import Action, FillTask, Guard, RestorePlan
from codec_plugin.schedule import PlanSchedule
from codec_plugin.weave import Outcome, OutputFrame, Weaver, WeaveSettings

_RATE = 25
TICK = Fraction(1, _RATE)
"""Seconds from one frame of an excerpt to the next, whatever the clip's own rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a peer made."""

    pictures: dict[int, Picture]
    """Keyed by their index in the excerpt; a frame that could not be made is left out."""
    seconds: float
    """Wall time of the making, conversions to and from the peer's own pictures included."""
    held: frozenset[int] = frozenset()
    """Those of the pictures that show a neighbour again, because the engine can't make them."""
    by_fallback: frozenset[int] = frozenset()
    """Those of the pictures that the engine's fallback made."""
    because: str | None = None
    """Why the first of those was not made by the engine itself."""


class Peer(Protocol):
    """Something that makes the missing frames of an excerpt."""

    @property
    def name(self) -> str:
        """As in the tables."""
        ...

    def make(self, frames: list[Picture], gaps: list[Gap]) -> Ran:
        """Makes the frames in the gaps; only kept frames may be looked at.

        A gap of which a peer leaves out a frame is left out for all.

        Raises:
            EngineError: the peer can't run here, or not on these frames.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePeer:
    """One of the engines, with its options."""

    name: str
    """As in the tables."""
    engine: str
    """As in `load_engine`."""
    options: Mapping[str, str] = field(default_factory=dict)
    """As in `RestoreOptions.engine_options`."""

    def make(self, frames: list[Picture], gaps: list[Gap]) -> Ran:
        """Weaves the kept frames as a restoration does: conversions, probes of "auto" and held frames included.

        Raises:
            EngineError: the engine isn't usable here, or something went wrong inside.
        """
        if not gaps:
            return Ran(pictures={}, seconds=0.0)
        step = gaps[0].right - gaps[0].left
        settings = WeaveSettings(
            time_base=TICK,
            engine=self.engine,
            scene_threshold=DEFAULT_SCENE_THRESHOLD,
            max_gap=Fraction(len(frames)),
            repair=Repair.MISSING,
            name="the excerpt",
            engine_options=self.options,
        )
        outcomes: list[Outcome] = []
        weaver = Weaver(PlanSchedule(self._plan(len(frames), gaps)), settings, outcome=outcomes.append)
        kept = (picture_frame(frames[index], pts=index, time_base=TICK) for index in range(0, len(frames), step))
        woven = (item for item in weaver.weave(kept) if isinstance(item, OutputFrame) and item.made_by is not None)
        begun = time.perf_counter()
        pictures = {item.pts: _taken(item.frame) for item in woven}
        seconds = time.perf_counter() - begun
        reasons = [each.held_because or each.fallback_because for each in outcomes]
        return Ran(
            pictures=pictures,
            seconds=seconds,
            held=frozenset(pts for each in outcomes if each.action is Action.HOLD for pts in each.target_pts),
            by_fallback=frozenset(pts for each in outcomes if each.fallback_because for pts in each.target_pts),
            because=next(filter(None, reasons), None),
        )

    def _plan(self, count: int, gaps: list[Gap]) -> RestorePlan:
        """Every gap to be filled, and no guard but the engine's own: the gaps are known to lie within one shot."""
        tasks = (
            FillTask(
                id=number,
                left_pts=gap.left,
                right_pts=gap.right,
                target_pts=tuple(gap.dropped),
                action=Action.FILL,
                engine=self.engine,
                guards=(Guard.CANNOT_FILL,),
                reason="dropped",
            )
            for number, gap in enumerate(gaps)
        )
        return RestorePlan(
            source="the excerpt",
            digest=None,
            verb=Restore(),
            options=RestoreOptions(engine=self.engine, engine_options=self.options),
            time_base=TICK,
            output_time_base=TICK,
            rate=None,
            frame_count=count,
            tasks=tuple(tasks),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MinterpolatePeer:
    """FFmpeg's minterpolate filter, which sees the kept frames one after the other, cuts and all."""

    name: str
    """As in the tables."""
    options: dict[str, str] = field(default_factory=dict)
    """The filter's options but for its rate."""

    def make(self, frames: list[Picture], gaps: list[Gap]) -> Ran:
        """Runs the filter over the kept frames and picks what it made in the gaps.

        The filter looks two frames ahead and never fills a stream's last gaps, so the last kept frame is shown thrice.
        """
        if not gaps:
            return Ran(pictures={}, seconds=0.0)
        step = gaps[0].right - gaps[0].left
        wanted = {index for gap in gaps for index in gap.dropped}
        graph = self._graph(frames[0], step)
        made: dict[int, Picture] = {}
        begun = time.perf_counter()
        kept = range(0, len(frames), step)
        for index in (*kept, kept[-1] + step, kept[-1] + 2 * step):
            shown = frames[min(index, kept[-1])]
            graph.push(picture_frame(shown, pts=index, time_base=TICK))
            _drain(graph, wanted, made)
        graph.push(None)
        _drain(graph, wanted, made)
        return Ran(pictures=made, seconds=time.perf_counter() - begun)

    def _graph(self, first: Picture, step: int) -> Graph:
        graph = Graph()
        source = graph.add(
            "buffer",
            video_size=f"{first.width}x{first.height}",
            pix_fmt="yuv420p",
            time_base=f"1/{_RATE}",
            pixel_aspect="1/1",
            frame_rate=f"{_RATE}/{step}",
        )
        maker = graph.add("minterpolate", **{"fps": str(_RATE), **self.options})
        sink = graph.add("buffersink")
        source.link_to(maker)
        maker.link_to(sink)
        graph.configure()
        return graph


@dataclass(frozen=True, slots=True, kw_only=True)
class VapourSynthPeer:
    """FlowFPS of a VapourSynth plugin, run by a Python of its own (VapourSynth needs 3.12)."""

    name: str
    """As in the tables."""
    plugin: str
    """The plugin's namespace: "mv" or "mvu"."""
    python: Path
    """A Python with VapourSynth and the plugin."""

    def make(self, frames: list[Picture], gaps: list[Gap]) -> Ran:
        """Hands the kept frames over in a file, padded to an even size, and takes the frames in the gaps back."""
        if not gaps:
            return Ran(pictures={}, seconds=0.0)
        step = gaps[0].right - gaps[0].left
        kept = [frames[index] for index in range(0, len(frames), step)]
        with TemporaryDirectory() as folder:
            source, target = Path(folder) / "in.npz", Path(folder) / "out.npz"
            y, u, v = (np.stack([_even(picture, index) for picture in kept]) for index in range(3))
            np.savez(source, y=y, u=u, v=v)
            script = Path(__file__).with_name("vapoursynth_flow.py")
            subprocess.run([self.python, script, self.plugin, str(step), source, target], check=True)
            stored = np.load(target)
            made, seconds = [stored[name] for name in "yuv"], float(stored["seconds"])
        sizes = [plane.shape for plane in frames[0].planes]
        wanted = [index for gap in gaps for index in gap.dropped if index < len(made[0])]
        pictures = {
            index: Picture(
                planes=tuple(
                    planes[index, :rows, :columns] for planes, (rows, columns) in zip(made, sizes, strict=True)
                ),
                layout=LAYOUT,
            )
            for index in wanted
        }
        return Ran(pictures=pictures, seconds=seconds)


def _even(picture: Picture, index: int) -> Plane:
    """A plane of a picture as if luma had an even size, the last row and column repeated."""
    height, width = ((side + side % 2) // (2 if index else 1) for side in picture.planes[0].shape)
    plane = picture.planes[index]
    return np.pad(plane, ((0, height - plane.shape[0]), (0, width - plane.shape[1])), mode="edge")


def vapoursynth_peers(python: Path | None) -> list[Peer]:
    """MVTools and MVUtensils, where a Python is given that has them."""
    if python is None:
        return []
    return [
        VapourSynthPeer(name="MVTools FlowFPS", plugin="mv", python=python),
        VapourSynthPeer(name="MVUtensils FlowFPS", plugin="mvu", python=python),
    ]


MINTERPOLATE = (
    # With me_mode=bidir the filter gives the same pictures for mc_mode=obmc and aobmc, with and without vsbmc.
    MinterpolatePeer(
        name="minterpolate bidir",
        options={"mi_mode": "mci", "mc_mode": "aobmc", "me_mode": "bidir", "vsbmc": "1"},
    ),
    MinterpolatePeer(
        name="minterpolate bilat",
        options={"mi_mode": "mci", "mc_mode": "aobmc", "me_mode": "bilat", "vsbmc": "1"},
    ),
    MinterpolatePeer(name="minterpolate blend", options={"mi_mode": "blend"}),
)
"""The filter's two kinds of motion compensation at their best, and its dissolve."""


def engine_peer(text: str) -> EnginePeer:
    """An engine as one writes it: `NAME` or `NAME:OPTION=VALUE,OPTION=VALUE`, such as `fcvg:fusion=trf,steps=12`.

    With "auto", or several engines joined by "+", an option is `ENGINE.OPTION`. Its name in the tables leaves out
    options that are paths: those are other ones on every machine.

    Raises:
        EngineError: there is no such engine.
        OptionError: it has no such option, or the text isn't a value of it.
    """
    name, _, rest = text.partition(":")
    options: dict[str, str] = {}
    shown = []
    for each in rest.split(",") if rest else ():
        key, equals, value = each.partition("=")
        if not equals or not key:
            raise OptionError(f"an engine's option is OPTION=VALUE, such as fcvg:fusion=trf, not {each!r} in {text!r}")
        options[key if "." in key else f"{name}.{key}"] = value
        if not _takes_path(name, key) and os.sep not in value:
            shown.append(each)
    pick_engine(name, options)
    label = f"{name}:{','.join(shown)}" if shown else name
    return EnginePeer(name=label, engine=name, options=options)


def _takes_path(engine: str, option: str) -> bool:
    owner, _, field_name = option.rpartition(".")
    owner = owner or engine
    if owner != engine and owner not in engine_parts(engine) and engine not in ("auto", "flow"):
        return False
    return any(each.name == field_name and "path" in each.values for each in engine_option_fields(owner))


def peers(engines: tuple[str, ...], *, vapoursynth: Path | None = None, minterpolate: bool = True) -> list[Peer]:
    """The engines as written, every minterpolate unless told, and VapourSynth's where a Python for them is given.

    Raises:
        EngineError: there is no such engine.
        OptionError: an option is wrong, or two engines have the same name in the tables.
    """
    made: list[Peer] = [engine_peer(text) for text in engines]
    if minterpolate:
        made += MINTERPOLATE
    made += vapoursynth_peers(vapoursynth)
    names = [peer.name for peer in made]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise OptionError(f"two peers would both be called {', '.join(twice)} in the tables; leave one out")
    return made


def threads() -> int:
    """How many threads the engines use: one a core."""
    return os.cpu_count() or 1


def _drain(graph: Graph, wanted: set[int], made: dict[int, Picture]) -> None:
    while True:
        try:
            frame = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        if not isinstance(frame, av.VideoFrame) or frame.time is None:
            continue
        index = round(frame.time * _RATE)
        if index in wanted:
            made[index] = _taken(frame)


def _taken(frame: av.VideoFrame) -> Picture:
    """A copy of a frame in `LAYOUT`."""
    return Picture(planes=tuple(plane_rows(plane).copy() for plane in frame.planes), layout=LAYOUT)
