"""CuPy's RawModule for the stand-in: CUDA's C++ compiled for the processor (see cuda_on_cpu.h)."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minivit.backend.gpu.kernels import KERNELS

HEADER = Path(__file__).with_name("cuda_on_cpu.h")


class RawModule:
    """Kernels from source.

    `lanes` is how many threads make a warp: 1, and one thread does all the work, or 32 as on a card.
    """

    lanes = 1

    def __init__(self, code: str, options: tuple[str, ...] = (), name_expressions: list[str] | None = None):
        if "-DLANES=32" not in options:
            raise ValueError("a warp has 32 threads")
        self.code, self.names = code, tuple(name_expressions or ())

    def get_function(self, name: str) -> Any:
        if name not in self.names:
            raise ValueError(f"{name} is not among the name_expressions")
        library = _compiled(self.code, self.names, self.lanes)
        return functools.partial(run, name.partition("<")[0], library, self.names.index(name), self.lanes)


def run(
    name: str, library: ctypes.CDLL, number: int, lanes: int, grid: tuple[int], block: tuple[int], args: tuple
) -> None:
    """Launch a kernel; blocks of 64 threads at most, and 3 of them, since loops stride over any number."""
    from tests.gpu.strict_cupy import host, launched, ndarray

    def value(x: Any) -> Any:
        if isinstance(x, ndarray):
            return ctypes.c_void_p(host(x).ctypes.data)
        if isinstance(x, np.uintp):
            return ctypes.c_void_p(int(x))
        if type(x) in (int, float):
            return ctypes.c_longlong(x) if type(x) is int else ctypes.c_double(x)
        raise TypeError(f"a kernel was given {type(x)}")

    kernel = KERNELS[name]
    arrays = dict(zip(kernel.arguments, args[2:], strict=True))
    launched(*(arrays[argument] for role in (kernel.reads, kernel.writes) for argument in role))
    if not 0 < grid[0] < 2**31 or not 0 < block[0] <= 1024:
        raise ValueError(f"CUDA_ERROR_INVALID_VALUE: {grid} blocks of {block} threads")
    values = [value(x) for x in args]
    library.kernel.restype = ctypes.c_void_p
    kernel = ctypes.CFUNCTYPE(None)(library.kernel(number))
    if lanes == 1:
        kernel(*values)
        return
    blocks, threads = min(grid[0], 3), min(block[0], 64)
    library.begin(blocks * threads)

    def thread(number: int) -> None:
        library.place(number % threads, number // threads, threads, blocks)
        kernel(*values)

    all_threads = [threading.Thread(target=thread, args=(i,)) for i in range(blocks * threads)]
    for one in all_threads:
        one.start()
    for one in all_threads:
        one.join()


@functools.cache
def _compiled(code: str, names: tuple[str, ...], lanes: int) -> ctypes.CDLL:
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("needs a C++ compiler, to run the kernels of a GPU on the processor")
    folder = Path(tempfile.mkdtemp(prefix="minivit-kernels-"))
    source, library = folder / "kernels.cpp", folder / "kernels.so"
    cases = "".join(f"        case {i}: return (void*)&{name};\n" for i, name in enumerate(names))
    source.write_text(
        f'#define LANES {lanes}\n#include "{HEADER.as_posix()}"\n{code}\n'
        f'extern "C" void* kernel(int number) {{\n    switch (number) {{\n{cases}    }}\n    return nullptr;\n}}\n',
        encoding="utf-8",
    )
    standard = "-std=c++20" if lanes > 1 else "-std=c++17"  # barriers are younger than the rest
    command = [compiler, standard, "-O2", "-shared", "-fPIC", "-pthread", "-o", str(library), str(source)]
    try:
        subprocess.run(command, check=True)
        return ctypes.CDLL(str(library))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
