"""`Networks`: SuperPoint and GlueStick with the weights of a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from codec_plugin.errors import EngineError
from fcvg.conditions.gluestick.network import GlueStick
from fcvg.conditions.gluestick.superpoint import SuperPoint
from fcvg.weights.checkpoint import read_gluestick, read_superpoint
from fcvg.weights.header import BadTensorFile
from fcvg.weights.layout import GLUESTICK, SUPERPOINT

_LISTED = 6  # keys named in a message; there may be hundreds
_KINDS: Mapping[str, tuple[type[nn.Module], Callable[[Path], dict[str, Tensor]]]] = {
    SUPERPOINT: (SuperPoint, read_superpoint),
    GLUESTICK: (GlueStick, read_gluestick),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Networks:
    """Both networks, ready to run."""

    superpoint: SuperPoint
    """Finds points, and describes them."""
    gluestick: GlueStick
    """Matches."""

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.gluestick.bin_score.device


def load_networks(folder: Path, *, device: torch.device | str = "cpu") -> Networks:
    """Loads both files of a weights folder.

    Args:
        folder: as in `weights.layout`.
        device: where the networks are to run; they compute in float32.

    Raises:
        EngineError: a file is missing, or isn't what it should be; the message lists its keys.
    """
    loaded: dict[str, Any] = {}
    for name in _KINDS:
        try:
            loaded[name] = _loaded(folder / name)
        except (BadTensorFile, OSError) as error:
            raise EngineError(f"{folder / name}: {error}; get it again, or take it away") from error
    return Networks(superpoint=loaded[SUPERPOINT].to(device), gluestick=loaded[GLUESTICK].to(device))


def fitting_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of one of the two files, told apart by its name, if they are the network's own: all, and no others.

    Raises:
        BadTensorFile: they aren't; the message lists the keys.
        OSError: the file can't be read.
    """
    kind, read = _KINDS[path.name]
    tensors = read(path)
    with torch.device("meta"):
        expected = {key: tuple(value.shape) for key, value in kind().state_dict().items()}
    shapes = {key: tuple(value.shape) for key, value in tensors.items()}
    missing = [key for key in expected if key not in shapes]
    unknown = [key for key in shapes if key not in expected]
    wrong = [
        f"{key} is {list(shape)}, not {list(expected[key])}"
        for key, shape in shapes.items()
        if shape != expected.get(key, shape)
    ]
    faults = [
        f"{len(names)} {what}: {', '.join(names[:_LISTED])}"
        + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
        for names, what in (
            (missing, f"of {len(expected)} tensors are missing"),
            (unknown, "unknown keys"),
            (wrong, "wrong shapes"),
        )
        if names
    ]
    if faults:
        raise BadTensorFile("; ".join(faults))
    return tensors


def _loaded(path: Path) -> nn.Module:
    tensors = fitting_tensors(path)
    with torch.device("meta"):
        network = _KINDS[path.name][0]()
    kept = {key: value.to(torch.float32) if value.is_floating_point() else value for key, value in tensors.items()}
    network.load_state_dict(kept, strict=True, assign=True)
    return network.requires_grad_(False).eval()
