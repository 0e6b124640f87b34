"""What an engine is built for: ranges of shapes, and all that its cache key holds."""

from __future__ import annotations

from collections.abc import Mapping

from modelrt.cache import CacheKey
from modelrt.errors import OutsideProfile, TensorMismatch
from modelrt.model import OnnxModel
from modelrt.options import SessionOptions, ShapeRange


def spans(inputs: Mapping[str, tuple[int, ...]], options: SessionOptions) -> Mapping[str, ShapeRange]:
    """The range of shapes of each input: fixed, asked for, or the graph's own.

    Args:
        inputs: the graph's own shapes, -1 where any extent is taken.
        options: what was asked for.

    Raises:
        TensorMismatch: one has no range, or an input is named that isn't there.
        OutsideProfile: a range holds shapes that the graph doesn't take.
    """
    unknown = sorted((set(options.shapes) | set(options.ranges)) - set(inputs))
    if unknown:
        raise TensorMismatch(f"no input is called {', '.join(unknown)}; there are: {', '.join(inputs)}")
    made = {}
    for name, own in inputs.items():
        fixed = options.shapes.get(name) or (own if -1 not in own else None)
        asked = options.ranges.get(name)
        if asked is None and fixed is None:
            raise TensorMismatch(
                f"TensorRT builds for a range of shapes, and {name!r} {own} has none: fix it (--shape {name}=…), or "
                f"give its range (--range {name}=SMALLEST:USUAL:LARGEST)"
            )
        span = asked or ShapeRange(smallest=fixed or (), usual=fixed or (), largest=fixed or ())
        for shape in (span.smallest, span.largest):
            if len(shape) != len(own) or any(want not in (-1, have) for want, have in zip(own, shape, strict=True)):
                raise OutsideProfile(f"{name!r} takes {own}, -1 being any; the range {span} goes beyond it")
        made[name] = span
    return made


def key_of(model: OnnxModel, *, options: SessionOptions, device: str, capability: str, runtime: str) -> CacheKey:
    """All that an engine depends on."""
    ranges = {f"range {name}": str((span.smallest, span.usual, span.largest)) for name, span in options.ranges.items()}
    return CacheKey(
        model_digest=model.digest,
        precision=options.precision,
        shapes=tuple(sorted((name, tuple(shape)) for name, shape in options.shapes.items())),
        runtime=runtime,
        device=device,
        capability=capability,
        options=tuple(sorted({**ranges, "workspace_bytes": str(options.workspace_bytes)}.items())),
    )
