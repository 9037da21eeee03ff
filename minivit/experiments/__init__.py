"""The paper's experiments in small: each is one command, and writes numbers, a picture and one honest sentence."""

from .grid import Cell, Experiment, Record, Summary, run_experiment, summarise
from .paper import EXPERIMENTS

__all__ = ["EXPERIMENTS", "Cell", "Experiment", "Record", "Summary", "run_experiment", "summarise"]
