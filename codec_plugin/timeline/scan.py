"""`scan`: what a file's time stamps say, without decoding it; with `decode`, what its pictures say too."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction

from codec_plugin.errors import DamagedInput, OptionError
from codec_plugin.media.packets import PacketTable, read_packets
from codec_plugin.media.probe import SourceInfo, TimeKeeping, VideoInfo, probe_source
from codec_plugin.media.reader import Reader, Window
from codec_plugin.media.source import Source, input_errors, late_index_hint, open_input, pick_video, source_name
from codec_plugin.options import Duplicates, Repair, RestoreOptions
from codec_plugin.timeline.gaps import Cause, Gap, bad_frames, dropped
from codec_plugin.timeline.inspect import Inspection, Look, inspect
from codec_plugin.timeline.segments import Timeline, build_timeline
from codec_plugin.timeline.sidemap import SideMap, read_side_map
from codec_plugin.timing import RateCandidate, RateSource, show_rate, show_time

_UNFINISHED_S = 1  # seconds that the pictures may end before the header's duration
_LOSSY_TRANSPORTS = (
    "mpegts",
    "rtp",
    "rtsp",
    "h264",
    "hevc",
)  # where a hole may be a lost packet, not a choice


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What is known of a stream before any of it is made."""

    info: SourceInfo
    """The file's headers."""
    timeline: Timeline
    """Times, segments and clocks."""
    digest: str
    """Which stream this is: SHA-256 over its packet table."""
    gaps: tuple[Gap, ...]
    """Where frames are missing, in order."""
    candidates: tuple[RateCandidate, ...]
    """Who claims which rate."""
    skipped: dict[str, int]
    """What was left out of the timeline, by reason."""
    inspection: Inspection | None
    """What decoding showed; None for a scan that only demuxed."""
    side: SideMap
    """What travels with the stream: a map of frames left out, marks of frames made."""
    notes: tuple[str, ...]
    """What a user should know."""

    def bad(self, options: RestoreOptions) -> dict[int, str]:
        """Source frames to be made again under the options, each with the reason; needs `inspection`."""
        if self.inspection is None:
            return {}
        bad = self.inspection.damage.bad(options.repair)
        if options.duplicates is Duplicates.FILL:
            bad |= {pts: "repeats the frame before" for pts in self.inspection.repeats if pts not in bad}
        return bad


def scan(
    source: Source,
    *,
    options: RestoreOptions | None = None,
    decode: bool = False,
    video: int | None = None,
    window: Window | None = None,
    look: Look | None = None,
    progress: Callable[[int], None] = lambda frames: None,
) -> Scan:
    """Reads a file's packet table and says what clock it runs on and where frames are missing.

    Args:
        source: a path or an open, seekable file.
        options: `rate`, `max_gap` and `scene_threshold` are used.
        decode: look at the pictures too: damage, frozen repeats, cuts.
        video: index of the video stream; None for the film's own.
        window: only this part.
        look: with `decode`, what to look for; all of it by default.
        progress: with `decode`, called with the number of frames so far.

    Raises:
        InputError: the file can't be read, or has no video.
    """
    options = options or RestoreOptions()
    info, table, tags = _read(source, video)
    side = read_side_map(table, tags)
    timeline = build_timeline(
        table.pts,
        time_base=table.time_base,
        candidates=(candidates := _candidates(info.video, options.rate, side)),
        max_gap=options.max_gap,
        breaks=table.breaks,
    )
    if window is not None and not window.is_whole:
        timeline = timeline.window(*window.bounds(info))
    if table.pts.size and not timeline.frame_count:
        raise OptionError(f"{info.name}: no frame lies in the window; the film lasts {_length(table)}")
    if not timeline.frame_count:
        hint = late_index_hint(source, container=info.container)
        raise DamagedInput(
            f"{info.name}: stream {info.video.index} ({info.video.codec}) holds no pictures to show{hint}"
        )
    gaps = tuple(dropped(timeline))
    inspection = None
    if decode:
        inspection = _inspected(
            source, info, gaps, video=video, window=window, look=look, options=options, progress=progress
        )
    return Scan(
        info=info,
        timeline=timeline,
        digest=table.digest,
        gaps=_all_gaps(timeline, gaps, inspection),
        candidates=candidates,
        skipped=dict(table.skipped),
        inspection=inspection,
        side=side,
        notes=(
            *side.notes(timeline.time_base),
            *_notes(info, timeline, table, whole=window is None or window.is_whole),
        ),
    )


def _read(source: Source, video: int | None) -> tuple[SourceInfo, PacketTable, dict[str, str]]:
    name = source_name(source)
    container = open_input(source)
    try:
        stream = pick_video(container, video)
        info = probe_source(container, video=stream, name=name)
        with input_errors(name):
            return info, read_packets(container, video=stream, info=info.video), dict(container.metadata)
    finally:
        container.close()
        if not isinstance(source, str) and hasattr(source, "seek"):
            source.seek(0)


def _inspected(
    source: Source,
    info: SourceInfo,
    gaps: tuple[Gap, ...],
    *,
    video: int | None,
    window: Window | None,
    look: Look | None,
    options: RestoreOptions,
    progress: Callable[[int], None],
) -> Inspection:
    lossy = info.container.split(",")[0] in _LOSSY_TRANSPORTS
    holes = frozenset(gap.right_pts for gap in gaps) if lossy else frozenset()
    with Reader(source, video=video, window=window, deinterlace=options.deinterlace) as reader:
        reader.interlaced_is_fine = True
        found = inspect(
            reader,
            look=look or Look(taint=True, repeats=True, cuts=True),
            scene_threshold=options.scene_threshold,
            holes=holes,
            progress=progress,
        )
    if not isinstance(source, str) and hasattr(source, "seek"):
        source.seek(0)
    return found


def _length(table: PacketTable) -> str:
    return show_time(int(table.pts[-1] - table.pts[0]) * table.time_base)


def _candidates(video: VideoInfo, rate: Fraction | None, side: SideMap) -> tuple[RateCandidate, ...]:
    claims = (
        (rate, RateSource.USER),
        (side.rate, RateSource.DROP_MAP),
        (video.rate_from_codec, RateSource.CODEC),
        (video.rate_from_header, RateSource.HEADER),
    )
    return tuple(RateCandidate(rate=claim, source=source) for claim, source in claims if claim)


def _all_gaps(timeline: Timeline, holes: tuple[Gap, ...], inspection: Inspection | None) -> tuple[Gap, ...]:
    gaps = list(holes)
    if inspection is not None:
        damage = inspection.damage
        for reason, repair in (
            ("lost", Repair.MISSING),
            ("flagged", Repair.FLAGGED),
            ("tainted", Repair.TAINTED),
        ):
            worse = set(damage.bad(repair)) - {pts for gap in gaps for pts in gap.missing}
            evidence = next((why for pts, why in damage.bad(repair).items() if pts in worse), reason)
            gaps += bad_frames(timeline, worse, cause=Cause.CORRUPT, evidence=evidence)
        evidence = "like the frame before, then a jump"
        gaps += bad_frames(timeline, inspection.repeats, cause=Cause.REPEATED, evidence=evidence)
    return tuple(sorted(gaps, key=lambda gap: (gap.left_pts, gap.right_pts)))


def _notes(info: SourceInfo, timeline: Timeline, table: PacketTable, *, whole: bool) -> Iterable[str]:
    main = timeline.main
    assert main is not None
    clock = main.clock
    if clock is not None:
        for claim in main.fit.disagreements:
            yield (
                f"the {claim.source} says {show_rate(claim.rate)} fps, the clock in use is {show_rate(clock.rate)} "
                f"(from the {clock.source}); --rate overrides it"
            )
        content = main.fit.rate_from_content
        if content is not None and clock.rate > content * Fraction(3, 2):
            yield (
                f"the commonest step is {show_rate(content)} fps: frames are missing regularly, if "
                f"{show_rate(clock.rate)} is right; --rate {content} takes the steps for the true rate"
            )
    elif main.fit.is_vfr:
        yield "true variable frame rate: no steady clock explains the times, so no gap can be told; --rate imposes one"
    if info.video.time_keeping is TimeKeeping.DECODER_ORDER:
        yield "AVI keeps decode times only and the pictures are reordered: they are shown in the decoder's order"
    if info.video.time_keeping is TimeKeeping.ORDINAL:
        yield "a raw stream has no times: pictures are counted at its own rate"
    if info.video.is_interlaced:
        yield "the video is interlaced; double, upsample and restore need --deinterlace"
    if len(timeline.segments) > 1:
        at = ", ".join(show_time(segment.first * timeline.time_base) for segment in timeline.segments[1:4])
        yield f"{len(timeline.segments)} segments: the time jumps at {at}; nothing is filled there"
    for pts in timeline.backward_jumps:
        yield f"time jumps back at {show_time(pts * timeline.time_base)}: files joined end to end?"
    for reason, count in table.skipped.items():
        yield f"left out: {count} {reason}"
    if table.ended_early:
        yield f"the file breaks off: {table.ended_early}"
    if info.video.frames_from_header > table.packet_count:
        promised = info.video.frames_from_header
        yield f"the header promises {promised} pictures and {table.packet_count} are there: the file was cut off"
    last = max(segment.last for segment in timeline.segments) * timeline.time_base
    ends = last - info.start
    # Some headers count from the first picture, some from 0.
    if info.duration is not None and whole and max(ends, last) + _UNFINISHED_S < info.duration:
        yield (
            f"the header promises {show_time(info.duration)} and the pictures end at {show_time(ends)}: "
            "the file was cut off, unless its sound is longer"
        )
