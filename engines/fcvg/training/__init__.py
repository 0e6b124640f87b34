"""Training: FCVG from Stable Video Diffusion's public weights, or all of it from nothing at a small size."""
