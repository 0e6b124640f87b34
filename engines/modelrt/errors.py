"""What can go wrong with a model. Each error is also a builtin, so that plain Python code can catch it.

ModelRuntimeError
├── RuntimeNotInstalled (ImportError)   the runtime that was asked for isn't there
│   └── ProviderMissing                 ONNX Runtime is, but not the provider, or its libraries
├── DeviceMissing (OSError)             the device that was asked for isn't there
├── OptionsContradict (ValueError)      options that make no sense, or not together
├── ModelDamaged (ValueError)           the model's bytes aren't a model, or not the ones in its manifest
├── ModelUnverified (ValueError)        nobody has seen yet that the model gives the right numbers
│   └── ParityMissed                    somebody has seen that it doesn't
├── PrecisionUnsupported (ValueError)   this runtime or device can't compute so
├── ModelNotSupported (ValueError)      a sound model with something in it that this runtime can't do
├── TensorMismatch (ValueError)         a tensor that isn't what the model takes or promises
│   └── OutsideProfile                  a shape that the engine wasn't built for
├── OutOfDeviceMemory (MemoryError)     building or running took more memory than the device has
├── CacheUnusable (OSError)             the cache's folder can't be read or written
│   └── CacheBusy (TimeoutError)        another process builds the same engine, and takes too long
└── ThreadBudgetFixed (RuntimeError)    the thread budget was changed after the first session
"""


class ModelRuntimeError(Exception):
    """The root of every error that `modelrt` raises on purpose."""


class RuntimeNotInstalled(ModelRuntimeError, ImportError):
    """The runtime that was asked for isn't installed. No other one is taken in its place."""


class ProviderMissing(RuntimeNotInstalled):
    """ONNX Runtime is there without the provider that was asked for. The CPU is not taken in its place."""


class DeviceMissing(ModelRuntimeError, OSError):
    """The device that was asked for isn't there. No other one is taken in its place."""


class OptionsContradict(ModelRuntimeError, ValueError):
    """An option is out of its range, or two contradict each other."""


class ModelDamaged(ModelRuntimeError, ValueError):
    """The model's bytes are not a model that the runtime can read, or not those that its manifest lists."""


class ModelUnverified(ModelRuntimeError, ValueError):
    """The model's manifest says that its numbers were never compared with the reference's."""


class ParityMissed(ModelUnverified):
    """The model's numbers are further from the reference's than its manifest allows."""


class PrecisionUnsupported(ModelRuntimeError, ValueError):
    """The runtime, or the device it runs on, can't compute in the precision that was asked for."""


class ModelNotSupported(ModelRuntimeError, ValueError):
    """The model is sound, and holds an operation or a size that this runtime or device can't do."""


class TensorMismatch(ModelRuntimeError, ValueError):
    """A tensor has another name, type or shape than the session declares."""


class OutsideProfile(TensorMismatch):
    """A shape lies outside the range that the engine was built for; the message names the range."""


class OutOfDeviceMemory(ModelRuntimeError, MemoryError):
    """Building or running took more memory than the device has; the message says what is smaller."""


class CacheUnusable(ModelRuntimeError, OSError):
    """The cache's folder isn't there, or can't be read or written."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class CacheBusy(CacheUnusable, TimeoutError):
    """Another process has been building the same engine for longer than one waits."""


class ThreadBudgetFixed(ModelRuntimeError, RuntimeError):
    """The thread budget can't change any more, because a session already runs with it."""
