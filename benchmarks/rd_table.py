"""The BD-rates in `results/rd/`, as `codec-plugin rd CLIP --json FILE` wrote them, in one table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

_NAMES = {"psnr": "PSNR", "ssim": "SSIM", "xpsnr": "XPSNR", "vmaf": "VMAF"}
_FULL_OVERLAP = 0.75


def rd_table(folder: Path) -> str:
    """A row for each clip, encoder and method; a loss has its sign as a gain has."""
    films = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    lines = [
        f"| clip | encoder | made by | {' | '.join(_NAMES.values())} |",
        "| --- | --- | --- |" + " --- |" * len(_NAMES),
    ]
    for film in films:
        lines += _rows(film)
    legend = (
        "BD-rate against the full rate: bits for the same mean quality over all frames; below 0 is a gain, above 0 a "
        "loss. * The full rate reaches less than three quarters of the curve's qualities."
    )
    return "\n".join([legend, "", *lines])


def _rows(film: dict[str, list[dict[str, str | float | None]]]) -> Iterator[str]:
    cells = {(row["encoder"], row["method"], row["metric"]): row for row in film["bd_rate"]}
    for encoder, method in dict.fromkeys((encoder, method) for encoder, method, _ in cells):
        shown = (_cell(cells.get((encoder, method, metric))) for metric in _NAMES)
        yield f"| {film['source']} | {encoder} | {method} | {' | '.join(shown)} |"


def _cell(row: dict[str, str | float | None] | None) -> str:
    if row is None:
        return "–"
    percent, overlap = row["percent"], row["overlap"]
    if percent is None or overlap is None:
        return "no common quality"
    return f"{float(percent):+.1f} %{'' if float(overlap) >= _FULL_OVERLAP else '*'}"
