"""What a session can be opened for: `OnnxModel` (bytes, or a file) or `TorchModel` (a module)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from modelrt.errors import ModelDamaged
from modelrt.onnxfile import BFLOAT16, FLOAT, FLOAT16, NotOnnx, elements_by_type, external_files
from modelrt.options import Precision
from modelrt.tensor import TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxModel:
    """A graph in the ONNX format, for OpenVINO, ONNX Runtime and TensorRT: its bytes, or the file they lie in."""

    name: str
    """Shown in errors."""
    data: bytes | None = field(default=None, repr=False)
    """The graph's bytes with its weights inside; None where `path` says where they are."""
    path: Path | None = None
    """The file, with the files of its external data beside it; they are read by the runtime, and never held here."""
    remedy: str = "get the file again"
    """What to do where it is no model; ends an error's message."""

    def __post_init__(self) -> None:
        if (self.data is None) == (self.path is None):
            raise ValueError(f"{self.name}: an OnnxModel is its bytes (data) or a file (path), one of the two")

    @property
    def digest(self) -> str:
        """SHA-256 in hex: of the bytes, or of the graph and all files of its external data.

        A file's is kept in memory until the file changes.

        Raises:
            ModelDamaged: a file isn't there, can't be read, or is no ONNX.
        """
        if self.data is not None:
            return hashlib.sha256(self.data).hexdigest()
        files = self.files
        return _digest(tuple((str(file), *_state(file, self)) for file in files))

    @property
    def files(self) -> tuple[Path, ...]:
        """The model's files, the graph first; none where it is bytes.

        Raises:
            ModelDamaged: the graph can't be read, or a file that it names isn't beside it.
        """
        if self.path is None:
            return ()
        size, changed = _state(self.path, self)
        try:
            beside = _external_files(str(self.path), size, changed)
        except NotOnnx as error:
            raise ModelDamaged(f"{self.name} is not a model: {error}; {self.remedy}") from error
        files = (self.path, *(self.path.parent / name for name in beside))
        for file in files[1:]:
            _state(file, self)
        return files

    @property
    def size_bytes(self) -> int:
        """The size of graph and weights in bytes."""
        return len(self.data) if self.data is not None else sum(file.stat().st_size for file in self.files)

    @property
    def written_in(self) -> Precision:
        """The precision that most of its weights are used in, and so the one that its arithmetic is written in.

        Raises:
            ModelDamaged: the graph can't be read, or is no ONNX.
        """
        try:
            if self.path is None:
                return _written_in(elements_by_type(self.data or b""))
            return _written_in_file(str(self.path), *_state(self.path, self))
        except NotOnnx as error:
            raise ModelDamaged(f"{self.name} is not a model: {error}; {self.remedy}") from error

    @classmethod
    def from_file(cls, path: Path, *, remedy: str = "get the file again") -> OnnxModel:
        """Names a model's file; its bytes, which may be gigabytes, are left where they are.

        Raises:
            ModelDamaged: the file isn't there or can't be read.
        """
        model = cls(name=path.name, path=path.absolute(), remedy=remedy)
        _state(model.path or path, model)
        return model


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


def _state(file: Path, model: OnnxModel) -> tuple[int, int]:
    """A file's size, and the time of its last change in nanoseconds."""
    try:
        with file.open("rb"):
            stat = file.stat()
    except OSError as error:
        raise ModelDamaged(f"model {file} can't be read ({error.strerror}); {model.remedy}") from error
    return stat.st_size, stat.st_mtime_ns


@lru_cache(maxsize=64)
def _external_files(path: str, size: int, changed: int) -> tuple[str, ...]:
    return external_files(Path(path).read_bytes())


@lru_cache(maxsize=64)
def _written_in_file(path: str, size: int, changed: int) -> Precision:
    return _written_in(elements_by_type(Path(path).read_bytes()))


def _written_in(elements: Mapping[int, int]) -> Precision:
    types = {FLOAT: Precision.FP32, FLOAT16: Precision.FP16, BFLOAT16: Precision.BF16}
    most = max(types, key=lambda kind: elements.get(kind, 0))
    return types[most]


@lru_cache(maxsize=64)
def _digest(states: tuple[tuple[str, int, int], ...]) -> str:
    """Over the graph's digest, and the name and digest of every file beside it."""
    whole = hashlib.sha256()
    folder = Path(states[0][0]).parent
    for file, _, _ in states:
        with open(file, "rb") as opened:
            part = hashlib.file_digest(opened, "sha256").hexdigest()
        if len(states) == 1:
            return part
        shown = "" if file == states[0][0] else Path(file).relative_to(folder).as_posix()
        whole.update(f"{shown}\0{part}\0".encode())
    return whole.hexdigest()
