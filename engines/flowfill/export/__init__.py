"""Makes the graphs in `flowfill/data` from published RIFE weights: `python -m flowfill.export WEIGHTS OUT`.

It needs torch and onnx, which the package itself never imports.
"""
