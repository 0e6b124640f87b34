"""The command that looks: streams, clock, gaps with their evidence, and a strip of the timeline."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.table import Table
from rich.text import Text

from codec_plugin.cli.choices import MANNERS, TIMING, input_path
from codec_plugin.cli.console import Voice, folded, ticking
from codec_plugin.cli.files import write_json
from codec_plugin.errors import OptionError
from codec_plugin.job import Progress
from codec_plugin.media.source import is_seekable
from codec_plugin.media.writer import check_place
from codec_plugin.options import RestoreOptions
from codec_plugin.timeline.gaps import Cause, Gap
from codec_plugin.timeline.scan import Scan, scan
from codec_plugin.timing import show_rate, show_time

_STRIP_CELLS = 72
_SHOWN_GAPS = 12
_CAUSE_STYLE = {Cause.DROPPED: "red", Cause.REPEATED: "yellow", Cause.CORRUPT: "magenta"}


@click.command("scan")
@input_path()
@click.option("--json", "json_path", metavar="FILE", help="Write the result as JSON (- for standard output).")
@click.option("--decode", is_flag=True, help="Look at the pictures too: damage, frozen repeats, cuts.")
@TIMING
@MANNERS
def scan_command(
    source: str,
    json_path: str | None,
    decode: bool,
    rate: Fraction | None,
    max_gap: Fraction,
    scene_threshold: float,
    video: int | None,
    yes: bool,
    verbose: int,
    quiet: bool,
) -> None:
    """Show streams, frame clock and gaps. Decodes nothing without --decode."""
    if not is_seekable(source) and decode:
        raise OptionError("scan --decode reads the file twice, which a pipe doesn't allow; save it to a file first")
    if json_path not in (None, "-"):
        check_place(Path(json_path), source=Path(source), overwrite=True)  # now, not after the work
    voice = Voice(verbosity=-1 if quiet else verbose)
    options = RestoreOptions(rate=rate, max_gap=max_gap, scene_threshold=scene_threshold)
    with ticking(voice, hint="Leave out --decode for times only.") as ticker:
        found = scan(
            source,
            options=options,
            decode=decode,
            video=video,
            progress=lambda frames: ticker(Progress(stage="look", frames=frames, total=None, made=0)),
        )
    if json_path is not None:
        write_json(json_path, scan_to_json(found))
    if json_path != "-" and not quiet:
        _show(voice, found)


def scan_to_json(found: Scan) -> dict[str, Any]:
    """A scan as plain JSON values; times in ticks of `time_base`."""
    video, inspection = found.info.video, found.inspection
    return {
        "kind": "codec-plugin scan",
        "version": 1,
        "source": found.info.name,
        "container": found.info.container,
        "digest": found.digest,
        "streams": [
            {"index": s.index, "kind": s.kind, "codec": s.codec, "language": s.language} for s in found.info.streams
        ],
        "video": {
            "index": video.index,
            "codec": video.codec,
            "size": list(video.size),
            "pixel_format": video.pixel_format,
            "interlaced": video.is_interlaced,
            "time_keeping": str(video.time_keeping),
        },
        "time_base": str(found.timeline.time_base),
        "frames": found.timeline.frame_count,
        "rates": [{"source": str(c.source), "rate": str(c.rate)} for c in found.candidates],
        "segments": [_segment_json(segment) for segment in found.timeline.segments],
        "gaps": [
            {
                "left_pts": gap.left_pts,
                "right_pts": gap.right_pts,
                "missing": list(gap.missing),
                "cause": str(gap.cause),
                "evidence": gap.evidence,
            }
            for gap in found.gaps
        ],
        "cuts": None if inspection is None else list(inspection.cuts),
        "decoded": None if inspection is None else inspection.counts,
        "drop_map": {
            "rate": str(found.side.rate) if found.side.rate else None,
            "engine": found.side.engine,
            "dropped": found.side.dropped,
            "objections": list(found.side.objections),
        },
        "made": [[pts, name] for pts, name in found.side.made],
        "skipped": found.skipped,
        "notes": list(found.notes),
    }


def _segment_json(segment: Any) -> dict[str, Any]:
    clock = segment.clock
    return {
        "first_pts": segment.first,
        "last_pts": segment.last,
        "frames": int(segment.pts.size),
        "slots": segment.slot_count,
        "rate": str(clock.rate) if clock else None,
        "rate_source": str(clock.source) if clock else None,
        "rate_from_content": str(segment.fit.rate_from_content) if segment.fit.rate_from_content else None,
        "residual_slots": float(clock.residual) if clock else None,
    }


def _show(voice: Voice, found: Scan) -> None:
    console, video = voice.out, found.info.video
    console.print(f"{found.info.name}  ({found.info.container})", style="bold", markup=False, soft_wrap=True)
    for stream in found.info.streams:
        extra = f", {stream.language}" if stream.language else ""
        size = f", {video.size[0]}x{video.size[1]} {video.pixel_format}" if stream.index == video.index else ""
        cover = ", cover art" if stream.is_cover_art else ""
        console.print(f"  {stream.index}: {stream.kind}, {stream.codec}{size}{extra}{cover}", markup=False)
    console.print(folded(_clock_line(found), console), markup=False, soft_wrap=True)
    console.print(_strip(found))
    _show_gaps(voice, found)
    if found.inspection is not None:
        inspection = found.inspection
        seen = f"{inspection.frame_count} frames decoded, {len(inspection.cuts)} scene cuts"
        damaged = "" if not inspection.damage.is_clean else ", no damage"
        console.print(seen + damaged, markup=False)
    for note in found.notes:
        console.print(folded(f"note: {note}", console), style="yellow", markup=False, soft_wrap=True)


def _clock_line(found: Scan) -> str:
    timeline = found.timeline
    main = timeline.main
    assert main is not None  # a scan without frames is an error
    length = show_time(timeline.duration)
    if main.clock is None:
        return f"clock: none (variable frame rate), {timeline.frame_count} frames over {length}"
    slots = sum(segment.slot_count for segment in timeline.segments)
    residual = float(main.clock.residual)
    steadiness = "exact" if residual == 0 else f"within {residual:.3f} of a slot"
    return (
        f"clock: {show_rate(main.clock.rate)} fps from the {main.clock.source}, {steadiness}; "
        f"{timeline.frame_count} frames for {slots} slots over {length}"
    )


def _show_gaps(voice: Voice, found: Scan) -> None:
    if not found.gaps:
        voice.out.print("no gaps" if found.timeline.main and found.timeline.main.clock else "no gaps can be told")
        return
    missing = sum(len(gap.missing) for gap in found.gaps)
    many = "1 gap" if len(found.gaps) == 1 else f"{len(found.gaps)} gaps"
    lost = "1 frame" if missing == 1 else f"{missing} frames"
    voice.out.print(f"{many}, {lost} missing:", style="bold")
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    for name in ("at", "after pts", "missing", "cause", "evidence"):
        table.add_column(name, justify="right" if name in ("after pts", "missing") else "left")
    limit = len(found.gaps) if voice.verbosity > 0 else _SHOWN_GAPS
    for gap in found.gaps[:limit]:
        table.add_row(*_gap_row(gap, found))
    voice.out.print(table)
    if len(found.gaps) > limit:
        voice.out.print(f"… and {len(found.gaps) - limit} more (-v shows all)")


def _gap_row(gap: Gap, found: Scan) -> tuple[str | Text, ...]:
    start = (gap.missing[0] - found.timeline.segments[0].first) * found.timeline.time_base
    cause = Text(str(gap.cause), style=_CAUSE_STYLE[gap.cause])
    return show_time(start), str(gap.left_pts), str(len(gap.missing)), cause, gap.evidence


def _strip(found: Scan) -> Text:
    """The timeline as one line: each cell a stretch of time, coloured by what is missing from it."""
    segments = found.timeline.segments
    first, last = segments[0].first, max(segment.last for segment in segments)
    edges = np.linspace(first, last + 1, _STRIP_CELLS + 1)
    have = np.histogram(np.concatenate([segment.pts for segment in segments]), edges)[0]
    worst: dict[int, Cause] = {}
    lacking = np.zeros(_STRIP_CELLS)
    for gap in found.gaps:
        for pts in gap.missing:
            cell = min(max(int(np.searchsorted(edges, pts, side="right")) - 1, 0), _STRIP_CELLS - 1)
            worst.setdefault(cell, gap.cause)
            lacking[cell] += 1
    text = Text("  ")
    for cell in range(_STRIP_CELLS):
        share = lacking[cell] / max(lacking[cell] + have[cell], 1)
        glyph = " " if not have[cell] and not lacking[cell] else "█▇▆▅▄▃▂▁"[min(int(share * 8), 7)]
        text.append(glyph, style=_CAUSE_STYLE[worst[cell]] if cell in worst else "green")
    return text
