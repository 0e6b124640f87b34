"""Makes the README's picture of a repaired gap: the two frames beside a gap, and what each engine makes between them.

python examples/make_strip.py --gap 3 is the README's; FILM, PICTURE and --engine NAME make others.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import click
import cv2
import numpy as np
import numpy.typing as npt

from codec_plugin import FillRequest, Gap, Take, load_engine, scan
from codec_plugin.media.pixels import to_frame, to_picture, to_rgb_picture
from codec_plugin.media.reader import Frame, Reader

_HERE = Path(__file__).parent
_CELL = (320, 180)
_LABEL_HEIGHT = 22

Image = npt.NDArray[np.uint8]
"""(height, width, 3), blue, green, red."""


@click.command()
@click.argument("film", type=click.Path(exists=True, path_type=Path), default=_HERE / "bunny_with_gaps.mp4")
@click.argument("picture", type=click.Path(path_type=Path), default=_HERE / "repaired_gap.png")
@click.option("--engine", "engines", multiple=True, default=("dis", "blend"), show_default=True)
@click.option("--gap", "number", default=1, show_default=True, help="Which gap of the film, from 0.")
def main(film: Path, picture: Path, engines: tuple[str, ...], number: int) -> None:
    """Draws a row for each engine: left neighbour, made frames, right neighbour."""
    gap = scan(str(film)).gaps[number]
    left, right = _neighbours(film, gap)
    rows = [_row(name, left, right, gap) for name in engines]
    cv2.imwrite(str(picture), np.vstack(rows), [cv2.IMWRITE_PNG_COMPRESSION, 9])


def _neighbours(film: Path, gap: Gap) -> tuple[Frame, Frame]:
    with Reader(str(film)) as reader:
        found = {frame.pts: frame for frame in reader.frames() if frame.pts in (gap.left_pts, gap.right_pts)}
    return found[gap.left_pts], found[gap.right_pts]


def _row(name: str, left: Frame, right: Frame, gap: Gap) -> Image:
    engine = load_engine(name)
    convert = to_rgb_picture if engine.info.take is Take.RGB else to_picture
    span = gap.right_pts - gap.left_pts
    request = FillRequest(
        left=convert(left, key=gap.left_pts),
        right=convert(right, key=gap.right_pts),
        positions=tuple(Fraction(pts - gap.left_pts, span) for pts in gap.missing),
        interval=Fraction(1),
    )
    made = [to_frame(p, like=left, pts=0, time_base=Fraction(1, 25)) for p in engine.fill(request)]
    engine.close()
    cells = [_cell(left, "source")]
    cells += [_cell(frame, f"{name}, made") for frame in made]
    return np.hstack([*cells, _cell(right, "source")])


def _cell(frame: Frame, label: str) -> Image:
    image = cv2.resize(frame.to_ndarray(format="bgr24"), _CELL, interpolation=cv2.INTER_AREA)
    strip = np.full((_LABEL_HEIGHT, _CELL[0], 3), 255, np.uint8)
    colour = (0, 0, 0) if label == "source" else (190, 70, 20)
    cv2.putText(strip, label, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
    return np.vstack([strip, image])


if __name__ == "__main__":
    main()
