"""FCVG's networks as ONNX graphs of fixed sizes, for the runtimes that `modelrt` speaks to."""
