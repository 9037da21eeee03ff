"""Small versions of the paper's experiments: each is one command and writes numbers, a figure and a conclusion."""

from .grid import Cell, Experiment, Record, Summary, run_experiment, summarise
from .paper import EXPERIMENTS

__all__ = ["EXPERIMENTS", "Cell", "Experiment", "Record", "Summary", "run_experiment", "summarise"]
