"""Report what minivit does on a GPU: its numbers beside NumPy's, its speed beside PyTorch's.

`make gpu-report` runs `python -m minivit.bench.gpu`. `__main__.py` goes through the parts, `limited.py` runs each in a
process with a time limit, `parts.py` lists them, `findings.py` keeps what they measure, and `report.py` writes the
tables.
"""
