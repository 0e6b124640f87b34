"""FCVG's weights on disk: which files there are, whether they fit, and how they become networks."""
