"""Makes the example clip with a long gap: two seconds of a skyline by night, of which 23 frames in a row are lost.

    python examples/make_long_gap.py CITY examples/city_with_a_long_gap.mp4

The film is cityCC0.mpg, which Kivy's examples bring, CC0. The picture is scaled to 320x180 and encoded again.
"""

from __future__ import annotations

import sys
from fractions import Fraction

import av

FRAMES = 48
DROPPED = range(12, 35)
"""Frame numbers that are missing from the clip: 23, which with their two neighbours are the model's 25 frames."""


def make(film: str, clip: str) -> None:
    """Writes the clip; times begin at 0."""
    with av.open(film) as source, av.open(clip, "w") as target:
        out = target.add_stream("libx264", rate=25, options={"crf": "23", "preset": "slow"})
        out.width, out.height, out.pix_fmt = 320, 180, "yuv420p"
        target.metadata.update(title="A skyline by night (excerpt with frames dropped)", copyright="CC0")
        for number, frame in enumerate(source.decode(video=0)):
            if number >= FRAMES:
                break
            if number not in DROPPED:
                small = frame.reformat(320, 180, "yuv420p", interpolation="LANCZOS")
                small.pict_type, small.pts, small.time_base = 0, number, Fraction(1, 25)
                target.mux(out.encode(small))
        target.mux(out.encode(None))


if __name__ == "__main__":
    make(*sys.argv[1:3])
