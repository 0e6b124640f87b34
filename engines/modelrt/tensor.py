"""`TensorSpec`: what a session says of one of its inputs or outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from modelrt.errors import TensorMismatch

Tensor = npt.NDArray[Any]
"""A dense array in host memory."""


@runtime_checkable
class Buffer(Protocol):
    """Memory on some device, lent without a copy by DLPack: a torch tensor, an OrtValue, a numpy array."""

    def __dlpack__(self) -> object:
        """The capsule."""
        ...

    def __dlpack_device__(self) -> tuple[int, int]:
        """Kind of device, and which."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """Name, type and shape of one input or output."""

    name: str
    """As in the graph."""
    dtype: np.dtype[Any]
    """The type of an element."""
    shape: tuple[int | None, ...]
    """The extent of every axis; None where any extent is taken."""

    def __str__(self) -> str:
        extents = ", ".join("any" if extent is None else str(extent) for extent in self.shape)
        return f"{self.name}: {self.dtype} ({extents})"

    def fault_of(self, tensor: Tensor) -> str | None:
        """What is wrong with `tensor` and how to put it right; None where it fits."""
        if not isinstance(tensor, np.ndarray):
            return f"{self.name!r} is a {type(tensor).__name__}, not a numpy array; use numpy.asarray"
        if tensor.dtype != self.dtype:
            return f"{self.name!r} is {tensor.dtype}, not {self.dtype}; use .astype(numpy.{self.dtype})"
        return self.shape_fault_of(tensor.shape)

    def shape_fault_of(self, shape: tuple[int, ...]) -> str | None:
        """What is wrong with a shape; None where it fits."""
        return None if self._takes(shape) else f"{self.name!r} has shape {shape}; the session takes {self}"

    def fixed(self, shape: tuple[int, ...] | None) -> TensorSpec:
        """This spec narrowed to one shape; itself for None.

        Raises:
            TensorMismatch: the spec doesn't take that shape.
        """
        if shape is None:
            return self
        if not self._takes(tuple(shape)):
            raise TensorMismatch(f"the input {self} can't be fixed to the shape {tuple(shape)}")
        return TensorSpec(name=self.name, dtype=self.dtype, shape=tuple(shape))

    def _takes(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == len(self.shape) and all(
            want is None or have == want for have, want in zip(shape, self.shape, strict=True)
        )


def fixed_inputs(specs: tuple[TensorSpec, ...], shapes: Mapping[str, tuple[int, ...]]) -> tuple[TensorSpec, ...]:
    """Input specs narrowed to the shapes that were asked for.

    Raises:
        TensorMismatch: a shape that its input doesn't take, or one for an input that isn't there.
    """
    unknown = sorted(set(shapes) - {spec.name for spec in specs})
    if unknown:
        known = "; ".join(str(spec) for spec in specs)
        raise TensorMismatch(f"no input is called {', '.join(unknown)}; there are: {known}")
    return tuple(spec.fixed(shapes.get(spec.name)) for spec in specs)
