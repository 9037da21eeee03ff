"""The errors that minivit raises.

Each is a `MinivitError` *and* the built-in class that fits, so a caller may catch either one:
`except minivit.MinivitError` for anything this package says, `except ValueError` out of habit. The
message is one sentence that names what was wrong and what is allowed; the command line prints it
as it stands and exits with status 2.
"""


class MinivitError(Exception):
    """The base of every error that minivit raises on purpose."""


class Notice(UserWarning):
    """What the user should know although nothing failed: something was assumed, or left out."""


class ConfigError(MinivitError, ValueError):
    """An option, a model name or a combination of sizes that is not allowed."""


class ShapeError(MinivitError, ValueError):
    """Arrays whose shapes do not fit the operation."""


class DTypeError(MinivitError, TypeError):
    """A value of the wrong type, or two Tensors of different element types."""


class BackwardError(MinivitError, RuntimeError):
    """A backward pass that cannot run: no graph, or a graph that was used already."""


class NotALeafError(BackwardError, AttributeError):
    """The `.grad` of a Tensor that was computed: only leaves have one."""


class GradientError(MinivitError, AssertionError):
    """A gradient that disagrees with finite differences."""


class DataError(MinivitError, ValueError):
    """A data set that is damaged: truncated, of the wrong checksum, or not what its name says."""


class DataNotFoundError(MinivitError, FileNotFoundError):
    """A data folder or file that does not exist."""


class DownloadError(MinivitError, ConnectionError):
    """A download that did not succeed."""


class ImageError(MinivitError, ValueError):
    """A file that is not an image, or an image that cannot be used."""


class CheckpointError(MinivitError, ValueError):
    """A weights file or checkpoint that is damaged, of another model, or not ours."""


class CheckpointNotFoundError(MinivitError, FileNotFoundError):
    """A weights file or checkpoint that does not exist."""


class SaveError(MinivitError, OSError):
    """A file that could not be written; what was there before is untouched."""


class FolderInUseError(MinivitError, BlockingIOError):
    """A run's folder in which another process works."""


class NonFiniteLossError(MinivitError, FloatingPointError):
    """A loss, gradient or weight that became infinite or not a number during training."""


class MissingExtraError(MinivitError, ImportError):
    """An optional dependency that is not installed."""


class BenchmarkError(MinivitError, RuntimeError):
    """A measurement that could not be finished."""


class RankError(MinivitError, RuntimeError):
    """Processes that cannot train together: started differently, or by the wrong launcher."""


class OutOfMemory(MinivitError, MemoryError):
    """Arrays that do not fit into the memory of the processor or the GPU."""
