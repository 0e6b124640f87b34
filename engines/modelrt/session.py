"""`Session`: a model that is ready to run, the same over every runtime."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from modelrt.errors import ModelRuntimeError, TensorMismatch
from modelrt.tensor import Buffer, Tensor, TensorSpec


class Session(ABC):
    """A compiled model. `run` checks and `_run` works; use it as a context manager, or `close` it.

    It is not thread-safe: one call at a time.
    """

    def __init__(self, name: str, *, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
        self.name = name
        """The model's name."""
        self.inputs = inputs
        """What `run` takes."""
        self.outputs = outputs
        """What `run` gives back."""
        self._closed = False

    def run(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Runs the model once.

        Args:
            tensors: one array for each of `inputs`, of its type and shape.

        Returns:
            One array for each of `outputs`; they belong to the caller.

        Raises:
            TensorMismatch: a name, type or shape isn't what `inputs` says; the message says how to fix it.
            ModelRuntimeError: the session is closed.
        """
        self._check_names(tensors)
        faults = [fault for spec in self.inputs if (fault := spec.fault_of(tensors[spec.name]))]
        if faults:
            raise TensorMismatch(f"{self.name}: {'; '.join(faults)}")
        return self._run(tensors)

    def run_buffers(self, buffers: Mapping[str, Buffer]) -> Mapping[str, Buffer]:
        """Runs the model once on memory of the session's own device, and leaves the results there.

        Nothing is copied where the runtime can work in place: torch tensors go in, and what comes out is a torch
        tensor or can be made one by `torch.from_dlpack`. Work that is queued on torch's current stream is done first.

        Args:
            buffers: one for each of `inputs`, dense, of its type and shape, on the session's device.

        Returns:
            One for each of `outputs`; they belong to the caller.

        Raises:
            TensorMismatch: a name, type, shape or device isn't what the session takes.
            ModelRuntimeError: the session is closed.
        """
        self._check_names(buffers)
        return self._run_buffers(buffers)

    def _check_names(self, given: Mapping[str, object]) -> None:
        if self._closed:
            raise ModelRuntimeError(f"the session of {self.name} is closed; open another one")
        wanted = {spec.name for spec in self.inputs}
        if wanted != set(given):
            takes = "; ".join(str(spec) for spec in self.inputs)
            named = ", ".join(sorted(given)) or "nothing"
            raise TensorMismatch(f"{self.name} takes {takes}; it was given {named}")

    @abstractmethod
    def _run_buffers(self, buffers: Mapping[str, Buffer]) -> Mapping[str, Buffer]:
        """Runs the model on buffers whose names were checked."""

    @abstractmethod
    def _run(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Runs the model on tensors that were checked."""

    def close(self) -> None:
        """Frees the model. It may be called twice."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
