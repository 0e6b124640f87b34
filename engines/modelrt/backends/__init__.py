"""One module a runtime, all with the same two functions: `version()` and `load(model, options=…)`.

Each imports its runtime at the top; `modelrt.opening` imports the one that is asked for.
"""
