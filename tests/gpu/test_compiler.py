"""NVIDIA's compiler takes the kernels, for three generations of GPUs, and keeps all that they compute in registers.

`make test-kernels` installs the compiler, a library of NVIDIA's (NVRTC) that needs no card.
"""

import ctypes
import importlib.util
import os
import re
from pathlib import Path

import pytest

import minivit.engine.fused
import minivit.training.optim  # noqa: F401  (their marks fill KERNELS)
from minivit.backend.gpu.kernels import KERNELS, LANES, SOURCE, TYPES

GENERATIONS = ["sm_75", "sm_80", "sm_90"]  # T4, which knows no bfloat16 itself; A100; H100
# Of a thread: with more than 64, fewer than 32 warps fit onto a multiprocessor at once.
MOST_REGISTERS = {"f": 56, "d": 64, "4Half": 56, "8Bfloat16": 56}


@pytest.fixture(scope="module")
def compiler():
    """NVRTC, from the package nvidia-cuda-nvrtc."""
    package = importlib.util.find_spec("nvidia")
    folders = [Path(folder) for folder in package.submodule_search_locations or ()] if package else []
    found = [path for folder in folders for path in sorted(folder.glob("*/lib/libnvrtc.so.*"))]
    if not found:
        if os.environ.get("MINIVIT_NVRTC_REQUIRED"):
            pytest.fail("no compiler for kernels was found, and this run must have one")
        pytest.skip("needs NVIDIA's compiler: make test-kernels installs it")
    return ctypes.CDLL(str(found[-1]))


def compiled(nvrtc, source, names, generation):
    """What the compiler says of kernels: whether it took them, and its log."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None) == 0
    for name in names:
        assert nvrtc.nvrtcAddNameExpression(program, name.encode()) == 0
    options = [f"--gpu-architecture={generation}", "-std=c++14", f"-DLANES={LANES}", "-Xptxas=-v"]
    texts = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    status = nvrtc.nvrtcCompileProgram(program, len(options), texts)
    assert nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size)) == 0
    log = ctypes.create_string_buffer(size.value)
    assert nvrtc.nvrtcGetProgramLog(program, log) == 0
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return status == 0, log.value.decode()


@pytest.mark.parametrize("generation", GENERATIONS)
def test_each_kernel_compiles_and_spills_nothing(compiler, generation, capsys):
    names = [f"{name}<{element}>" for name in KERNELS for element in TYPES.values()]
    taken, log = compiled(compiler, SOURCE.read_text(encoding="utf-8"), names, generation)
    assert taken, log

    kernels = re.findall(r"Compiling entry function '_Z\d+(\w+?)I(f|d|4Half|8Bfloat16)E", log)
    stacks = [int(number) for number in re.findall(r"(\d+) bytes stack frame", log)]
    spills = [int(number) for number in re.findall(r"(\d+) bytes spill", log)]
    registers = [int(number) for number in re.findall(r"Used (\d+) registers", log)]
    with capsys.disabled():
        for kind, name in zip(MOST_REGISTERS, ("float32", "float64", "float16", "bfloat16"), strict=True):
            counts = ", ".join(f"{k} {n}" for (k, stored), n in zip(kernels, registers, strict=True) if stored == kind)
            print(f"\n{generation}: registers of a thread in {name}: {counts}; {sum(spills)} bytes spilled")

    assert {name for name, _ in kernels} == set(KERNELS) and len(kernels) == len(names)
    assert len(stacks) == len(names) and set(stacks) == set(spills) == {0}
    if generation != "sm_75":
        for (name, kind), used in zip(kernels, registers, strict=True):
            assert used <= MOST_REGISTERS[kind], (name, kind)


def test_a_mistake_is_found(compiler):
    taken, log = compiled(compiler, "__global__ void f(int* x) { x[0] = y; }", [], "sm_90")

    assert not taken and 'identifier "y" is undefined' in log
