"""`codec-plugin verify`: proves what of a restored film is the source's own."""

from __future__ import annotations

from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from codec_plugin.cli.console import folded
from codec_plugin.cli.files import write_json
from codec_plugin.errors import VerificationFailed
from codec_plugin.timing import show_time
from codec_plugin.verification import Origin, Verification, verify

_PROGRESS_EVERY = 25
_LISTED = 8


@click.command("verify")
@click.argument("source", metavar="SOURCE")
@click.argument("restored", metavar="RESTORED")
@click.option("--json", "json_file", metavar="FILE", help='Write every packet and frame as JSON; "-": standard output.')
@click.option("--video", type=int, metavar="INDEX", help="Which video stream of SOURCE, by its index (see scan).")
def verify_command(source: str, restored: str, json_file: str | None, video: int | None) -> None:
    """Prove by hash what of RESTORED is SOURCE's own.

    Shows how many packets and frames are copied, re-encoded and made. Ends with exit code 1 where a frame of the source
    is missing, a time is repeated, a picture doesn't decode cleanly, or a packet that was kept decodes to another
    picture.
    """
    with Console(stderr=True).status("verifying") as status:

        def progress(frames: int) -> None:
            if frames % _PROGRESS_EVERY == 0:
                status.update(f"verifying: {frames} frames")

        found = verify(source, restored, video=video, progress=progress)
    if json_file is not None:
        write_json(json_file, verification_to_json(found))
    if json_file != "-":
        _show(found)
    if found.failures:
        count = len(found.failures)
        what = "one thing is not as it must be" if count == 1 else f"{count} things are not as they must be, the first"
        raise VerificationFailed(f"{restored}: {what}: {found.failures[0]}")


def verification_to_json(found: Verification) -> dict[str, Any]:
    """A verification as plain JSON values; times in ticks of `time_base`."""
    return {
        "kind": "codec-plugin verification",
        "version": 1,
        "source": found.source,
        "restored": found.restored,
        "time_base": str(found.time_base),
        "offset": str(found.offset),
        "packets": {str(origin): count for origin, count in found.count(found.packets).items()},
        "frames": {str(origin): count for origin, count in found.count(found.frames).items()},
        "made_by": found.made_by,
        "streams": [{"stream": name, "identical": is_same} for name, is_same in found.streams],
        "failures": list(found.failures),
        "notes": list(found.notes),
        "each_packet": [[piece.pts, str(piece.origin), piece.made_by] for piece in found.packets],
        "each_frame": [[piece.pts, str(piece.origin), piece.made_by] for piece in found.frames],
    }


def _show(found: Verification) -> None:
    console = Console(highlight=False, markup=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("")
    for origin in Origin:
        table.add_column(str(origin), justify="right")
    for name, pieces in (("packets", found.packets), ("frames", found.frames)):
        table.add_row(name, *(str(count) for count in found.count(pieces).values()))
    console.print(table)
    if found.made_by:
        marks = ", ".join(f"{count} by {name}" for name, count in sorted(found.made_by.items()))
        console.print(folded(f"marked in the stream as made: {marks}", console), soft_wrap=True)
    times = [show_time(piece.pts * found.time_base) for piece in found.frames if piece.origin is Origin.MADE]
    if times:
        rest = f" and {len(times) - _LISTED} more" if len(times) > _LISTED else ""
        console.print(folded(f"made frames: {', '.join(times[:_LISTED])}{rest}", console), soft_wrap=True)
    for name, is_same in found.streams:
        console.print(
            folded(f"{name}: {'every packet the same' if is_same else 'NOT the same packets'}", console), soft_wrap=True
        )
    for note in found.notes:
        console.print(folded(f"note: {note}", console), soft_wrap=True)
    for failure in found.failures[:_LISTED]:
        console.print(folded(f"wrong: {failure}", console), style="red", soft_wrap=True)
