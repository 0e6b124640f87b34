"""Files of a training run. Each is written beside its name, forced to the disk, and moved there: none is ever half."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from codec_plugin.errors import EngineError

RUN = "training"
"""The run's own folder, inside the weights folder that it makes."""


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Has a file written, and gives it its name once all of it is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.part")
    write(beside)
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(beside, path)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """A JSON object."""
    text = json.dumps(values, indent=2) + "\n"
    write_whole(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def write_tensors(path: Path, tensors: Mapping[str, Tensor], *, trained: str) -> None:
    """A weight file.

    Args:
        path: where.
        tensors: by key.
        trained: how they came about, for the file's metadata.
    """
    whole = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
    write_whole(path, lambda beside: save_file(whole, beside, metadata={"format": "pt", "trained": trained}))


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Tensors, numbers and texts, in dicts and lists."""
    write_whole(path, lambda beside: torch.save(dict(state), beside))


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """What `write_checkpoint` wrote; None where there is none.

    Raises:
        EngineError: it can't be read.
    """
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its unpickler meets
        raise EngineError(f"{path} can't be read ({error}); remove it to begin anew") from error
    return state
