"""Sources of weights: one program's way to name and lay out a model's arrays, one file for each."""

from ...utils.aliases import old_names

MOVED = ("SOURCES", "read_sidecar", "source_of", "source_with_layout")
__getattr__ = old_names(__name__, {name: f"minivit.weights.sources.registry.{name}" for name in MOVED})
