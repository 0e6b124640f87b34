"""Copying a film that has no gaps, packet for packet, where that shows the same film."""

from __future__ import annotations

import time
from contextlib import closing
from fractions import Fraction
from pathlib import Path

from codec_plugin.errors import OutputError
from codec_plugin.job import Job
from codec_plugin.media.packets import EARLY, HIDDEN, TWICE, UNTIMED
from codec_plugin.media.probe import TimeKeeping
from codec_plugin.media.readback import check_beginning, check_times
from codec_plugin.media.source import Source, input_errors, open_input, packets_of, pick_video
from codec_plugin.media.writer import Writer, copies_picture
from codec_plugin.plan import RestorePlan
from codec_plugin.report import Note, RestoreReport
from codec_plugin.timeline.scan import Scan

_EDIT_LISTS = (".mp4", ".mov", ".m4v")
_FALLBACK_RATE = Fraction(25)


class CopyDiffers(OutputError):
    """A packet-for-packet copy, read back, doesn't show what the source shows."""


def uncopyable(source: Source, path: Path, found: Scan, job: Job) -> str | None:
    """Why a sound film's packets can't go over as they are, if there is a reason."""
    if found.info.video.time_keeping is not TimeKeeping.PTS:
        return "its packets have no presentation times of their own"
    if any(what in found.skipped for what in (TWICE, UNTIMED)):
        return "some of its packets have no time, or one that was taken"
    if EARLY in found.skipped:
        return "it begins with pictures that nothing can be decoded from"
    if HIDDEN in found.skipped and path.suffix.lower() not in _EDIT_LISTS:
        return f"an edit list hides some of its packets, and {path.suffix} has no edit lists"
    if path.suffix.lower() == ".avi" and found.info.video.reorder_depth:
        return "AVI keeps decode times only, and its pictures are reordered"
    if not copies_picture(source, path, video=job.video):
        return f"{path.suffix} can't hold its packets as they are"
    return None


def copy_film(source: Source, path: Path, found: Scan, plan: RestorePlan, job: Job, *, started: float) -> RestoreReport:
    """Writes every packet as it is.

    Raises:
        CopyDiffers: read back, the copy shows other times or pictures; nothing is left.
        InputError, OutputError: on either side.
    """
    promised = plan.promised_pts(found.timeline)
    container = open_input(source)
    with (
        closing(container),
        Writer(
            path,
            source=container,
            picture=pick_video(container, job.video),
            encode=job.encode,
            rate=plan.rate or _FALLBACK_RATE,
            time_base=plan.time_base,
            offset=-max(found.info.start, Fraction(0)),
            drop_unsupported=job.drop_unsupported,
            copy_picture=True,
        ) as writer,
    ):
        with input_errors(found.info.name):
            for packet in packets_of(container, [container.streams[index] for index in writer.copied_indices]):
                writer.write_packet(packet)
        writer.finish()
        try:
            offset = check_times(writer, promised, time_base=plan.time_base)
            check_beginning(writer)
        except OutputError as error:
            raise CopyDiffers("a copy of its packets shows other pictures in this container") from error
        writer.commit()
    notes = [Note(kind="copied", text="no gaps found: copied packet for packet, nothing encoded")]
    notes += [Note(kind="scan", text=text) for text in found.notes]
    notes += [Note(kind="lost", text=str(loss)) for loss in writer.losses]
    if offset:
        notes.append(Note(kind="offset", text=f"all times moved by {float(offset):+.6f} s"))
    return RestoreReport(
        plan=plan,
        output=str(path),
        encoder=None,
        offset=offset,
        source_frames=found.timeline.frame_count,
        outcomes=(),
        notes=tuple(notes),
        seconds=time.monotonic() - started,
    )
