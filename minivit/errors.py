"""The errors that minivit raises.

Each is a `MinivitError` *and* the built-in class that fits, so a caller may catch either one:
`except minivit.MinivitError` for every error of this package, or `except ValueError` out of habit. The
message is one sentence that names what was wrong and what is allowed; the command line prints this
sentence and exits with status 2.
"""


class MinivitError(Exception):
    """The base of every error that minivit raises on purpose."""


class Notice(UserWarning):
    """A warning of what the user should know although nothing failed: something was assumed, or left out."""


class ConfigError(MinivitError, ValueError):
    """An option, a model name or a combination of sizes is not allowed."""


class ShapeError(MinivitError, ValueError):
    """The shapes of arrays do not fit the operation."""


class DTypeError(MinivitError, TypeError):
    """A value has the wrong type, or two Tensors have different element types."""


class BackwardError(MinivitError, RuntimeError):
    """A backward pass cannot run: there is no computational graph, or it was used already."""


class NotALeafError(BackwardError, AttributeError):
    """The `.grad` of a computed Tensor was read: only leaves of the computational graph have one."""


class GradientError(MinivitError, AssertionError):
    """A gradient disagrees with finite differences."""


class DataError(MinivitError, ValueError):
    """A data set is damaged: truncated, with the wrong checksum, or not what its name says."""


class DataNotFoundError(MinivitError, FileNotFoundError):
    """A data folder or file does not exist."""


class DownloadError(MinivitError, ConnectionError):
    """A download did not succeed."""


class ImageError(MinivitError, ValueError):
    """A file is not an image, or an image cannot be used."""


class CheckpointError(MinivitError, ValueError):
    """A weights file or checkpoint is damaged, belongs to another model, or has an unknown format."""


class CheckpointNotFoundError(MinivitError, FileNotFoundError):
    """A weights file or checkpoint does not exist."""


class SaveError(MinivitError, OSError):
    """A file could not be written; what was there before is unchanged."""


class FolderInUseError(MinivitError, BlockingIOError):
    """Another process is working in this folder."""


class NonFiniteLossError(MinivitError, FloatingPointError):
    """A loss, gradient or weight became infinite or not a number during training."""


class MissingExtraError(MinivitError, ImportError):
    """An optional dependency is not installed."""


class BenchmarkError(MinivitError, RuntimeError):
    """A measurement could not be finished."""


class RankError(MinivitError, RuntimeError):
    """The ranks cannot train together: they were started differently, or by the wrong launcher."""


class OutOfMemory(MinivitError, MemoryError):
    """The arrays do not fit into the memory of the processor or the GPU."""
