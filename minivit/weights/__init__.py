"""Files of weights, in and out: minivit's own, and those of other programs.

file -> archive -> source -> configuration and arrays -> model
"""

from ..utils.aliases import old_names
from .adapt import has_zero_head, with_new_head, with_rates
from .describe import WeightsDescription, describe_weights
from .export.export import export_model
from .find import RUN_WEIGHTS, find_weights, is_weights_name
from .formats.archive import READ_SUFFIXES, SUFFIXES
from .load import load_for_pixels, load_model, load_weights
from .options import channels_of, crop_of, grid_of, pool_of, sides_of
from .published import PRETRAINED, list_models, pretrained_weights
from .save import save_weights
from .scaling import fold_scaling
from .sources.minivit import config_of, read_arrays, read_header, section, write_arrays
from .sources.source import Header
from .verify import verify_weights

__all__ = [
    "PRETRAINED", "READ_SUFFIXES", "RUN_WEIGHTS", "SUFFIXES", "Header", "WeightsDescription", "channels_of",
    "config_of", "crop_of", "describe_weights", "export_model", "find_weights", "fold_scaling", "grid_of",
    "has_zero_head", "is_weights_name", "list_models", "load_for_pixels", "load_model", "load_weights", "pool_of",
    "pretrained_weights", "read_arrays", "read_header", "save_weights", "section", "sides_of", "verify_weights",
    "with_new_head", "with_rates", "write_arrays",
]  # fmt: skip


__getattr__ = old_names(
    __name__,
    {
        "Channels": "minivit.weights.scaling.Channels",
        "FORMAT": "minivit.weights.sources.minivit.FORMAT",
        "Size": "minivit.weights.adapt.Size",
        "weights_file": "minivit.weights.find.weights_file",
    },
)
