"""The package of the course: checks that name mistakes, pictures, and what earlier lessons built.

from minivit_lessons import built, check, explore, show, start, summary
"""

from .checking import check, summary
from .display import explore, show
from .earlier import built
from .model import trained_model
from .session import start

__all__ = ["built", "check", "explore", "show", "start", "summary", "trained_model"]
