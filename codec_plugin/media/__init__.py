"""Everything that touches PyAV: reading, writing, copying, pixels. Nothing else in the package imports `av`."""
