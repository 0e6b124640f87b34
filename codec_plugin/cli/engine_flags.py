"""Options of the engine `fcvg` under names of their own: short for `--engine-option fcvg.K=V`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from codec_plugin.cli.choices import together

_OWNER = "fcvg"
_KEYS = {
    "weights": "weights",
    "allow_untrained": "allow_untrained",
    "allow_cpu": "allow_cpu",
    "fcvg_size": "size",
    "fusion": "fusion",
    "steps": "steps",
    "profile": "profile",
    "seed": "seed",
    "guidance": "guidance",
    "control_weight": "control_weight",
    "path": "path",
}


def _found(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    """A file by its whole name, since plans and reports keep it; any other text as it is."""
    return str(Path(text).absolute()) if text is not None and Path(text).is_file() else text


ENGINE_FLAGS = together(
    click.option(
        "--weights",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="fcvg: its weights; see `codec-plugin weights`.",
    ),
    click.option("--allow-untrained", is_flag=True, help="fcvg: take random weights, for tests."),
    click.option("--allow-cpu", is_flag=True, help="fcvg: begin work that takes long without a GPU."),
    click.option(
        "--fcvg-size",
        metavar="auto|native|WxH",
        help="fcvg: what the networks see; auto is about 1024x576's area in the picture's shape.",
    ),
    click.option("--fusion", metavar="NAME", help="fcvg: fcvg, trf, gi, vibid or mpd."),
    click.option("--steps", type=int, metavar="N", help="fcvg: denoising steps."),
    click.option(
        "--profile",
        metavar="NAME",
        help="fcvg: fewer operations at some loss: late-guidance, deepcache, 12-steps, 8-steps or lcm; exact for none.",
    ),
    click.option("--seed", type=int, metavar="N", help="fcvg: of the noise."),
    click.option("--guidance", type=float, metavar="X", help="fcvg: weight of the image condition."),
    click.option("--control-weight", type=float, metavar="X", help="fcvg: weight of the condition pictures."),
    click.option(
        "--path",
        metavar="NAME|FILE",
        callback=_found,
        help="fcvg: how things move from end to end: linear, ease-in, ease-out, ease-in-out, or a time/progress file.",
    ),
)


def flagged_options(given: dict[str, Any]) -> dict[str, str]:
    """Takes the flags out of a command's arguments; gives `{"fcvg.option": text}` for those that were used."""
    found = {}
    for flag, key in _KEYS.items():
        value = given.pop(flag)
        if value is None or value is False:
            continue
        text = str(value.absolute()) if isinstance(value, Path) else "yes" if value is True else str(value)
        found[f"{_OWNER}.{key}"] = text
    return found
