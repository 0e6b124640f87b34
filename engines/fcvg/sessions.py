"""`SessionNetworks`: FCVG's networks as exported graphs on any of `modelrt`'s runtimes, called as torch's are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.utils.dlpack
from torch import Tensor

from codec_plugin.errors import EngineError
from fcvg.models import FeatureExtractor
from modelrt.session import Session


class SessionUNet:
    """The UNet's graph; it takes as many rows as one likes, in batches of its own."""

    def __init__(self, session: Session) -> None:
        self._session = session
        shape = _shape(session, "sample")
        self._batch, self._frames = shape[0], shape[1]
        self._embeddings: Tensor | None = None

    @contextmanager
    def folded(self, embeddings: Tensor) -> Iterator[None]:
        """Names the clip's embeddings, (3, width), for as long as it lasts; the graph folds them itself."""
        before, self._embeddings = self._embeddings, embeddings
        try:
            yield
        finally:
            self._embeddings = before

    def __call__(
        self,
        sample: Tensor,
        timestep: Tensor,
        picks: Tensor,
        told: Tensor,
        *,
        control: Tensor | None = None,
        control_scale: Tensor | None = None,
    ) -> tuple[Tensor]:
        """As a folded `ControlledUNet`.

        Raises:
            EngineError: the sample has another number of frames than the graph, or its rows are no multiple of the
                graph's batch.
        """
        rows, frames = sample.shape[:2]
        if frames != self._frames or rows % self._batch:
            raise EngineError(
                f"{self._session.name} takes {self._batch} rows of {self._frames} frames, and this fusion runs {rows} "
                f"of {frames}: export the unet with --frames {frames} --batch {2 if rows % 2 == 0 else 1}"
            )
        if self._embeddings is None:
            raise EngineError(f"{self._session.name} folds its cross-attention, and was called unfolded")
        if control is None or control_scale is None:
            # The graph adds control * scale: at a scale of 0 the sample stays as it is, exactly.
            control = sample.new_zeros(rows * frames, *_shape(self._session, "control")[1:])
            control_scale = sample.new_zeros(rows)
        made = []
        for start in range(0, rows, self._batch):
            some = slice(start, start + self._batch)
            tensors = {
                "sample": sample[some],
                "timestep": timestep.reshape(1),
                "picks": picks[some],
                "embeddings": self._embeddings,
                "told": told[some],
                "control": control[start * frames : (start + self._batch) * frames],
                "control_scale": control_scale[some],
            }
            made.append(_ran(self._session, tensors, "v"))
        return (torch.cat(made),)


class SessionEncoder:
    """The condition encoder's graph. It sees every frame by itself, so that too few of them are filled up."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._frames = _shape(session, "pictures")[0]

    def control(self, pictures: Tensor, timestep: Tensor) -> Tensor:
        """(frame, 3, h, w) to (frame, channel, ceil(h/16), ceil(w/16)), standardised."""
        made = []
        for part in pictures.split(self._frames):
            lacking = self._frames - len(part)
            full = torch.cat([part, part[-1:].expand(lacking, -1, -1, -1)]) if lacking else part
            made.append(
                _ran(self._session, {"pictures": full, "timestep": timestep.reshape(1)}, "control")[: len(part)]
            )
        return torch.cat(made)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SessionNetworks:
    """See `fcvg.models.Networks`. What goes in and comes out is float32, whatever the graphs compute in."""

    unet: SessionUNet
    """Goes forward and backward."""
    encoder: SessionEncoder
    """Sees the condition pictures."""
    latents: Session
    """The VAE's encoder."""
    decoders: Mapping[int, Session]
    """The VAE's decoder, by the number of frames that it decodes together."""
    embeddings: Session
    """CLIP."""
    latent_scale: float
    """The VAE's scaling factor."""
    scheduler_config: Mapping[str, Any]
    """The checkpoint's scheduler_config.json."""
    feature_extractor: FeatureExtractor | None = None
    """The checkpoint's; None for CLIP's own normalisation."""
    device: torch.device
    """Where the sampler's tensors lie."""
    dtype: torch.dtype = torch.float32
    """What the graphs are given."""
    vae: None = None
    """None: the graphs stand for it."""
    image_encoder: None = None
    """None: likewise."""
    unet_backward: None = None
    """None: `gi` runs on torch only."""

    def embedding(self, picture: Tensor) -> Tensor:
        """(1, 3, 224, 224), normalised, to (1, width)."""
        return _ran(self.embeddings, {"picture": picture}, "embedded")

    def latent(self, picture: Tensor) -> Tensor:
        """(1, 3, h, w) in [-1, 1] to the posterior's mode, (1, 4, h/8, w/8)."""
        return _ran(self.latents, {"picture": picture}, "latent")

    def pictures(self, latents: Tensor) -> Tensor:
        """(frame, 4, h/8, w/8), decoded together, to (frame, 3, h, w) in [-1, 1]."""
        return _ran(self.decoders[len(latents)], {"latents": latents}, "pictures")

    @contextmanager
    def at_work(self, *_networks: object) -> Iterator[None]:
        """Nothing: sessions stay where they are."""
        yield


def _shape(session: Session, name: str) -> tuple[int, ...]:
    """The shape of an input, which every exported graph fixes."""
    return tuple(extent or 0 for extent in next(spec.shape for spec in session.inputs if spec.name == name))


def _ran(session: Session, tensors: Mapping[str, Tensor], output: str) -> Tensor:
    """Runs a session on tensors where they lie; on a GPU nothing is copied where the runtime can do without."""
    given = {name: tensor.detach().float().contiguous() for name, tensor in tensors.items()}
    device = next(iter(given.values())).device
    if device.type != "cpu":
        on_device = {name: tensor.to(device) for name, tensor in given.items()}
        made: Tensor = torch.utils.dlpack.from_dlpack(session.run_buffers(on_device)[output])
        return made
    array = session.run({name: tensor.numpy() for name, tensor in given.items()})[output]
    return torch.from_numpy(np.require(array, np.float32, ["C", "W"]))
