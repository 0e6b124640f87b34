"""`ExportGraph`: a module and everything that its graph is to say of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor, nn

from modelrt.options import Precision

DTYPES = {Precision.FP32: torch.float32, Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExportGraph:
    """One graph to be made. Its shapes are fixed: those of `inputs`."""

    model: str
    """Which model it is, as the manifest calls it."""
    stem: str
    """The file's name, without .onnx."""
    build: Callable[[Precision], nn.Module]
    """Makes the module in a precision. Nothing else holds it, so that no two of them need be in memory."""
    inputs: Mapping[str, Tensor]
    """An example of each input in float32, in the order of the module's forward; parity is measured on them."""
    outputs: tuple[str, ...]
    """The outputs' names, in order."""
    precision: Precision
    """What it computes in; it takes and gives float32."""
    exact: frozenset[str] = frozenset()
    """The inputs that reach the module in float32 whatever it computes in."""
    weights_sha256: str
    """Of the weights that it is made from."""
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Sizes, frames, variants: for the manifest."""
    reference: str | None = None
    """Who can make the module again, for the manifest."""

    def module(self, precision: Precision) -> nn.Module:
        """The module in a precision, float32 going in and coming out."""
        inner = self.build(precision).eval().requires_grad_(False)
        exact = tuple(name in self.exact for name in self.inputs)
        return inner if precision is Precision.FP32 else InPrecision(inner, DTYPES[precision], exact=exact)


class InPrecision(nn.Module):
    """A module of lower precision between casts, since numpy, which feeds sessions, has no bfloat16."""

    def __init__(self, module: nn.Module, dtype: torch.dtype, *, exact: tuple[bool, ...]) -> None:
        super().__init__()
        self.module = module
        self._dtype, self._exact = dtype, exact

    def forward(self, *given: Tensor) -> Tensor | tuple[Tensor, ...]:
        """What the module makes of the inputs, each in its type."""
        pairs = zip(given, self._exact, strict=True)
        made = self.module(*(tensor if exact else tensor.to(self._dtype) for tensor, exact in pairs))
        return tuple(one.float() for one in made) if isinstance(made, tuple) else made.float()
