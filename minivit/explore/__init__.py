"""A page in which a Vision Transformer runs: `minivit explore` writes it, a browser computes everything in it."""

from .model import PageModel, check_can_be_shown, page_model
from .page import Sample, explore_page, write_explorer
from .training import Moment, Training, training_of

__all__ = [
    "Moment", "PageModel", "Sample", "Training", "check_can_be_shown", "explore_page", "page_model", "training_of",
    "write_explorer",
]  # fmt: skip
