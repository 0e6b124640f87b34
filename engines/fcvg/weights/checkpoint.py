"""GlueStick's two files: tensors out of PyTorch's pickles, without running anything that a pickle asks for.

A pickle may call any function there is. Only what makes tensors is let through; whatever else a training run has saved
beside them (settings, losses, an optimiser) becomes a `_Discarded`.
"""

from __future__ import annotations

import pickle
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fcvg.weights.header import BadTensorFile

_MATCHER, _PARALLEL = "matcher.", "module."  # what a training run put before the names


def read_superpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of `superpoint_v1.pth`: the file is nothing else.

    Raises:
        BadTensorFile: it is no such file.
        OSError: it can't be read.
    """
    return _tensors(_read(path))


def read_gluestick(path: Path) -> dict[str, Tensor]:
    """The matcher's tensors of `checkpoint_GlueStick_MD.tar`: of a whole training run, or of the network alone.

    Raises:
        BadTensorFile: it is no such file.
        OSError: it can't be read.
    """
    saved = _read(path)
    if not isinstance(saved.get("model"), Mapping):
        return _tensors(saved)
    found = _tensors(saved["model"])
    return {_bare(key): tensor for key, tensor in found.items() if _MATCHER in key}


def _bare(key: str) -> str:
    return key.replace(_MATCHER, "").replace(_PARALLEL, "")


def _tensors(saved: Mapping[Any, Any]) -> dict[str, Tensor]:
    other = [str(key) for key, value in saved.items() if not isinstance(value, Tensor)]
    if other:
        raise BadTensorFile(f"it holds what is no tensor ({', '.join(other[:3])})")
    return {str(key): value.detach() for key, value in saved.items()}


def _read(path: Path) -> Mapping[Any, Any]:
    size = path.stat().st_size
    zipped = zipfile.is_zipfile(path)
    with path.open("rb") as file:
        begins_as_pickle = file.read(1) == b"\x80"
    if not zipped and (tarfile.is_tarfile(path) or not begins_as_pickle):
        raise BadTensorFile(f"it has {size} bytes, which PyTorch didn't save (a web page, or a download cut off?)")
    try:
        # Tensors of a zip file stay on the disk until they are used.
        saved = torch.load(path, map_location="cpu", pickle_module=_Pickle, weights_only=False, mmap=zipped)
    except OSError:
        raise
    except Exception as error:  # what a broken pickle raises is anything
        raise BadTensorFile(f"PyTorch can't read it ({type(error).__name__}: {error})") from error
    if not isinstance(saved, Mapping):
        raise BadTensorFile("it is no collection of tensors")
    return saved


class _Discarded:
    """Stands for everything that is no tensor: takes all that a pickle does to an object, and does nothing."""

    def __new__(cls, *_: object, **__: object) -> _Discarded:
        return object.__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __call__(self, *_: object, **__: object) -> _Discarded:
        return self

    def __setstate__(self, _: object) -> None:
        pass

    def __setitem__(self, _: object, __: object) -> None:
        pass

    def append(self, _: object) -> None:
        pass

    def extend(self, _: object) -> None:
        pass

    def add(self, _: object) -> None:
        pass


_ALLOWED: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): torch.Size,
    ("torch._utils", "_rebuild_tensor"): torch._utils._rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
}


class _Unpickler(pickle.Unpickler):
    """Knows how tensors are made, and nothing else. (torch's own subclass knows storages besides.)"""

    def find_class(self, module: str, name: str) -> Any:
        return _ALLOWED.get((module, name), _Discarded)


class _Pickle:
    """What `torch.load` wants of a pickle module."""

    Unpickler = _Unpickler

    @staticmethod
    def load(file: Any, **options: Any) -> Any:
        """Reads one object."""
        return _Unpickler(file, **options).load()
