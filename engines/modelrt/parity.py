"""Holds a session against what its model should give: one measure for exports, builds and tests.

What a model should give is known to whoever exported it. A manifest names him in `reference`, and he yields `Case`s:
inputs, and the outputs that the original network makes of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from modelrt.errors import ModelUnverified, ParityMissed
from modelrt.manifest import Manifest, Parity
from modelrt.options import Precision
from modelrt.session import Session
from modelrt.tensor import Tensor

_GROUP = "modelrt.references"
_BUILT_IN = {"fcvg": "fcvg.export.reference:cases"}
"""By the manifest's `reference`; other packages name theirs by an entry point in the group `modelrt.references`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One run of the original network."""

    inputs: Mapping[str, Tensor]
    """What it was given."""
    wanted: Mapping[str, Tensor]
    """What it made of it."""


class Reference(Protocol):
    """Runs the original network of an exported graph."""

    def __call__(self, manifest: Manifest, *, folder: Path, weights: Path | None) -> Iterator[Case]:
        """Yields cases, always the same ones.

        Args:
            manifest: of which graph, with what the network was built from in `settings`.
            folder: where the graph lies.
            weights: the folder of the network's weights, where somebody named one.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How far two sets of arrays are apart."""

    relative: float
    """The largest over the arrays of |made - wanted| / |wanted|, both in the Euclidean norm."""
    largest: float
    """The largest over the arrays of the greatest difference of two elements over the greatest wanted one."""


def difference(made: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Difference:
    """Compares arrays by name; what is not finite, on either side, is infinitely far, and so is another shape."""
    relative = largest = 0.0
    for name, right in wanted.items():
        ours, theirs = np.asarray(made[name], np.float64), np.asarray(right, np.float64)
        if ours.shape != theirs.shape or not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
            return Difference(relative=float("inf"), largest=float("inf"))
        apart = ours - theirs
        relative = max(relative, _over(float(np.linalg.norm(apart)), float(np.linalg.norm(theirs))))
        largest = max(largest, _over(float(np.abs(apart).max(initial=0)), float(np.abs(theirs).max(initial=0))))
    return Difference(relative=relative, largest=largest)


def measure(
    session: Session, cases: Iterator[Case], *, runtime: str, device: str, precision: Precision, reference: str
) -> Parity:
    """Runs every case and keeps the worst difference.

    Args:
        session: the graph, opened.
        cases: at least one.
        runtime: what runs it, with provider and version.
        device: on what, by the device's own name.
        precision: what it computes in.
        reference: what made the wanted outputs, with its version.

    Raises:
        ModelUnverified: there is no case, so that nothing was measured.
    """
    found = [difference(session.run(case.inputs), case.wanted) for case in cases]
    if not found:
        raise ModelUnverified(f"the reference of {session.name} yields no case, so that nothing was measured")
    return Parity(
        runtime=runtime,
        device=device,
        precision=precision,
        reference=reference,
        relative=max(one.relative for one in found),
        largest=max(one.largest for one in found),
    )


def check(manifest: Manifest, parity: Parity) -> None:
    """Nothing where the graph is near enough.

    Raises:
        ParityMissed: it isn't.
    """
    if not parity.relative <= manifest.tolerance:
        raise ParityMissed(
            f"{manifest.graph} misses its reference by {parity.relative:.1e} on {parity.runtime} in "
            f"{parity.precision}, where {manifest.tolerance:.1e} is allowed; it isn't built: use another precision or "
            "runtime, or export it again"
        )


def reference_of(manifest: Manifest) -> Reference:
    """Who can run the original network.

    Raises:
        ModelUnverified: the manifest names nobody, or somebody who isn't installed.
    """
    name = manifest.reference
    if name is None:
        raise ModelUnverified(f"the manifest of {manifest.graph} names no reference to hold it against")
    target = _BUILT_IN.get(name) or next(
        (point.value for point in metadata.entry_points(group=_GROUP) if point.name == name), None
    )
    if target is None:
        known = ", ".join(sorted({*_BUILT_IN, *(point.name for point in metadata.entry_points(group=_GROUP))}))
        raise ModelUnverified(f"the reference {name!r} of {manifest.graph} isn't installed; there are: {known}")
    module, _, attribute = target.partition(":")
    try:
        return cast(Reference, getattr(import_module(module), attribute))
    except (ImportError, AttributeError) as error:
        raise ModelUnverified(
            f"the reference {name!r} of {manifest.graph} can't be imported ({error}); install the extra that exports it"
        ) from error


def _over(part: float, whole: float) -> float:
    if part == 0:
        return 0.0
    return part / whole if whole else float("inf")
