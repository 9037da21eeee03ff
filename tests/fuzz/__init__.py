"""Damaged files and absurd options: every reader and every command must refuse them in one sentence.

`python -m tests.fuzz --cases 20000` draws cases, each from the name of a target and a number, so that any of them can
be repeated: `python -m tests.fuzz --only TARGET --case NUMBER`. `tests/test_fuzz.py` runs a fixed few hundred.
"""
