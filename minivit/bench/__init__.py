"""How fast minivit is: beside other libraries, beside what the processor could do, and as a model grows.

`contenders.py` has the same training step in each library, `process.py` runs each in a process of its own,
`compare.py` lets them take turns, `profile.py` says where our time goes.
"""

from .compare import Job, compare, comparison_table
from .hardware import hardware
from .profile import Floor, engine_overhead, measure_floor, profile_table, time_by_op

__all__ = [
    "Floor",
    "Job",
    "compare",
    "comparison_table",
    "engine_overhead",
    "hardware",
    "measure_floor",
    "profile_table",
    "time_by_op",
]
