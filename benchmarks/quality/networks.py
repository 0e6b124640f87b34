"""LPIPS, FID and FVD by networks that are given as TorchScript files. None is approximated without its own network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmarks.cases import Case, Gap
from benchmarks.quality.film import load_network
from benchmarks.quality.rows import Measure, NetworkScore, QualityRow
from benchmarks.quality.sheet import rgb_bytes
from codec_plugin.errors import EngineError
from codec_plugin.picture import Picture

if TYPE_CHECKING:
    import torch

Features = npt.NDArray[np.float64]
"""(sample, feature)."""

LEAST_VIDEO = 10
"""Frames that I3D needs, both kept ones counted."""
_ORIGINAL = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFiles:
    """Which networks were given."""

    lpips: Path | None = None
    """(a, b) in [-1, 1], each (1, 3, height, width), to a distance: the library lpips, traced."""
    fid: Path | None = None
    """Pictures (n, 3, height, width) of bytes to features (n, d): Inception as it is published for FID."""
    fvd: Path | None = None
    """Videos (n, 3, frame, height, width) in 0 to 255 to features (n, d): I3D as it is published for FVD."""

    def measures(self) -> tuple[Measure, ...]:
        """What is measured by them, and what isn't."""
        given = {"LPIPS": self.lpips, "FID": self.fid, "FVD": self.fvd}
        return tuple(
            Measure(name=name, taken=True, how=f"TorchScript network {file.name}")
            if file is not None
            else Measure(name=name, taken=False, how=f"--{name.lower()} FILE names its TorchScript network")
            for name, file in given.items()
        )


class Networks:
    """Runs the networks on what is made, and keeps what Fréchet distances need: features, no pictures."""

    def __init__(self, files: NetworkFiles) -> None:
        """Loads the networks.

        Raises:
            EngineError: torch isn't installed, or a file isn't TorchScript.
        """
        self._lpips, self._fid, self._fvd = (
            None if file is None else load_network(file) for file in (files.lpips, files.fid, files.fvd)
        )
        self._distances: dict[tuple[str, int, str], list[float]] = defaultdict(list)
        self._pictures: dict[tuple[int, str], list[Features]] = defaultdict(list)
        self._videos: dict[tuple[int, str], list[Features]] = defaultdict(list)

    def see(
        self, case: Case, frames: Sequence[Picture], gaps: Sequence[Gap], made: Mapping[str, Mapping[int, Picture]]
    ) -> None:
        """Runs the networks on every gap.

        Raises:
            EngineError: a file holds another kind of network.
        """
        for gap in gaps:
            ends = rgb_bytes(frames[gap.left]), rgb_bytes(frames[gap.right])
            original = [rgb_bytes(frames[index]) for index in gap.dropped]
            self._describe(len(original), _ORIGINAL, original, ends)
            for name, pictures in made.items():
                ours = [rgb_bytes(pictures[index]) for index in gap.dropped]
                self._describe(len(ours), name, ours, ends)
                if self._lpips is not None:
                    distances = [self._distance(one, other) for one, other in zip(ours, original, strict=True)]
                    self._distances[case.name, len(ours), name] += distances

    def added(self, rows: Sequence[QualityRow]) -> list[QualityRow]:
        """The rows with what the networks say: LPIPS for each clip, all of it in the rows over all clips."""
        found = []
        for row in rows:
            scores: list[NetworkScore] = []
            if row.summary is not None:
                scores += self._lpips_of(row, every=row.pooled)
                if row.pooled:
                    scores += self._frechet("FID", self._pictures, row) + self._frechet("FVD", self._videos, row)
            found.append(replace(row, networks=tuple(scores)))
        return found

    def _lpips_of(self, row: QualityRow, *, every: bool) -> list[NetworkScore]:
        values = [
            value
            for (clip, dropped, peer), distances in self._distances.items()
            if (dropped, peer) == (row.dropped, row.peer) and (every or clip == row.clip)
            for value in distances
        ]
        if not values:
            return []
        return [NetworkScore(measure="LPIPS", value=round(float(np.mean(values)), 5), count=len(values))]

    def _frechet(
        self, name: str, features: Mapping[tuple[int, str], list[Features]], row: QualityRow
    ) -> list[NetworkScore]:
        ours, original = features.get((row.dropped, row.peer)), features.get((row.dropped, _ORIGINAL))
        if not ours or not original:
            return []
        one, other = np.concatenate(ours), np.concatenate(original)
        if min(len(one), len(other)) < 2:
            return []
        return [NetworkScore(measure=name, value=round(frechet_distance(one, other), 4), count=len(one))]

    def _describe(self, dropped: int, name: str, pictures: Sequence[Any], ends: tuple[Any, Any]) -> None:
        import torch

        if self._fid is not None:
            batch = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
            self._pictures[dropped, name].append(_features(self._fid, batch, {"return_features": True}))
        if self._fvd is not None and len(pictures) + 2 >= LEAST_VIDEO:
            video = torch.from_numpy(np.stack([ends[0], *pictures, ends[1]])).permute(3, 0, 1, 2)[None].float()
            told = {"rescale": True, "resize": True, "return_features": True}
            self._videos[dropped, name].append(_features(self._fvd, video, told))

    def _distance(self, one: Any, other: Any) -> float:
        import torch

        pair = [torch.from_numpy(each).permute(2, 0, 1)[None].float() / 127.5 - 1 for each in (one, other)]
        try:
            with torch.inference_mode():
                return float(self._lpips(*pair))  # type: ignore[misc]  # there, or nobody asks
        except (RuntimeError, TypeError, ValueError) as error:
            raise EngineError(f"the file of --lpips isn't a network (a, b) -> distance: {error}") from error


def frechet_distance(one: Features, other: Features) -> float:
    """Between the Gaussians with the two samples' means and covariances (Heusel et al. 2017, equation 6).

    With the centred samples A and B, each over the root of its size less one, the trace of the covariances' product's
    root is the sum of the singular values of A Bᵀ: exact, also with fewer samples than features.
    """
    first, second = (_root(sample) for sample in (one, other))
    shift = np.square(one.mean(axis=0) - other.mean(axis=0)).sum()
    spread = np.square(first).sum() + np.square(second).sum()
    common = np.linalg.svd(first @ second.T, compute_uv=False).sum()
    return float(shift + spread - 2 * common)


def _root(sample: Features) -> Features:
    """A matrix R with Rᵀ R the sample's covariance, no taller than it must be."""
    centred: Features = (sample - sample.mean(axis=0)) / np.sqrt(len(sample) - 1)
    return centred if len(sample) <= sample.shape[1] else np.asarray(np.linalg.qr(centred, mode="r"))


def _features(network: Any, batch: torch.Tensor, told: Mapping[str, bool]) -> Features:
    """The network's features, asked for by those of the published files' own arguments that it has."""
    import torch

    known = {argument.name for argument in network.forward.schema.arguments}
    try:
        with torch.inference_mode():
            found = network(batch, **{name: value for name, value in told.items() if name in known})
        return np.asarray(found.reshape(found.shape[0], -1).double().numpy(), dtype=np.float64)
    except (RuntimeError, TypeError, ValueError) as error:
        raise EngineError(f"the file of --fid or --fvd isn't a network pictures -> features: {error}") from error
