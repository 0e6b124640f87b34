"""`TensorFile`: what a safetensors file says that it holds, without its tensors.

The format: eight bytes with the length of a JSON object (little-endian), the object, the data. The object gives for
each tensor its type, its shape, and where in the data it lies; the tensors fill the data without a gap.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MOST_HEADER = 100_000_000
_METADATA = "__metadata__"
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


class BadTensorFile(ValueError):
    """A file isn't a whole safetensors file; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorFile:
    """The header of a safetensors file."""

    path: Path
    """Where it is."""
    shapes: Mapping[str, tuple[int, ...]]
    """Shape of each tensor, by its key."""
    metadata: Mapping[str, str]
    """What its writer noted."""

    @property
    def parameters(self) -> int:
        """Numbers in all tensors."""
        return sum(math.prod(shape) for shape in self.shapes.values())


def read_header(path: Path) -> TensorFile:
    """Reads a header and holds it against the file's length.

    Raises:
        BadTensorFile: the file is cut off, or isn't a safetensors file.
        OSError: it can't be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        if len(start) < 8:
            raise BadTensorFile(f"it has {size} bytes, which is no safetensors file (a download that was cut off?)")
        length = int.from_bytes(start, "little")
        if length > _MOST_HEADER:
            raise BadTensorFile("it is no safetensors file (a web page or a pickle under that name?)")
        if 8 + length > size:
            raise BadTensorFile(f"it is cut off: {size} bytes, and its header alone takes {8 + length}")
        text = file.read(length)
    try:
        header = json.loads(text)
        shapes, stop = _tensors(header)
        metadata = {str(key): str(value) for key, value in header.get(_METADATA, {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadTensorFile(f"it is no safetensors file: its header doesn't say what it should ({error})") from error
    if size != 8 + length + stop:
        state = "cut off" if size < 8 + length + stop else "too long"
        raise BadTensorFile(f"it is {state}: {size} bytes, and its header speaks of {8 + length + stop}")
    return TensorFile(path=path, shapes=shapes, metadata=metadata)


def _tensors(header: Any) -> tuple[dict[str, tuple[int, ...]], int]:
    """The shapes, and where the data ends."""
    shapes, spans = {}, []
    for key, entry in header.items():
        if key == _METADATA:
            continue
        shape = tuple(int(side) for side in entry["shape"])
        first, stop = (int(place) for place in entry["data_offsets"])
        width = _BYTES.get(entry["dtype"])
        if width is not None and stop - first != width * math.prod(shape):
            raise ValueError(f"{key} takes {stop - first} bytes, which is not its shape")
        shapes[key] = shape
        spans.append((first, stop))
    spans.sort()
    ends = [0, *(stop for _, stop in spans)]
    if any(first != end for (first, _), end in zip(spans, ends, strict=False)):
        raise ValueError("its tensors overlap, or leave gaps")
    return shapes, ends[-1]
