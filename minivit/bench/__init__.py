"""Measure minivit's speed and memory: beside other libraries, beside the processor's peak, and as a model grows.

`contenders.py` has the same training step in each library. `process.py` runs each library in a separate process, and
`compare.py` lets them take turns. `profile.py` measures the share of time of each op.
"""

from .compare import Job, compare, comparison_table
from .hardware import hardware, hardware_text
from .profile import Floor, engine_overhead, measure_floor, profile_table, time_by_op

__all__ = [
    "Floor",
    "Job",
    "compare",
    "comparison_table",
    "engine_overhead",
    "hardware",
    "hardware_text",
    "measure_floor",
    "profile_table",
    "time_by_op",
]
