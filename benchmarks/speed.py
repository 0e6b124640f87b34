"""Speed: new frames a second, every peer in turn, several times over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

from benchmarks.cases import Case, whole_gaps
from benchmarks.footage import read_excerpt, resized
from benchmarks.peers import Peer
from codec_plugin.picture import Picture

SIZES = ((640, 360), (1280, 720), (1920, 1080))
"""(width, height) in pixels."""

_PIXELS = 241 * 640 * 360  # what is worked on a round at any size: some seconds for the slower peers
_FRAMES_RANGE = (25, 241)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedRow:
    """One peer at one size and gap."""

    width: int
    """Pixels."""
    height: int
    """Pixels."""
    dropped: int
    """Frames between two kept ones; the motion of a gap is searched once for all of them."""
    peer: str
    """Who made them."""
    frames_per_s_best: float
    """New frames a second of wall time, in the best of the rounds: what the machine can do when left alone."""
    frames_per_s_median: float
    """The same in the middle round."""
    rounds: int
    """How many there were; the peers take turns within each."""


def measure_speed(
    case: Case,
    *,
    peers: list[Peer],
    sizes: tuple[tuple[int, int], ...],
    dropped: int,
    rounds: int,
    tell: Callable[[str], None],
) -> list[SpeedRow]:
    """Measures every peer at every size, on frames of one clip brought to that size, 8-bit 4:2:0.

    Args:
        case: The clip.
        peers: Who competes.
        sizes: (width, height) in pixels.
        dropped: Frames between two kept ones.
        rounds: How often each peer runs.
        tell: Hears of progress.
    """
    source = read_excerpt(case.path, start_s=case.starts_s[-1], frames=_FRAMES_RANGE[1])
    rows = []
    for width, height in sizes:
        count = frame_count(width, height)
        frames = _there_and_back([resized(frame, width=width, height=height) for frame in source[:count]], count)
        gaps = whole_gaps(frames, dropped=dropped)
        rates: dict[str, list[float]] = {peer.name: [] for peer in peers}
        for turn in range(rounds):
            for peer in peers:
                tell(f"{width}x{height}, {dropped} dropped, round {turn + 1}: {peer.name}")
                ran = peer.make(frames, gaps)
                rates[peer.name].append(len(ran.pictures) / ran.seconds)
        rows += [
            SpeedRow(
                width=width,
                height=height,
                dropped=dropped,
                peer=name,
                frames_per_s_best=round(max(each), 2),
                frames_per_s_median=round(median(each), 2),
                rounds=rounds,
            )
            for name, each in rates.items()
        ]
    return rows


def frame_count(width: int, height: int) -> int:
    """Frames a round at a size: a multiple of four and one more, so that no gap of one or three is cut short."""
    least, most = _FRAMES_RANGE
    return min(max(_PIXELS // (width * height) // 4 * 4 + 1, least), most)


def _there_and_back(frames: list[Picture], count: int) -> list[Picture]:
    """As many frames as asked for: a short clip runs forwards and backwards, since a start takes its time."""
    period = [*frames, *frames[-2:0:-1]]
    repeated = (period[index % len(period)] for index in range(count))
    return [replace(picture, key=index) for index, picture in enumerate(repeated)]
