"""Sampling: noise schedules, the denoiser, and one module for each way of fusing the two directions."""
