"""A page in which a Vision Transformer runs: `minivit explore` writes it, a browser computes everything in it."""

from .model import PageModel, check_can_be_shown, page_model
from .page import Sample, explore_page, write_explorer

__all__ = ["PageModel", "Sample", "check_can_be_shown", "explore_page", "page_model", "write_explorer"]
