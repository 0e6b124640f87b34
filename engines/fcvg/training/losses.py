"""What is minimised: Stable Video Diffusion's loss for the UNet, a reconstruction loss for the VAE.

The paper says nothing of its loss. SVD's is our choice: EDM's weighted denoising error (Karras et al., arXiv
2206.00364, eq. 2 and 8) with SVD's preconditioning c_skip = 1/(s^2 + 1), c_out = -s/sqrt(s^2 + 1) (arXiv 2311.15127,
appendix D) and weight (1 + s^2)/s^2, which together are the plain square error of v.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

_EDGES = 0.5
_DIVERGENCE = 1e-6


def velocity_target(clean: Tensor, noisy: Tensor, sigma: Tensor) -> Tensor:
    """The v that `sampling.steps.denoised` turns into exactly the clean latents.

    Args:
        clean: (clip, frame, channel, row, column).
        noisy: likewise, clean + sigma · noise.
        sigma: (clip, 1, 1, 1, 1).
    """
    scale = (sigma**2 + 1).sqrt()
    return (noisy / (sigma**2 + 1) - clean) * scale / sigma


def velocity_loss(predicted: Tensor, clean: Tensor, noisy: Tensor, sigma: Tensor) -> Tensor:
    """The mean square error of v, over everything."""
    return functional.mse_loss(predicted.float(), velocity_target(clean, noisy, sigma))


def reconstruction_loss(made: Tensor, pictures: Tensor, divergence: Tensor) -> Tensor:
    """For the VAE: the absolute error of samples and of their differences to the next, and a little divergence.

    Differences keep edges, which the samples' error alone lets go. No network judges: none may be fetched.

    Args:
        made: (picture, 3, row, column) in [-1, 1].
        pictures: likewise.
        divergence: (picture,): of the posterior from the standard normal distribution.
    """
    error = made.float() - pictures
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return error.abs().mean() + _EDGES * edges + _DIVERGENCE * divergence.mean()
