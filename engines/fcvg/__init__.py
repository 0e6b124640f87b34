"""FCVG: frames for large gaps, made by a video diffusion model that is steered by matched lines (arXiv 2412.11755).

Importing this package loads no torch; its modules do.
"""
