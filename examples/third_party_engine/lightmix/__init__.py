"""`lightmix`: a cross-dissolve in linear light, where half of white and half of black is what half the light gives."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from codec_plugin.engine import EngineInfo, Estimate, FillRequest, Take
from codec_plugin.errors import Cancelled
from codec_plugin.picture import Picture

_GAMMA = 2.4  # of the reference display for BT.709, ITU-R BT.1886


class LightMixEngine:
    """Mixes the two neighbours as light, not as code values."""

    info = EngineInfo(name="lightmix", summary="cross-dissolve in linear light", take=Take.RGB)

    def estimate(self, size: tuple[int, int], *, positions: int) -> Estimate:
        """About 0.1 µs a pixel."""
        pixels = size[0] * size[1]
        return Estimate(seconds=pixels * positions * 1e-7, bytes=pixels * 12 * 4)

    def fill(self, request: FillRequest) -> Iterator[Picture]:
        """One picture for each position, in their order."""
        left, right = ([plane**_GAMMA for plane in side.planes] for side in (request.left, request.right))
        for position in request.positions:
            if request.cancelled():
                raise Cancelled(f"lightmix was asked to stop before the picture at {position}")
            share = np.float32(position)
            planes = tuple(
                ((1 - share) * one + share * other) ** (1 / _GAMMA) for one, other in zip(left, right, strict=True)
            )
            yield Picture(planes=planes, layout=request.left.layout, color=request.left.color)

    def close(self) -> None:
        """Nothing to free."""
