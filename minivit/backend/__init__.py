"""Where and how arrays compute: NumPy or CuPy, precision, threads, kernels, BLAS, memory.

`arrays.py` has what NumPy and CuPy spell differently, `precision.py` the casts around ops, `products.py` matrix
products and sums, `indexing.py` indices; `gpu/` holds what only a GPU needs, with the kernels in CUDA; `threads.py`,
`workers.py`, `cores.py` and `memory.py` are for processors.
"""
