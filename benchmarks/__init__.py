"""Measures the engines against each other and against FFmpeg's minterpolate, in one run and on the same frames."""
