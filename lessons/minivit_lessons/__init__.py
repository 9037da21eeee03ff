"""The package of the course: checks that name mistakes, pictures, and what earlier lessons built.

from minivit_lessons import built, check, explore, show, show_solution, start, summary
"""

from .checking import check, show_solution, summary
from .display import explore, show
from .earlier import built
from .libraries import agree, library
from .model import trained_model
from .session import start

__all__ = [
    "agree",
    "built",
    "check",
    "explore",
    "library",
    "show",
    "show_solution",
    "start",
    "summary",
    "trained_model",
]
