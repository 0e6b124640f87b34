"""Reading a finished file's times back, before it gets its final name."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

from codec_plugin.errors import OutputError
from codec_plugin.media.packets import packet_table
from codec_plugin.media.source import films_of, open_input, packets_of
from codec_plugin.media.writer import Writer
from codec_plugin.timing import Ticks, round_half_up

_ADVICE = "write to .mp4, whose ticks can be as fine as needed, or ask for a lower rate"
_ROUNDING_TICKS = 1  # what a container's own time base may move a frame by, against another


def check_beginning(writer: Writer) -> None:
    """Decodes the first picture of a finished copy: packets may need what only their old container had.

    Raises:
        OutputError: no picture comes out.
    """
    with open_input(writer.part) as container:
        for packet in packets_of(container, [films_of(container)[writer.picture_ordinal]]):
            try:
                if packet.decode():
                    return
            except av.error.FFmpegError:
                continue
    raise OutputError(
        f"{writer.target}: copied packet for packet, the film can't be decoded any more in this container; "
        "write to the container that it came in, or to .mkv"
    )


def check_times(writer: Writer, written: Ticks, *, time_base: Fraction) -> Fraction:
    """Holds a finished file against what was written into it.

    Args:
        writer: after `finish`, before `commit`.
        written: the times of all frames written, in ticks, rising.
        time_base: seconds a tick.

    Returns:
        Seconds that all times were moved by.

    Raises:
        OutputError: the file shows another number of frames, or moved them against each other by more than its own
            time base must.
    """
    table = packet_table(writer.part, ordinal=writer.picture_ordinal)
    if table.pts.size != written.size:
        raise OutputError(
            f"{writer.target}: {written.size} frames were written and the file shows {table.pts.size}; "
            f"its format can't keep times of {float(1 / time_base):g} ticks a second; {_ADVICE}"
        )
    ticks = time_base / table.time_base
    expected = np.asarray([round_half_up(int(pts) * ticks) for pts in written], dtype=np.int64)
    moved = table.pts - expected
    if int(moved.max() - moved.min()) > _ROUNDING_TICKS:
        worst = int(np.argmax(np.abs(moved - moved[0])))
        raise OutputError(
            f"{writer.target}: the container moved frame {worst} by {int(moved[worst] - moved[0])} ticks of "
            f"{table.time_base} s against the first; {_ADVICE}"
        )
    return int(np.median(moved)) * table.time_base
