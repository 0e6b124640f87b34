"""The functions that scripts call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

import vapoursynth as vs

from codec_plugin.engine import CHOICES, Engine, auto_candidates, engine_parts, pick_engine
from codec_plugin.errors import CodecPluginError
from codec_plugin.filling import Filler
from codec_plugin.grids import Multiply, Resample, Restore
from codec_plugin.options import DEFAULT_SCENE_THRESHOLD, RestoreOptions
from vsfcvg.filling import GapFiller, GapOrder
from vsfcvg.formats import Format, format_of
from vsfcvg.repeats import SEEN_EACH_WAY, measured, run_around
from vsfcvg.stations import Station, Stations

MADE_BY = "FCVGMadeBy"
"""The frame property that new frames have: the engine's name, or "hold" for a neighbour shown again."""

_NO_CUTS = 100.0
_CUT_AFTER, _CUT_BEFORE = "_SceneChangeNext", "_SceneChangePrev"
_UNKNOWN_RATE = Fraction(25)  # of a frame that has no duration, for an engine's sense of speed only


def fcvg(
    clip: vs.VideoNode,
    factor_num: int = 2,
    factor_den: int = 1,
    fps_num: int | None = None,
    fps_den: int | None = None,
    engine: str | Engine = "auto",
    sc: bool = True,
    sc_threshold: float | None = None,
    engine_options: Mapping[str, str] | None = None,
    fallback: str | None = None,
) -> vs.VideoNode:
    """More frames: the clip's own, untouched, and new ones between them.

    A whole factor k gives k times the frames; those after the last source frame are it again. Any other rate gets the
    frames of that rate, of which a source frame within an eighth of a place takes it, as `--fps` does.

    Args:
        clip: YUV, gray or RGB; 8, 9, 10, 12, 14 or 16 bit, or float. Its format and size must not vary.
        factor_num: the new rate as a multiple of the clip's own, over `factor_den`.
        factor_den: see `factor_num`.
        fps_num: the new rate, frames a second over `fps_den` (1 by default), in place of a factor.
        fps_den: see `fps_num`.
        engine: an engine's name, as `codec-plugin engines` lists them, several joined by "+" for the mean of what they
            make, or an engine. Frames may be asked for in any order, so that there is no history to choose by: "auto"
            takes the one that is likeliest to be the best here.
        sc: make no frames across scene cuts, but show the nearer neighbour again. Where frames have the properties
            `_SceneChangeNext` or `_SceneChangePrev`, these decide; elsewhere the two pictures are compared.
        sc_threshold: 0 to 100, the score from which compared pictures are two scenes; 50 by default.
        engine_options: `{"engine.option": "value"}`, as `codec-plugin engines NAME` lists them.
        fallback: who makes the frames that the engine says it can't; "hold" for nobody.

    Returns:
        The clip at the new rate. New frames have the property `FCVGMadeBy`; each has its own `_DurationNum` and
        `_DurationDen`.

    Raises:
        vs.Error: bad use, or an engine that isn't usable; in the frame that it happens, an engine that fails.
    """
    name = "fcvg"
    form = _format(clip, name)
    with _errors(name):
        verb = _verb(clip, factor_num, factor_den, fps_num, fps_den)
        options = _options(engine, sc=sc, sc_threshold=sc_threshold, engine_options=engine_options, fallback=fallback)
        filler = _filler(clip, engine, verb=verb, options=options, name=name)
        stations = Stations(verb, rate=clip.fps or None, frames=clip.num_frames)
    rate = clip.fps * verb.factor if isinstance(verb, Multiply) else verb.rate
    blank = vs.core.std.BlankClip(
        clip, length=stations.count, fpsnum=rate.numerator, fpsden=rate.denominator, keep=True
    )
    left, right = (_at(clip, stations, blank, ahead=ahead) for ahead in (0, 1))
    return vs.core.std.ModifyFrame(
        blank, [left, right], partial(_between, stations=stations, form=form, filler=filler, sc=sc, rate=rate or None)
    )


def restore(
    clip: vs.VideoNode,
    engine: str | Engine = "auto",
    sc: bool = True,
    sc_threshold: float | None = None,
    engine_options: Mapping[str, str] | None = None,
    fallback: str | None = None,
) -> vs.VideoNode:
    """Makes frozen repeats again: frames that only stand where others were lost. Everything else stays as it is.

    A repeat differs from the frame before by codec noise only, while the picture moves before and after it. To judge,
    58 frames on either side are looked at, in whatever order frames are asked for.

    Args:
        clip: see `fcvg`.
        engine: see `fcvg`.
        sc: see `fcvg`.
        sc_threshold: see `fcvg`.
        engine_options: see `fcvg`.
        fallback: see `fcvg`.

    Returns:
        The clip, as long and as fast as before; new frames have the property `FCVGMadeBy`.

    Raises:
        vs.Error: see `fcvg`.
    """
    name = "restore"
    form = _format(clip, name)
    with _errors(name):
        options = _options(engine, sc=sc, sc_threshold=sc_threshold, engine_options=engine_options, fallback=fallback)
        filler = _filler(clip, engine, verb=Restore(), options=options, name=name)
    stats = measured(clip)
    near = [_shifted(stats, offset) for offset in range(-SEEN_EACH_WAY, SEEN_EACH_WAY + 1)]

    def chosen(n: int, f: list[vs.VideoFrame]) -> vs.VideoNode:
        run = run_around(n, f, frames=clip.num_frames)
        if run is None:
            return clip
        sides = [vs.core.std.Loop(clip[at], clip.num_frames) for at in (run.start - 1, run.stop)]
        fill = partial(_replaced, run=run, form=form, filler=filler, sc=sc)
        return vs.core.std.ModifyFrame(clip, [clip, *sides], fill)

    return vs.core.std.FrameEval(clip, chosen, prop_src=near, clip_src=[clip])


def _format(clip: vs.VideoNode, name: str) -> Format:
    if not isinstance(clip, vs.VideoNode):
        raise vs.Error(f"vsfcvg.{name}: the clip must be a video node, not {type(clip).__name__}")
    return format_of(clip, function=f"vsfcvg.{name}")


@contextmanager
def _errors(name: str) -> Iterator[None]:
    """This package's errors as VapourSynth's."""
    try:
        yield
    except CodecPluginError as error:
        raise vs.Error(f"vsfcvg.{name}: {error}") from error


def _verb(
    clip: vs.VideoNode, factor_num: int, factor_den: int, fps_num: int | None, fps_den: int | None
) -> Multiply | Resample:
    numbers = {"factor_num": factor_num, "factor_den": factor_den, "fps_num": fps_num, "fps_den": fps_den}
    for what, number in numbers.items():
        if number is not None and (not isinstance(number, int) or number < 1):
            raise vs.Error(f"vsfcvg.fcvg: {what} must be a whole number above 0, not {number!r}")
    if fps_num is None and fps_den is not None:
        raise vs.Error("vsfcvg.fcvg: fps_den without fps_num; give both")
    factor = Fraction(factor_num, factor_den)
    if fps_num is None and factor.denominator == 1:
        return Multiply(int(factor))
    if not clip.fps:
        raise vs.Error(
            "vsfcvg.fcvg: the clip's frame rate varies (its fps is 0), so only a whole factor is possible; "
            "core.std.AssumeFPS gives it a rate"
        )
    return Resample(Fraction(fps_num, fps_den or 1) if fps_num is not None else clip.fps * factor)


def _options(
    engine: str | Engine,
    *,
    sc: bool,
    sc_threshold: float | None,
    engine_options: Mapping[str, str] | None,
    fallback: str | None,
) -> RestoreOptions:
    given = dict(engine_options or {})
    name = engine if isinstance(engine, str) else engine.info.name
    if isinstance(engine, str) and pick_engine(name, given, fallback=fallback) in CHOICES:
        name = auto_candidates(given)[0]
    threshold = DEFAULT_SCENE_THRESHOLD if sc_threshold is None else sc_threshold
    options = RestoreOptions(engine=name, scene_threshold=threshold, engine_options=given, fallback=fallback)
    return options if sc else replace(options, scene_threshold=_NO_CUTS)


def _filler(
    clip: vs.VideoNode,
    engine: str | Engine,
    *,
    verb: Multiply | Resample | Restore,
    options: RestoreOptions,
    name: str,
) -> GapFiller:
    """Loads the engines now, so that what they lack is told when the script is loaded."""
    source, time_base = f"vsfcvg.{name}", 1 / (clip.fps or _UNKNOWN_RATE)
    given = None if isinstance(engine, str) else engine
    filler = Filler(source=source, time_base=time_base, engine=given, options=options.engine_options)
    for part in engine_parts(options.engine):
        filler.engine(part)
    return GapFiller(filler, verb=verb, options=options, time_base=time_base, name=source)


def _at(clip: vs.VideoNode, stations: Stations, blank: vs.VideoNode, *, ahead: int) -> vs.VideoNode:
    """A clip as long as the output: for each of its frames the source frame before it, or the next but `ahead`."""
    if isinstance(stations.verb, Multiply):
        source = _shifted(clip, ahead)
        return vs.core.std.Interleave([source] * stations.verb.factor, modify_duration=False)
    last = clip.num_frames - 1

    def chosen(n: int) -> vs.VideoNode:
        return clip[min(stations.station(n).left + ahead, last)]

    return vs.core.std.FrameEval(blank, chosen, clip_src=[clip])


def _shifted(clip: vs.VideoNode, offset: int) -> vs.VideoNode:
    """A clip whose frame n is the clip's n + offset, the outermost ones repeated."""
    length = clip.num_frames
    if not offset:
        return clip
    if abs(offset) >= length:
        return vs.core.std.Loop(clip[-1 if offset > 0 else 0], length)
    if offset > 0:
        return clip[offset:] + vs.core.std.Loop(clip[-1], offset)
    return vs.core.std.Loop(clip[0], -offset) + clip[:offset]


def _between(
    n: int,
    f: list[vs.VideoFrame],
    *,
    stations: Stations,
    form: Format,
    filler: GapFiller,
    sc: bool,
    rate: Fraction | None,
) -> vs.VideoFrame:
    """An output frame of `fcvg`."""
    left, right = f[0], f[1]
    station = stations.station(n)
    made = left.copy()
    _mark(made, left, station, stations, rate=rate)
    if station.is_source:
        return made
    if station.left + 1 >= stations.frames:
        made.props[MADE_BY] = "hold"
        return made
    order = GapOrder(
        left=form.to_frame(left, pts=station.left),
        right=form.to_frame(right, pts=station.left + 1),
        targets=stations.gap(station.left),
        parts=stations.parts,
        is_cut=_is_cut(left, right) if sc else None,
    )
    return _written(made, order, station.pts, form=form, filler=filler, name="fcvg")


def _replaced(
    n: int, f: list[vs.VideoFrame], *, run: range, form: Format, filler: GapFiller, sc: bool
) -> vs.VideoFrame:
    """An output frame of `restore` that is a repeat."""
    here, left, right = f
    order = GapOrder(
        left=form.to_frame(left, pts=run.start - 1),
        right=form.to_frame(right, pts=run.stop),
        targets=tuple(run),
        parts=1,
        is_cut=_is_cut(left, right) if sc else None,
    )
    return _written(here.copy(), order, n, form=form, filler=filler, name="restore")


def _written(
    target: vs.VideoFrame, order: GapOrder, pts: int, *, form: Format, filler: GapFiller, name: str
) -> vs.VideoFrame:
    with _errors(name):
        made = filler.frame(order, pts)
    form.write(made.frame, target)
    target.props[MADE_BY] = made.made_by
    return target


def _is_cut(left: vs.VideoFrame, right: vs.VideoFrame) -> bool | None:
    """What the script's own scene detection says, if there was one."""
    said = [frame.props[name] for frame, name in ((left, _CUT_AFTER), (right, _CUT_BEFORE)) if name in frame.props]
    return any(map(bool, said)) if said else None


def _duration(frame: vs.VideoFrame) -> Fraction | None:
    """How long a frame is shown, in seconds."""
    number, denominator = (frame.props.get(name) for name in ("_DurationNum", "_DurationDen"))
    return Fraction(int(number), int(denominator)) if number and denominator else None


def _mark(
    made: vs.VideoFrame, left: vs.VideoFrame, station: Station, stations: Stations, *, rate: Fraction | None
) -> None:
    """Gives an output frame its own duration, time and cut marks."""
    props: Any = made.props
    duration = _duration(left)
    if rate:
        duration = 1 / rate
    elif duration is not None:
        duration /= stations.parts
    if duration is not None:
        props["_DurationNum"], props["_DurationDen"] = duration.numerator, duration.denominator
    part = Fraction(station.pts - station.left * stations.parts, stations.parts)
    if "_AbsoluteTime" in props and (whole := _duration(left)):
        props["_AbsoluteTime"] = float(props["_AbsoluteTime"]) + float(part * whole)
    if not station.is_last and _CUT_AFTER in props:
        props[_CUT_AFTER] = 0
    if not station.is_source and _CUT_BEFORE in props:
        props[_CUT_BEFORE] = 0
