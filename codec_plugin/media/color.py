"""What a stream says of its colours: the four tags, the HDR10 metadata, and which matrix to convert with."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame

from codec_plugin.picture import Color, Matrix
from codec_plugin.timing import round_half_up

# ITU-T H.273 code points, as FFmpeg's AVColorSpace has them.
_MATRICES = {1: Matrix.BT709, 5: Matrix.BT601, 6: Matrix.BT601, 9: Matrix.BT2020, 10: Matrix.BT2020}
_CODES = {Matrix.BT601: 6, Matrix.BT709: 1, Matrix.BT2020: 9}
_UNSPECIFIED = 2
_FULL_RANGE = 2
_HD_HEIGHT = 576  # taller pictures without a tag are taken for BT.709, as players do
_PQ, _HLG = 16, 18


@dataclass(frozen=True, slots=True, kw_only=True)
class ColorTags:
    """The four colour tags, as H.273 code points (FFmpeg's numbers)."""

    primaries: int
    """colour_primaries; 2 is unspecified."""
    transfer: int
    """transfer_characteristics; 2 is unspecified."""
    matrix: int
    """matrix_coefficients; 2 is unspecified, 0 is RGB."""
    color_range: int
    """FFmpeg's AVColorRange: 0 unspecified, 1 limited, 2 full."""

    @property
    def is_hdr(self) -> bool:
        """Whether the transfer is PQ or HLG."""
        return self.transfer in (_PQ, _HLG)


@dataclass(frozen=True, slots=True, kw_only=True)
class HdrMetadata:
    """HDR10 static metadata (SMPTE ST 2086, CTA-861.3)."""

    primaries: tuple[tuple[Fraction, Fraction], ...] | None
    """Chromaticities (x, y) of R, G, B and the white point."""
    luminance: tuple[Fraction, Fraction] | None
    """Least and greatest luminance of the mastering display, cd/m²."""
    light_level: tuple[int, int] | None
    """MaxCLL and MaxFALL, cd/m²."""

    def as_x265(self) -> dict[str, str]:
        """x265's and x264's way to say it: chromaticities in 1/50000, luminance in 1/10000 cd/m²."""
        values: dict[str, str] = {}
        if self.primaries and self.luminance:
            red, green, blue, white = [tuple(round_half_up(v * 50_000) for v in point) for point in self.primaries]
            low, high = (round_half_up(value * 10_000) for value in self.luminance)
            values["master-display"] = "".join(
                f"{name}({x},{y})" for name, (x, y) in zip("GBR", (green, blue, red), strict=True)
            ) + "WP({},{})L({},{})".format(*white, high, low)
        if self.light_level:
            values["max-cll"] = "{},{}".format(*self.light_level)
        return values

    def as_svtav1(self) -> dict[str, str]:
        """SVT-AV1's way to say it: plain decimals."""
        values: dict[str, str] = {}
        if self.primaries and self.luminance:
            red, green, blue, white = self.primaries
            low, high = self.luminance
            values["mastering-display"] = (
                "".join(
                    f"{name}({float(x):.5f},{float(y):.5f})"
                    for name, (x, y) in (("G", green), ("B", blue), ("R", red), ("WP", white))
                )
                + f"L({float(high):.4f},{float(low):.4f})"
            )
        if self.light_level:
            values["content-light"] = "{},{}".format(*self.light_level)
        return values


@dataclass(frozen=True, slots=True, kw_only=True)
class Appearance:
    """What the first decoded frame says of the whole stream; a frame that was made doesn't say it."""

    tags: ColorTags
    """The colour tags."""
    hdr: HdrMetadata | None
    """HDR10 metadata."""
    dynamic: tuple[str, ...]
    """Kinds of dynamic HDR metadata."""
    rotation: int
    """Degrees."""


def appearance_of(frame: VideoFrame) -> Appearance:
    """What a decoded frame says of its stream."""
    return Appearance(
        tags=tags_of(frame), hdr=hdr_of(frame), dynamic=dynamic_metadata_of(frame), rotation=int(frame.rotation)
    )


def tags_of(frame: VideoFrame) -> ColorTags:
    """The colour tags that a decoded frame carries."""
    return ColorTags(
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
        matrix=int(frame.colorspace),
        color_range=int(frame.color_range),
    )


def hdr_of(frame: VideoFrame) -> HdrMetadata | None:
    """The HDR10 metadata that a decoded frame carries, or None."""
    primaries = luminance = light_level = None
    for item in _side_data(frame):
        if item.type == SideDataType.MASTERING_DISPLAY_METADATA:
            primaries, luminance = _mastering_display(bytes(item))
        elif item.type == SideDataType.CONTENT_LIGHT_LEVEL:
            light_level = struct.unpack_from("<2I", bytes(item))
    if not (primaries or luminance or light_level):
        return None
    return HdrMetadata(primaries=primaries, luminance=luminance, light_level=light_level)


def dynamic_metadata_of(frame: VideoFrame) -> tuple[str, ...]:
    """The kinds of dynamic HDR metadata on a frame, which no encoder here can write again."""
    names = {"DOVI_RPU_BUFFER": "Dolby Vision", "DOVI_METADATA": "Dolby Vision", "DYNAMIC_HDR_PLUS": "HDR10+"}
    found = {names[item.type.name] for item in _side_data(frame) if item.type.name in names}
    return tuple(sorted(found))


def code_of(matrix: Matrix) -> int:
    """The code point of a matrix, for streams that don't say theirs."""
    return _CODES[matrix]


def color_of(frame: VideoFrame) -> Color:
    """How to convert a frame to RGB: its tags, or what players assume for its size where it has none."""
    tags = tags_of(frame)
    fallback = Matrix.BT709 if frame.height > _HD_HEIGHT else Matrix.BT601
    full = tags.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
    return Color(matrix=_MATRICES.get(tags.matrix, fallback), full_range=full)


def _side_data(frame: VideoFrame) -> Iterator[SideData]:
    """All items, several of one type too; PyAV's stub takes the container for a mapping by name."""
    return iter(cast("Iterable[SideData]", frame.side_data))


def _mastering_display(
    data: bytes,
) -> tuple[tuple[tuple[Fraction, Fraction], ...] | None, tuple[Fraction, Fraction] | None]:
    # AVMasteringDisplayMetadata: ten AVRationals (R, G, B, white as x, y; min, max luminance), two flags.
    numbers = struct.unpack_from("<22i", data)
    values = [Fraction(n, d or 1) for n, d in zip(numbers[0:20:2], numbers[1:20:2], strict=True)]
    has_primaries, has_luminance = numbers[20:22]
    points = tuple((values[i], values[i + 1]) for i in range(0, 8, 2))
    return (points if has_primaries else None), ((values[8], values[9]) if has_luminance else None)
