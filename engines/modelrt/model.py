"""What a session can be opened for: `OnnxModel` (bytes) or `TorchModel` (a module)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelrt.errors import ModelDamaged
from modelrt.tensor import TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxModel:
    """A graph in the ONNX format, for OpenVINO and ONNX Runtime."""

    name: str
    """Shown in errors."""
    data: bytes = field(repr=False)
    """The file's bytes, weights inside."""
    remedy: str = "get the file again"
    """What to do where the bytes are no model; ends an error's message."""

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes, in hex."""
        return hashlib.sha256(self.data).hexdigest()

    @classmethod
    def from_file(cls, path: Path, *, remedy: str = "get the file again") -> OnnxModel:
        """Reads a model.

        Raises:
            ModelDamaged: the file isn't there or can't be read.
        """
        try:
            return cls(name=path.name, data=path.read_bytes(), remedy=remedy)
        except OSError as error:
            raise ModelDamaged(f"model {path} can't be read ({error.strerror}); {remedy}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchModel:
    """A PyTorch module, called with its inputs in the order of `inputs`."""

    name: str
    """Shown in errors."""
    module: Any
    """A `torch.nn.Module`; typed loosely, because this package must import without torch."""
    inputs: tuple[TensorSpec, ...]
    """What the module's forward takes, in order."""
    outputs: tuple[TensorSpec, ...]
    """What it returns: one tensor or a tuple of them, in order."""


Model = OnnxModel | TorchModel
