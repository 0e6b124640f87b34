"""Turns torch modules into ONNX graphs that are checked, held against their modules, and described in a manifest.

It needs torch, onnx and onnxscript, which the rest of the package never imports.
"""
