"""Decoded frames as `Picture`s and back. Only made frames ever pass here, and the neighbours they are made from."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any, cast

import numpy as np
from av.video.format import VideoFormat, VideoFormatComponent
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from codec_plugin.errors import UnsupportedInput
from codec_plugin.media.color import color_of
from codec_plugin.picture import Family, Layout, Matrix, Picture, Plane

_BIG_ENDIAN_SUFFIX = "be"
_BYTE = np.dtype(np.uint8)
_FLOAT_RGB = "gbrpf32le"
_FLOAT_LAYOUT = Layout(family=Family.RGB, depth=32)
# FFmpeg keeps planar RGB as G, B, R.
_FROM_GBR = (2, 0, 1)

_SWS_MATRICES = {
    Matrix.BT601: Colorspace.ITU601,
    Matrix.BT709: Colorspace.ITU709,
    Matrix.BT2020: Colorspace.BT2020,
}


@lru_cache(maxsize=32)
def native_layout(pixel_format: str) -> Layout | None:
    """The layout of a planar pixel format, or None where its samples don't lie as an engine needs them.

    None for: palettes, floats, big endian, more than 16 bits, semi-planar (nv12, p010) and packed formats. Packed
    RGB of 8 bits is taken apart by `to_picture` and so has a layout.
    """
    form = VideoFormat(pixel_format, 64, 64)
    depths = {component.bits for component in form.components}
    planar = all(component.plane == index for index, component in enumerate(_in_plane_order(form))) and len(
        {component.plane for component in form.components}
    ) == len(form.components)
    packed_rgb = form.name in _PACKED_RGB
    if len(depths) != 1 or not 8 <= (depth := depths.pop()) <= 16 or form.has_palette or form.is_bayer:
        return None
    if not (planar or packed_rgb) or (depth > 8 and form.name.endswith(_BIG_ENDIAN_SUFFIX)):
        return None
    count = len(form.components)
    if form.is_rgb:
        return Layout(family=Family.RGB, depth=depth, alpha=count == 4)
    if count <= 2:
        return Layout(family=Family.GRAY, depth=depth, alpha=count == 2)
    chroma = form.components[1]
    return Layout(
        family=Family.YUV,
        depth=depth,
        chroma_shift_x=_shift(chroma.width, 64),
        chroma_shift_y=_shift(chroma.height, 64),
        alpha=count == 4,
    )


def to_picture(frame: VideoFrame, *, key: int | None = None) -> Picture:
    """The native planes of a frame as a picture: views of the decoder's memory where the format is planar.

    Raises:
        UnsupportedInput: the pixel format has no native layout.
    """
    layout = native_layout(frame.format.name)
    if layout is None:
        raise UnsupportedInput(
            f"pixel format {frame.format.name} can't be filled in its own planes; "
            "convert the source to a planar format first (for example yuv420p or gbrp)"
        )
    packing = _PACKED_RGB.get(frame.format.name)
    planes = _unpacked(frame, packing) if packing else _planes(frame, layout)
    return Picture(planes=planes, layout=layout, color=color_of(frame), key=key)


def to_rgb_picture(frame: VideoFrame, *, key: int | None = None) -> Picture:
    """A frame as R'G'B' float32 in [0, 1] in its own transfer; swscale with 16-bit intermediates."""
    color = color_of(frame)
    # A copy doesn't say where chroma lies. What is made can't be told either (PyAV has no name for it): with the
    # source's siting on one way only, made chroma would come back off its place, and differ from host to host.
    converted = _reformatter().reformat(
        copy_frame(frame, pts=0, time_base=Fraction(1)),
        format=_FLOAT_RGB,
        src_colorspace=_SWS_MATRICES[color.matrix],
        src_color_range=ColorRange.JPEG if color.full_range else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
    )
    green_blue_red = [_plane_array(converted, index, np.dtype(np.float32)) for index in range(3)]
    planes = tuple(green_blue_red[index].copy() for index in _FROM_GBR)
    return Picture(planes=planes, layout=_FLOAT_LAYOUT, color=color, key=key)


def to_frame(picture: Picture, *, like: VideoFrame, pts: int, time_base: Fraction) -> VideoFrame:
    """A made picture as a frame with the format, size and colour tags of a source frame.

    Args:
        picture: native planes of `like`'s format, or RGB float32.
        like: a source frame of the same size.
        pts: when it is to be shown, in ticks of `time_base`.
        time_base: seconds a tick.
    """
    frame = _rgb_frame(picture, like) if picture.layout.is_float else _native_frame(picture, like)
    frame.pts = pts
    frame.time_base = time_base
    _tag(frame, like)
    return frame


def copy_frame(frame: VideoFrame, *, pts: int, time_base: Fraction) -> VideoFrame:
    """A held frame: the same pixels at another time."""
    copied = VideoFrame(frame.width, frame.height, frame.format.name)
    for source, target in zip(frame.planes, copied.planes, strict=True):
        rows = min(source.height, target.height)
        width = min(source.line_size, target.line_size)
        from_rows = _samples(source, _BYTE).reshape(-1, source.line_size)[:rows, :width]
        _samples(target, _BYTE).reshape(-1, target.line_size)[:rows, :width] = from_rows
    copied.pts = pts
    copied.time_base = time_base
    _tag(copied, frame)
    return copied


# Where R, G, B and, where it means something, alpha stand in a packed pixel.
_PACKED_RGB: dict[str, tuple[int, ...]] = {
    "rgb24": (0, 1, 2),
    "bgr24": (2, 1, 0),
    "rgb0": (0, 1, 2),
    "bgr0": (2, 1, 0),
    "0rgb": (1, 2, 3),
    "0bgr": (3, 2, 1),
    "rgba": (0, 1, 2, 3),
    "bgra": (2, 1, 0, 3),
    "argb": (1, 2, 3, 0),
    "abgr": (3, 2, 1, 0),
}
_PIXEL_BYTES = {name: 3 if name in ("rgb24", "bgr24") else 4 for name in _PACKED_RGB}


def _in_plane_order(form: VideoFormat) -> list[VideoFormatComponent]:
    return sorted(form.components, key=lambda component: component.plane)


def _shift(part: int, whole: int) -> int:
    return (whole // part).bit_length() - 1


def _plane_array(frame: VideoFrame, index: int, dtype: np.dtype[Any]) -> Plane:
    """One plane as a view, (height, width), its rows strided by the decoder's padding."""
    plane = frame.planes[index]
    per_row = plane.line_size // dtype.itemsize
    return _samples(plane, dtype).reshape(-1, per_row)[: plane.height, : plane.width]


def _samples(plane: VideoPlane, dtype: np.dtype[Any]) -> Plane:
    """A plane's memory as a flat array; PyAV's planes have the buffer protocol, which their stubs don't say."""
    return np.frombuffer(cast("memoryview[int]", plane), dtype)


def _planes(frame: VideoFrame, layout: Layout) -> tuple[Plane, ...]:
    planes = [_plane_array(frame, index, layout.dtype) for index in range(layout.plane_count)]
    if layout.family is Family.RGB:
        planes[:3] = [planes[index] for index in _FROM_GBR]
    return tuple(planes)


def _packed_pixels(frame: VideoFrame) -> Plane:
    """A packed frame's bytes as a view, (height, width, bytes a pixel)."""
    plane, step = frame.planes[0], _PIXEL_BYTES[frame.format.name]
    rows = _samples(plane, _BYTE).reshape(-1, plane.line_size)[: frame.height, : frame.width * step]
    return rows.reshape(frame.height, frame.width, step) if rows.flags.contiguous else _strided(rows, step)


def _strided(rows: Plane, step: int) -> Plane:
    shape = (rows.shape[0], rows.shape[1] // step, step)
    return np.lib.stride_tricks.as_strided(rows, shape, (rows.strides[0], step, 1))


def _unpacked(frame: VideoFrame, packing: tuple[int, ...]) -> tuple[Plane, ...]:
    pixels = _packed_pixels(frame)
    return tuple(np.ascontiguousarray(pixels[..., index]) for index in packing)


def _native_frame(picture: Picture, like: VideoFrame) -> VideoFrame:
    frame = VideoFrame(like.width, like.height, like.format.name)
    packing = _PACKED_RGB.get(like.format.name)
    if packing:
        pixels = _packed_pixels(frame)
        pixels[:] = 0
        for index, plane in zip(packing, picture.planes, strict=True):
            pixels[..., index] = plane
        return frame
    for target, plane in zip(_planes(frame, picture.layout), picture.planes, strict=True):
        target[:] = plane
    return frame


def _rgb_frame(picture: Picture, like: VideoFrame) -> VideoFrame:
    planar = VideoFrame(like.width, like.height, _FLOAT_RGB)
    for index, source in enumerate(_FROM_GBR):
        _plane_array(planar, source, np.dtype(np.float32))[:] = picture.planes[index]
    color = color_of(like)
    return _reformatter().reformat(
        planar,
        format=like.format.name,
        dst_colorspace=_SWS_MATRICES[color.matrix],
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.JPEG if color.full_range else ColorRange.MPEG,
    )


def _reformatter() -> VideoReformatter:
    return VideoReformatter()


def _tag(frame: VideoFrame, like: VideoFrame) -> None:
    frame.colorspace = like.colorspace
    frame.color_range = like.color_range
    frame.color_primaries = like.color_primaries
    frame.color_trc = like.color_trc


def frame_of(planes: Sequence[Plane], *, pixel_format: str, matrix: int, full_range: bool | None) -> VideoFrame:
    """A frame out of a host's planes, copied.

    Args:
        planes: one array a plane, in FFmpeg's order (planar RGB is G, B, R), (height, width) each; (height, width,
            channels) for a packed format.
        pixel_format: FFmpeg's name.
        matrix: matrix_coefficients of ITU-T H.273; 2 where the host doesn't say.
        full_range: whether samples use the full range; None where the host doesn't say.
    """
    height, width = planes[0].shape[:2]
    frame = VideoFrame(width, height, pixel_format)
    for target, samples in zip(plane_views(frame), planes, strict=True):
        target[:] = samples
    frame.colorspace = matrix
    frame.color_range = 0 if full_range is None else 2 if full_range else 1
    return frame


def plane_views(frame: VideoFrame) -> tuple[Plane, ...]:
    """A frame's planes in FFmpeg's order as writable views, without padding; see `frame_of`."""
    if frame.format.name in _PACKED_RGB:
        return (_packed_pixels(frame),)
    dtype = np.dtype(np.uint8 if frame.format.components[0].bits <= 8 else np.uint16)
    return tuple(_plane_array(frame, index, dtype) for index in range(len(frame.planes)))
