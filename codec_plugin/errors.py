"""What can go wrong, in one tree. Each error is also a builtin, so that plain Python code can catch it.

    CodecPluginError
    ├── OptionError (ValueError)          an option is out of range, or two contradict each other
    ├── MediaError (OSError)              the outside world: files, containers, codecs
    │   ├── InputError                    the input can't be read, or isn't what it must be
    │   │   ├── DamagedInput              it began well and then could not be followed any further
    │   │   └── UnsupportedInput          it is sound, but we don't do this (interlaced, size change …)
    │   │       └── CannotSplice          nor can its packets be kept while frames are added between them
    │   └── OutputError                   the output can't be written
    │       └── CannotHold                a container or encoder can't hold what the source has
    ├── PlanError (ValueError)            a plan that can't be read, is for another file, or was not kept
    ├── EngineError (RuntimeError)        an engine that isn't there, or that broke its promise
    │   └── CannotFill                    an engine says, with a reason, that it can't fill this gap
    ├── VerificationFailed (RuntimeError) a restored film isn't what it must be
    └── Cancelled (RuntimeError)          the caller asked to stop

A message says what happened, where (file, pts, slot), and what to do next.
"""


class CodecPluginError(Exception):
    """The root of every error this package raises on purpose."""


class OptionError(CodecPluginError, ValueError):
    """An option is out of range, or two options contradict each other."""


class MediaError(CodecPluginError, OSError):
    """Something outside is wrong: a file, a container, a codec."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class InputError(MediaError):
    """The input can't be read, or isn't what it must be."""


class DamagedInput(InputError):
    """The input began well and then could not be followed any further."""


class UnsupportedInput(InputError):
    """The input is sound, but this package doesn't do that."""


class CannotSplice(UnsupportedInput):
    """Frames can't be added to a stream without encoding all of it anew; the message is the reason."""


class OutputError(MediaError):
    """The output can't be written."""


class CannotHold(OutputError):
    """The chosen container or encoder can't hold something the source has."""


class PlanError(CodecPluginError, ValueError):
    """A plan can't be read, belongs to another file, or was not kept."""


class EngineError(CodecPluginError, RuntimeError):
    """An engine isn't there, or broke its promise."""


class CannotFill(EngineError):
    """An engine says that it can't fill this gap well; the message is the reason, shown in the report."""


class VerificationFailed(CodecPluginError, RuntimeError):
    """A restored film isn't what it must be; the message is the first thing found."""


class Cancelled(CodecPluginError, RuntimeError):
    """The caller asked to stop."""
