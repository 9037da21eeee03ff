"""Where and how arrays compute: NumPy or CuPy, threads, kernels, BLAS, memory."""
