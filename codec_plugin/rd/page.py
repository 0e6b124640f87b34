"""Rate–distortion results as one HTML page that opens anywhere: no scripts, no other files."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import TypeAlias

from codec_plugin.media.strips import Strip
from codec_plugin.rd.bjontegaard_rate import DeltaRate
from codec_plugin.rd.measuring import FULL, Point, RdResult
from codec_plugin.timing import show_time

_Place: TypeAlias = Callable[[float], float]
_COLORS = ("#1b1b1b", "#1f77b4", "#d9541e", "#2a9d4a", "#8e44ad", "#b8860b", "#17899c", "#c2185b")
_NAMES = {"psnr": "PSNR, dB", "ssim": "SSIM", "xpsnr": "XPSNR, dB", "vmaf": "VMAF"}
_DIGITS = {"psnr": 1, "ssim": 3, "xpsnr": 1, "vmaf": 1}
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 380, 280, 52, 40, 12, 20
_TICKS = 4
_FULL_OVERLAP = 0.75
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:1240px;padding:0 1rem;color:#1b1b1b;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}
table{border-collapse:collapse;margin:.6rem 0}td,th{padding:.25rem .7rem;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child,td:nth-child(2),th:nth-child(2){text-align:left}
.loss{color:#b3261e}.gain{color:#1a7f37}.charts,.strip{display:flex;flex-wrap:wrap;gap:1rem}
figure{margin:0}figcaption{font-size:.85rem;color:#555}.legend span{margin-right:1.2rem;white-space:nowrap}
.legend i{display:inline-block;width:1.6rem;height:.25rem;margin-right:.4rem;vertical-align:middle}
svg text{font:12px system-ui,sans-serif;fill:#444}img{display:block;max-width:100%}
"""


def rd_page(result: RdResult) -> str:
    """The whole page."""
    parts = [
        f"<h1>{escape(result.source)}: rate and distortion</h1>",
        f"<p>{result.frames} frames, of which the thinned streams keep one in {result.keep_every}. All bits of the "
        "picture stream are counted. Restored frames are measured as they come out of decoder and engine. "
        + "".join(f"{escape(note[:1].upper() + note[1:])}. " for note in result.notes)
        + "</p>",
        _legend(result.methods),
        *(_encoder(result, encoder) for encoder in result.encoders),
        _delta_table(result),
        _point_table(result),
        _film_strip(result.strips),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(result.source)}: rate and distortion</title><style>{_STYLE}</style></head>\n"
        f"<body>{chr(10).join(parts)}</body></html>\n"
    )


def show_delta(delta: DeltaRate | None) -> str:
    """A BD-rate for people: more bits is a loss, and printed with its sign."""
    if delta is None:
        return "no common quality"
    mark = "" if delta.overlap >= _FULL_OVERLAP else "*"
    return f"{delta.percent:+.1f} %{mark}"


def _legend(methods: Sequence[str]) -> str:
    spans = (f'<span><i style="background:{_color(methods, name)}"></i>{escape(name)}</span>' for name in methods)
    return f'<p class="legend">{"".join(spans)}</p>'


def _color(methods: Sequence[str], name: str) -> str:
    return _COLORS[methods.index(name) % len(_COLORS)]


def _encoder(result: RdResult, encoder: str) -> str:
    charts = (_chart(result, encoder, metric) for metric in result.metrics)
    preset = result.presets.get(encoder, "")
    return f'<h2>{escape(encoder)}, preset {escape(preset)}</h2><div class="charts">{"".join(charts)}</div>'


def _chart(result: RdResult, encoder: str, metric: str) -> str:
    curves = {method: result.curve(encoder, method, metric) for method in result.methods}
    points = [point for curve in curves.values() for point in curve]
    if not points:
        return ""
    most = max(rate for rate, _ in points) * 1.04
    values = [value for _, value in points]
    low, high = min(values), max(values)
    low, high = low - 0.05 * (high - low or 1), high + 0.05 * (high - low or 1)

    def x(rate: float) -> float:
        return _LEFT + rate / most * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _BOTTOM - _TOP)

    drawn = [*_axes(x, y, most=most, low=low, high=high, digits=_DIGITS[metric])]
    for method, curve in curves.items():
        color = _color(result.methods, method)
        path = " ".join(f"{x(rate):.1f},{y(value):.1f}" for rate, value in curve)
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        drawn += [f'<circle cx="{x(r):.1f}" cy="{y(v):.1f}" r="3" fill="{color}"/>' for r, v in curve]
    label = f"{encoder}: {_NAMES[metric]} over kbit/s"
    return (
        f'<figure><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'aria-label="{escape(label)}">{"".join(drawn)}</svg><figcaption>{_NAMES[metric]}</figcaption></figure>'
    )


def _axes(x: _Place, y: _Place, *, most: float, low: float, high: float, digits: int) -> Iterator[str]:
    bottom = _HEIGHT - _BOTTOM
    for value in round_ticks(low, high):
        yield f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#e5e5e5"/>'
        yield f'<text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.{digits}f}</text>'
    for rate in round_ticks(0, most):
        yield f'<text x="{x(rate):.1f}" y="{bottom + 16}" text-anchor="middle">{rate / 1000:g}</text>'
    yield f'<text x="{(_LEFT + _WIDTH) / 2}" y="{_HEIGHT - 6}" text-anchor="middle">kbit/s</text>'


def round_ticks(low: float, high: float) -> list[float]:
    """Three to seven round numbers (1, 2 or 5 times a power of ten apart) from `low` to `high`."""
    coarse = 10.0 ** math.floor(math.log10(high - low))
    step = next(coarse * part for part in (2, 1, 0.5, 0.2, 0.1) if (high - low) / (coarse * part) >= _TICKS - 1)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _delta_table(result: RdResult) -> str:
    rows = []
    for encoder in result.encoders:
        for method in result.methods:
            if method == FULL:
                continue
            cells = "".join(_delta_cell(result.delta(encoder, method, metric)) for metric in result.metrics)
            rows.append(f"<tr><td>{escape(encoder)}</td><td>{escape(method)}</td>{cells}</tr>")
    heads = "".join(f"<th>{_NAMES[metric].split(',')[0]}</th>" for metric in result.metrics)
    return (
        "<h2>BD-rate against the full rate</h2><p>Bits for the same mean quality over all frames: below 0 is a gain, "
        "above 0 a loss. * The full rate reaches less than three quarters of the curve's qualities: it says little.</p>"
        f"<table><tr><th>encoder</th><th>made by</th>{heads}</tr>{''.join(rows)}</table>"
    )


def _delta_cell(delta: DeltaRate | None) -> str:
    kind = "" if delta is None else ' class="gain"' if delta.percent < 0 else ' class="loss"'
    return f"<td{kind}>{show_delta(delta)}</td>"


def _point_table(result: RdResult) -> str:
    rows = []
    for point in result.points:
        values = [_value(point, metric, only_made=False) for metric in result.metrics]
        values += [_value(point, metric, only_made=True) for metric in result.metrics]
        cells = "".join(f"<td>{value}</td>" for value in values)
        rows.append(
            f"<tr><td>{escape(point.encoder)} {point.crf}</td><td>{escape(point.method)}</td>"
            f"<td>{point.bits_per_second / 1000:.0f}</td>{cells}<td>{point.seconds:.1f}</td></tr>"
        )
    heads = "".join(
        f"<th>{_NAMES[metric].split(',')[0]}{of}</th>" for of in ("", ", made") for metric in result.metrics
    )
    return (
        "<h2>Every point</h2><table><tr><th>encoder, crf</th><th>shown by</th><th>kbit/s</th>"
        f"{heads}<th>decode and make, s</th></tr>{''.join(rows)}</table>"
    )


def _value(point: Point, metric: str, *, only_made: bool) -> str:
    value = point.quality(metric, only_made=only_made)
    return "–" if value is None else f"{value:.{_DIGITS[metric] + 1}f}"


def _film_strip(strips: Sequence[Strip]) -> str:
    parts = []
    for strip in strips:
        pictures = "".join(
            f'<figure><img alt="{escape(name)}" src="data:image/jpeg;base64,{base64.b64encode(data).decode()}">'
            f"<figcaption>{escape(name)}</figcaption></figure>"
            for name, data in strip.pictures
        )
        told = f"{escape(strip.title)}: {show_time(strip.at)}, {strip.psnr:.2f} dB"
        parts.append(f'<h3>{told}</h3><div class="strip">{pictures}</div>')
    return f"<h2>The worst and the best gaps</h2>{''.join(parts)}" if parts else ""
