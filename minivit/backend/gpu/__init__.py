"""What only a GPU needs; everything else runs the same lines as on a processor.

`cuda.py` finds GPUs and copies arrays to them, `cublas.py` multiplies matrices there, `kernels.py` runs one kernel of
`kernels.cu` in place of a NumPy function of the same name, beside which it is declared.
"""
