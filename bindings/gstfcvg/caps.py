"""Which formats the element takes: all that is known before anything heavy is loaded."""

from __future__ import annotations

PIXEL_FORMATS = {
    "I420": "yuv420p",
    "Y42B": "yuv422p",
    "Y444": "yuv444p",
    "Y41B": "yuv411p",
    "I420_10LE": "yuv420p10le",
    "I422_10LE": "yuv422p10le",
    "Y444_10LE": "yuv444p10le",
    "I420_12LE": "yuv420p12le",
    "I422_12LE": "yuv422p12le",
    "Y444_12LE": "yuv444p12le",
    "Y444_16LE": "yuv444p16le",
    "GRAY8": "gray",
    "GRAY16_LE": "gray16le",
    "GBR": "gbrp",
    "GBR_10LE": "gbrp10le",
    "GBR_12LE": "gbrp12le",
    "GBRA": "gbrap",
    "RGB": "rgb24",
    "BGR": "bgr24",
    "RGBx": "rgb0",
    "BGRx": "bgr0",
    "xRGB": "0rgb",
    "xBGR": "0bgr",
    "RGBA": "rgba",
    "BGRA": "bgra",
    "ARGB": "argb",
    "ABGR": "abgr",
}
"""GStreamer's formats that engines can work in, and FFmpeg's names. For others there is videoconvert."""

TEMPLATE = "video/x-raw, format={ (string)" + ", (string)".join(PIXEL_FORMATS) + " }, width=[1,MAX], height=[1,MAX]"
"""The caps of both pads."""
