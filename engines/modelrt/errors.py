"""What can go wrong with a model. Each error is also a builtin, so that plain Python code can catch it.

ModelRuntimeError
├── RuntimeNotInstalled (ImportError)   the runtime that was asked for isn't there
├── ModelDamaged (ValueError)           the model's bytes aren't a model
├── PrecisionUnsupported (ValueError)   this runtime or device can't compute so
├── TensorMismatch (ValueError)         a tensor that isn't what the model takes or promises
└── ThreadBudgetFixed (RuntimeError)    the thread budget was changed after the first session
"""


class ModelRuntimeError(Exception):
    """The root of every error that `modelrt` raises on purpose."""


class RuntimeNotInstalled(ModelRuntimeError, ImportError):
    """The runtime that was asked for isn't installed. No other one is taken in its place."""


class ModelDamaged(ModelRuntimeError, ValueError):
    """The model's bytes are not a model that the runtime can read."""


class PrecisionUnsupported(ModelRuntimeError, ValueError):
    """The runtime, or the device it runs on, can't compute in the precision that was asked for."""


class TensorMismatch(ModelRuntimeError, ValueError):
    """A tensor has another name, type or shape than the session declares."""


class ThreadBudgetFixed(ModelRuntimeError, RuntimeError):
    """The thread budget can't change any more, because a session already runs with it."""
