"""A strict stand-in for CuPy, so that code for a GPU is tried where there is none.

It computes with NumPy and is stricter than CuPy itself: its arrays mix with nothing but plain numbers, turn into
nothing by themselves, and have what CuPy 14.2 has and no more (`cupy_names.json` was read from the library itself,
which can be imported without a driver). Every crossing between the machine's memory and the card's is counted, and
every launch: a call that computes or copies, and is not a mere view, counts as one. So are the bytes that a launch
reads and writes in the card's memory, each array once.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import scipy.special

from minivit.backend.gpu.cublas import multiply_in_tf32
from minivit.backend.indexing import picks_by_array
from tests.gpu.compiled import RawModule

FACTS = json.loads((Path(__file__).parent / "cupy_names.json").read_text(encoding="utf-8"))
UFUNC_OPTIONS = {"out", "casting", "dtype"}
CARDS = 2  # how many the stand-in pretends to have


# What gives a view of an array, or room for one, without a launch.
VIEWS = {
    "broadcast_to", "empty", "empty_like", "expand_dims", "moveaxis", "ravel", "reshape", "shares_memory", "split",
    "squeeze", "swapaxes", "transpose", "view", "may_share_memory",
}  # fmt: skip


class Crossings:
    """How often data went to the card and came back, and how often the card was told to do something.

    back: how often this machine waited for the card: whatever is read from it waits for all that it was told before.
    moved: bytes that launches read and wrote: each of their arrays once, as if a cache held it until the launch ends.
    last_use: by address, how many launches there were when one last used an array, or its memory was handed out; of
              arrays that come from `empty`, into which alone a stream of its own may copy.
    """

    there = 0
    back = 0
    launches = 0
    moved = 0
    last_use: ClassVar[dict[int, int]] = {}


def address_of(array: np.ndarray) -> int:
    """Where the memory begins that an array, or what it is a view of, owns."""
    base = array.base if isinstance(array.base, np.ndarray) else getattr(array.base, "base", None)  # of as_strided
    return address_of(base) if isinstance(base, np.ndarray) else array.ctypes.data


def launched(*arrays: Any, count: int = 1) -> None:
    """Count a launch that reads or writes these arrays; an array that it reads and writes is given twice."""
    Crossings.launches += count
    if count:
        Crossings.moved += sum(map(_bytes_of, arrays))


def _bytes_of(value: Any) -> int:
    """How many bytes of memory an argument names: numbers that broadcasting repeats are there once."""
    if isinstance(value, list | tuple):
        return sum(map(_bytes_of, value))
    array = value._host if isinstance(value, ndarray) else value
    if not isinstance(array, np.ndarray):
        return 0
    own = (length for length, stride in zip(array.shape, array.strides, strict=True) if stride or not length)
    return array.itemsize * math.prod(own)


def host(value: Any) -> Any:
    """The NumPy values behind an argument; anything that CuPy would not take is a TypeError."""
    if isinstance(value, ndarray):
        value._check_card()
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, list | tuple):
        return type(value)(host(item) for item in value)
    return value


def card(value: Any) -> Any:
    """A NumPy result as one of the card's: even a single number is an array."""
    if isinstance(value, list | tuple):
        return type(value)(card(item) for item in value)
    return ndarray._of(np.asarray(value)) if isinstance(value, np.ndarray | np.generic) else value


def index_of(index: Any) -> Any:
    """An index: integers, slices, None, Ellipsis, the card's own arrays, and lists."""
    return host(index)


class ndarray:
    """An array on the card."""

    __module__ = "cupy"
    __hash__ = None  # type: ignore[assignment]
    __array_ufunc__ = None  # NumPy's own functions refuse it
    __array_priority__ = 100

    _host: np.ndarray
    _card: int

    def __init__(self, *args: Any, **options: Any):
        raise TypeError("make arrays with cupy.asarray, cupy.empty, cupy.zeros ...")

    @classmethod
    def _of(cls, values: np.ndarray) -> ndarray:
        self = object.__new__(cls)
        self._host, self._card = values, Device.current()
        return self

    def _check_card(self) -> None:
        """Which card computes is a setting of each thread, and an array must lie on that one."""
        if self._card != Device.current():
            raise ValueError(
                f"Array device must be same as the current device: array device = {self._card} while current = "
                f"{Device.current()}"
            )
        if (address := address_of(self._host)) in Crossings.last_use:
            Crossings.last_use[address] = Crossings.launches

    def __array__(self, *args: Any, **options: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    def __array_function__(self, function: Any, *args: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} was called with an array of the card")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in FACTS["ndarray"]:
            raise AttributeError(f"CuPy's arrays have no {name!r}")
        if name not in FACTS["methods"]:
            raise NotImplementedError(f"the stand-in has no ndarray.{name} yet")
        allowed = {option.lstrip("*") for option in FACTS["methods"][name]}

        def method(*args: Any, **options: Any) -> Any:
            unknown = set(options) - allowed
            if unknown:
                raise TypeError(f"CuPy's ndarray.{name} knows no {', '.join(sorted(unknown))}")
            out = options.pop("out", None)
            if out is not None:
                options["out"] = host(out)
            same = name == "astype" and options.get("copy") is False and self.dtype == np.dtype(args[0])
            self._check_card()
            result = getattr(self._host, name)(*host(args), **host_options(options))
            copied = name == "reshape" and not np.shares_memory(result, self._host)
            if copied or not (name in VIEWS or same):
                launched(self, args, result)
            return out if out is not None else card(result)

        return method

    # -- what it is --------------------------------------------------------------------------------

    shape = property(lambda self: self._host.shape)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    dtype = property(lambda self: self._host.dtype)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: self._host.flags)
    T = property(lambda self: card(self._host.T))
    base = property(lambda self: None if self._host.base is None else card(self._host.base))
    device = property(lambda self: Device(self._card))

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return dict(self._host.__array_interface__)

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator[ndarray]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return repr(self._host)

    def __str__(self) -> str:
        return str(self._host)

    # -- leaving the card, on purpose --------------------------------------------------------------

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> np.ndarray:
        Crossings.back += 1
        if out is not None:
            out[...] = self._host
            return out
        return self._host.copy()

    def item(self) -> Any:
        Crossings.back += 1
        return self._host.item()

    def tolist(self) -> Any:
        Crossings.back += 1
        return self._host.tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        Crossings.back += 1
        return bool(self._host)

    def set(self, values: np.ndarray, stream: Any = None) -> None:
        if not isinstance(values, np.ndarray):
            raise TypeError("ndarray.set needs a NumPy array")
        if values.shape != self.shape or values.dtype != self.dtype:
            raise ValueError(f"Shape mismatch or other types: {values.shape} to {self.shape}")
        Crossings.there += 1
        if stream is None or stream is Stream.null:
            self._host[...] = values
            return
        if not isinstance(values, Pinned):
            raise AssertionError("memory that is not pinned is not copied beside computation")
        if self._card != Device.current() or Crossings.last_use[address_of(self._host)] > stream.seen:
            raise AssertionError("a race: the card may still use what this copy overwrites")
        Pinned.leaving[address_of(values)] = stream, stream.tell(lambda: np.copyto(self._host, values))

    @property
    def data(self) -> Any:
        return SimpleNamespace(ptr=self._host.ctypes.data)

    def __copy__(self) -> ndarray:
        return card(self._host.copy())

    def __deepcopy__(self, memo: Any) -> ndarray:
        return card(self._host.copy())

    # -- elements ----------------------------------------------------------------------------------

    def __getitem__(self, index: Any) -> ndarray:
        found = np.asarray(self._host[index_of(index)])
        parts = index if isinstance(index, tuple) else (index,)
        Crossings.back += any(isinstance(part, ndarray) and part.dtype.kind == "b" for part in parts)  # it is counted
        if picks_by_array(index):
            launched(index, found, found)
        return card(found)

    def __setitem__(self, index: Any, value: Any) -> None:
        there = np.asarray(self._host[index_of(index)])
        launched(index, value, there, count=int(there.size > 0))
        self._check_card()
        self._host[index_of(index)] = host(value)

    def fill(self, value: Any) -> None:
        launched(self)
        self._check_card()
        self._host.fill(host(value))


def host_options(options: dict[str, Any]) -> dict[str, Any]:
    return {name: host(value) for name, value in options.items()}


def _operator(name: str) -> Any:
    in_place = name.startswith("__i") and name not in ("__invert__",)

    def method(self: ndarray, *others: Any) -> Any:
        for other in others:
            if not isinstance(other, ndarray | int | float | bool | np.generic):
                raise TypeError(f"Unsupported type {type(other)}")
        self._check_card()
        if name == "__matmul__":
            return _call(np.matmul, (self, *others), {})
        result = getattr(self._host, name)(*host(others))
        if result is NotImplemented:
            return result
        launched(self, others, result)
        return self if in_place else card(result)

    method.__name__ = name
    return method


_PLAIN = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor")
_NAMES = [f"__{kind}{name}__" for name in _PLAIN for kind in ("", "r", "i")]
_NAMES += ["__neg__", "__pos__", "__abs__", "__invert__", "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"]
for _name in _NAMES:
    if _name in FACTS["ndarray"]:
        setattr(ndarray, _name, _operator(_name))
del ndarray.__array_function__  # with __array_ufunc__ = None and __array__ refusing, NumPy cannot take it in either way


# What has a result, or a check, that depends on numbers of the card, which CuPy therefore reads.
WAITS = {"argwhere", "bincount", "flatnonzero", "nonzero", "unique"}


# -- functions ------------------------------------------------------------------------------------------


class ufunc:
    """A function of the card, element by element."""

    def __init__(self, name: str):
        self.name, self._numpy = name, getattr(np, name)
        self.nin, self.nout = self._numpy.nin, self._numpy.nout

    def __call__(self, *args: Any, **options: Any) -> Any:
        unknown = set(options) - UFUNC_OPTIONS
        if unknown:
            raise TypeError(f"cupy.{self.name} knows no {', '.join(sorted(unknown))}")
        if not any(isinstance(x, ndarray) for x in args):
            raise TypeError(f"cupy.{self.name} was called without an array of the card")
        return _call(self._numpy, args, options)

    def at(self, a: ndarray, indices: Any, b: Any = None) -> None:
        if a.dtype.name not in ("float16", "float32", "float64", "int32", "uint32", "uint64"):
            raise TypeError(f"cupy.{self.name}.at does not support {a.dtype}")
        launched(a, a, indices, b)
        # Atomic additions: in the order in which threads come.
        places = np.arange(a.size).reshape(a.shape)[index_of(indices)]
        order = np.random.default_rng(Crossings.launches).permutation(places.size)
        flat, values = a._host.reshape(-1), np.broadcast_to(host(b), places.shape)
        assert np.shares_memory(flat, a._host)
        self._numpy.at(flat, places.reshape(-1)[order], values.reshape(-1)[order])

    def reduce(self, a: ndarray, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        return _call(self._numpy.reduce, (a,), {"axis": axis, "dtype": dtype, "out": out, "keepdims": keepdims})


def _call(function: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    out = options.get("out")
    if out is not None and not isinstance(out, ndarray):
        raise TypeError("`out` must be an array of the card")
    name = getattr(function, "__name__", "")
    launches = _launches_of(name, args, out)
    function = product if function is np.matmul else function
    result = function(*host(args), **host_options(options))
    launched(args, result, count=launches)
    if name == "vdot":  # the products are written and read
        Crossings.moved += 2 * _bytes_of(args[0])
    Crossings.back += name in WAITS or (name == "where" and len(args) == 1)
    if function is np.empty:
        Crossings.last_use[address_of(result)] = Crossings.launches
        if result.dtype.kind not in "biu":
            result.fill(np.nan)  # a card's memory is as the one before left it: nobody may count on zeros
    return out if out is not None else card(result)


def product(x: np.ndarray, y: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """cuBLAS's product: half precision is added up in float32, and CuPy mixes bfloat16 with no other type."""
    if x.dtype != y.dtype and "bfloat16" in (x.dtype.name, y.dtype.name):
        raise TypeError(f"Unsupported types of a product: {x.dtype} and {y.dtype}")
    if not x.dtype.itemsize == y.dtype.itemsize == 2:
        return np.matmul(x, y, out=out)
    result = np.matmul(x.astype(np.float32), y.astype(np.float32)).astype(x.dtype)
    if out is None:
        return result
    if out.dtype != x.dtype:
        raise ValueError("CuPy would write past the end of an array of another type")
    out[...] = result
    return out


def _launches_of(name: str, args: tuple[Any, ...], out: Any) -> int:
    """How many a call takes.

    CuPy joins many small arrays of one type at once, after it sent their addresses, and their sizes and strides if
    these differ; others it copies one by one (`_concatenate` in cupy/_core/_routines_manipulation.pyx).
    """
    if name in ("concatenate", "stack"):
        arrays = args[0]
        small = sum(array.nbytes for array in arrays) < len(arrays) * 2 * 2**20
        types = {array.dtype for array in arrays} | ({out.dtype} if out is not None else set())
        alike = len({array.shape for array in arrays}) == 1 and all(array.flags.c_contiguous for array in arrays)
        return (2 if alike else 4) if len(arrays) > 8 and small and len(types) == 1 else len(arrays)
    if name == "ascontiguousarray":
        return not args[0].flags.c_contiguous
    if name == "matmul" and max(array.ndim for array in args) > 2:
        return _launches_of_stacks(*args, out)
    if name == "vdot":  # products, their sum, and its copy (`tensordot_core` in cupy/_core/_routines_linalg.pyx)
        return 3
    return name not in VIEWS


def _launches_of_stacks(x: ndarray, y: ndarray, out: Any) -> int:
    """How many a product of stacks takes (`matmul` in cupy/_core/_routines_linalg.pyx).

    Each factor is copied unless it is stored in rows, and in float32 or float64. Where one is broadcast, the addresses
    of all matrices are computed, of factors and products, an axis at a time. A product of half precision is rounded,
    and one that goes into an array not stored in rows is copied.
    """
    wide = np.promote_types(np.promote_types(x.dtype, y.dtype), np.float32)
    copies = sum(not array.flags.c_contiguous or array.dtype != wide for array in (x, y))
    copies += max(x.dtype.itemsize, y.dtype.itemsize) == 2
    copies += out is not None and not out.flags.c_contiguous
    axes = max(x.ndim, y.ndim) - 2
    leading = [(1,) * (2 + axes - array.ndim) + array.shape[:-2] for array in (x, y)]
    return 1 + copies + (3 * axes if leading[0] != leading[1] else 0)


def _function(name: str) -> Any:
    allowed = FACTS["functions"].get(name)

    def function(*args: Any, **options: Any) -> Any:
        if allowed is not None and not any(option.startswith("**") for option in allowed):
            unknown = set(options) - set(allowed)
            if unknown:
                raise TypeError(f"cupy.{name} knows no {', '.join(sorted(unknown))}")
        return _call(getattr(np, name), args, options)

    function.__name__ = name
    return function


def asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, blocking: bool = False) -> ndarray:
    """The one way onto the card."""
    if isinstance(a, ndarray):
        return card(np.asarray(a._host, dtype=dtype))
    Crossings.there += 1
    return ndarray._of(np.array(a, dtype=dtype))


def as_strided(x: ndarray, shape: Any = None, strides: Any = None) -> ndarray:
    return card(np.lib.stride_tricks.as_strided(host(x), shape, strides))


def sliding_window_view(x: ndarray, window_shape: Any, axis: Any = None) -> ndarray:
    """A view; but CuPy sends the window's shape to the card, and there asks of each length whether it is negative."""
    lengths = asarray(np.atleast_1d(window_shape))
    if any(length < 0 for length in lengths):
        raise ValueError("`window_shape` cannot contain negative values")
    return card(np.lib.stride_tricks.sliding_window_view(host(x), window_shape, axis))


class CUDARuntimeError(RuntimeError):
    """What CuPy raises for the driver's complaints."""


class OutOfMemoryError(MemoryError):
    """What CuPy raises when the card is full."""


class Device:
    """One of the cards. Which one is current is a setting of each thread, at first card 0."""

    _of_thread = threading.local()

    def __init__(self, index: int | None = None):
        self.id = Device.current() if index is None else index
        self._before = 0

    @classmethod
    def current(cls) -> int:
        return getattr(cls._of_thread, "index", 0)

    def __enter__(self) -> Device:
        self._before = Device.current()
        self.use()
        return self

    def __exit__(self, *error: Any) -> None:
        Device._of_thread.index = self._before

    def use(self) -> None:
        if not 0 <= self.id < CARDS:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        Device._of_thread.index = self.id

    def synchronize(self) -> None:
        Crossings.back += 1

    @property
    def compute_capability(self) -> str:
        return "90"

    @property
    def pci_bus_id(self) -> str:
        return f"0000:0{self.id}:00.0"

    @property
    def mem_info(self) -> tuple[int, int]:
        return 70 * 10**9, 80 * 10**9


class Event:
    """A point in what a stream was told."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False):
        self.stream, self.done, self.launches = None, 0, 0

    def record(self, stream: Stream | None = None) -> None:
        self.stream = stream or Stream.null
        with STREAM_LOCK:
            self.done, self.launches = self.stream.told, Crossings.launches

    def synchronize(self) -> None:
        if self.stream:
            self.stream.run_until(self.done)
            for address, (stream, done) in list(Pinned.leaving.items()):
                if stream is self.stream and done <= self.done:
                    del Pinned.leaving[address]


class Stream:
    """What a card is told, in order. The null stream does it at once; any other at the last moment that is allowed.

    seen: as of how many launches of the null stream this stream waits for.
    """

    null: ClassVar[Stream]

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False):
        self.later: list[Any] = []
        self.told = self.done = self.seen = 0
        self.ptr = id(self)
        STREAMS[self.ptr] = self

    def tell(self, action: Any) -> int:
        with STREAM_LOCK:
            self.later.append(action)
            self.told += 1
            return self.told

    def run_until(self, done: int) -> None:
        with STREAM_LOCK:
            while self.done < done:
                self.later.pop(0)()
                self.done += 1

    def synchronize(self) -> None:
        self.run_until(self.told)

    def wait_event(self, event: Event) -> None:
        if self is Stream.null and event.stream:
            event.stream.run_until(event.done)
        elif event.stream is Stream.null:
            self.seen = max(self.seen, event.launches)


class Pinned(np.ndarray):
    """Memory that a card may copy from by itself, so that who writes into it has to wait until it did."""

    leaving: ClassVar[dict[int, tuple[Stream, int]]] = {}

    def __setitem__(self, index: Any, value: Any) -> None:
        if address_of(self) in Pinned.leaving:
            raise AssertionError("a race: this memory has not been copied yet")
        super().__setitem__(index, value)


STREAMS: dict[int, Stream] = {}
STREAM_LOCK = threading.RLock()
Stream.null = Stream(null=True)


def empty_pinned(shape: Any, dtype: Any = float, order: str = "C") -> np.ndarray:
    array = np.full(shape, 99, dtype, order)
    Pinned.leaving.pop(array.ctypes.data, None)  # what lay there before is gone
    return array.view(Pinned)


# What cuBLAS multiplies: the types of factors and product, and how it may compute (cudaDataType, cublasComputeType_t).
# NVIDIA's table of cublasGemmStridedBatchedEx has more.
CUDA_TYPES = {0: "float32", 1: "float64", 2: "float16", 14: "bfloat16"}
PRODUCTS = {(0, 0): (68, 77), (1, 1): (70,), (2, 2): (68,), (14, 14): (68,), (2, 0): (68,), (14, 0): (68,)}


def memory_at(place: int, dtype: np.dtype, size: int) -> np.ndarray:
    """The elements that begin at an address, as an array."""
    words = np.ctypeslib.as_array(
        ctypes.cast(place, ctypes.POINTER(np.ctypeslib.as_ctypes_type(f"u{dtype.itemsize}"))), (size,)
    )
    return words.view(dtype)


def gemm_strided_batched(
    handle: int, transa: int, transb: int, m: int, n: int, k: int, alpha: int, A: int, Atype: int, lda: int,
    strideA: int, B: int, Btype: int, ldb: int, strideB: int, beta: int, C: int, Ctype: int, ldc: int, strideC: int,
    batchCount: int, computeType: int, algo: int,
) -> None:  # fmt: skip
    """cuBLAS: C = op(A) op(B) for each matrix, all stored by columns, at distances of so many elements.

    Half precision is added up in float32 and rounded once, if the product is in half precision too.
    """
    if Atype != Btype or computeType not in PRODUCTS.get((Atype, Ctype), ()) or algo != -1:
        raise RuntimeError(f"CUBLAS_STATUS_NOT_SUPPORTED: {Atype} @ {Btype} -> {Ctype}, computed as {computeType}")
    factor, product = (half_or_wide(CUDA_TYPES[kind]) for kind in (Atype, Ctype))
    for rows, ld in ((k if transa else m, lda), (n if transb else k, ldb), (m, ldc)):
        if ld < rows:
            raise RuntimeError("CUBLAS_STATUS_INVALID_VALUE: a leading dimension below the number of rows")
    if min(strideA, strideB, strideC) < 0:
        raise RuntimeError("CUBLAS_STATUS_INVALID_VALUE: matrices that lie before the first")
    computed = np.dtype(np.float64 if computeType == 70 else np.float32)
    assert (memory_at(alpha, computed, 1)[0], memory_at(beta, computed, 1)[0]) == (1, 0)

    def stack(place: int, rows: int, columns: int, ld: int, distance: int, dtype: np.dtype) -> np.ndarray:
        flat = memory_at(place, dtype, distance * (batchCount - 1) + ld * (columns - 1) + rows)
        steps = [step * flat.itemsize for step in (distance, 1, ld)]
        return np.lib.stride_tricks.as_strided(flat, (batchCount, rows, columns), steps)

    a = stack(A, *((k, m) if transa else (m, k)), lda, strideA, factor)
    b = stack(B, *((n, k) if transb else (k, n)), ldb, strideB, factor)
    c = stack(C, m, n, ldc, strideC, product)
    launched(a, b, c)
    a, b = (x.swapaxes(1, 2) if turned else x for x, turned in ((a, transa), (b, transb)))
    a, b = a.astype(computed, copy=False), b.astype(computed, copy=False)
    if computeType == 77:
        a, b = rounded_to_tf32(a), rounded_to_tf32(b)
    with np.errstate(over="ignore", under="ignore"):
        c[...] = a @ b


def half_or_wide(name: str) -> np.dtype:
    """The element type of a name; NumPy does not know bfloat16 by itself."""
    if name != "bfloat16":
        return np.dtype(name)
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16)


def rounded_to_tf32(x: np.ndarray) -> np.ndarray:
    bits = np.ascontiguousarray(x).view(np.uint32)
    return ((bits + 0x1000) & np.uint32(0xFFFFE000)).view(np.float32)


class NcclCommunicator:
    """Cards of several processes, which the stand-in joins by MPI."""

    calls = 0

    def __init__(self, ndev: int, commId: bytes, rank: int):
        from mpi4py import MPI

        self.mpi, self.world = MPI, MPI.COMM_WORLD.Dup()
        if (self.world.size, self.world.rank) != (ndev, rank) or len(set(self.world.allgather(commId))) != 1:
            raise RuntimeError("NCCL_ERROR_INVALID_ARGUMENT: ranks with other keys or numbers")
        self.card = Device.current()
        if len(set(self.world.allgather(self.card))) != ndev:
            raise RuntimeError("NCCL_ERROR_INVALID_USAGE: Duplicate GPU detected")

    def allReduce(self, sendbuf: int, recvbuf: int, count: int, datatype: int, op: int, stream: int) -> None:
        NcclCommunicator.calls += 1
        ours = STREAMS[stream]
        if self.card != Device.current() or Crossings.last_use.get(sendbuf, 0) > ours.seen:
            raise AssertionError("a race: the card may still compute what is to be added up")
        if op != 0 or sendbuf != recvbuf:
            raise NotImplementedError("sums in place alone")
        kind = {7: ctypes.c_float, 8: ctypes.c_double}[datatype]
        array = np.ctypeslib.as_array(ctypes.cast(sendbuf, ctypes.POINTER(kind)), (count,))
        ours.tell(lambda: self.world.Allreduce(self.mpi.IN_PLACE, array))


class Pool:
    """The card's memory, which is never full here."""

    def used_bytes(self) -> int:
        return 0

    def total_bytes(self) -> int:
        return 0

    def free_all_blocks(self) -> None:
        pass


class CuPy(ModuleType):
    """The module: names that CuPy lacks are missing here too."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in FACTS["names"]:
            raise AttributeError(f"module 'cupy' has no attribute {name!r}")
        if name in FACTS["ufuncs"]:
            found: Any = ufunc(name)
        elif callable(getattr(np, name, None)) and not isinstance(getattr(np, name), type):
            found = _function(name)
        elif hasattr(np, name):
            found = getattr(np, name)  # types and constants
        else:
            raise NotImplementedError(f"the stand-in has no cupy.{name} yet")
        setattr(self, name, found)
        return found


def _modules() -> dict[str, ModuleType]:
    cupy = CuPy("cupy")
    cupy.__version__ = FACTS["version"]
    cupy.__path__ = []  # type: ignore[attr-defined]
    cupy.ndarray, cupy.ufunc, cupy.asarray, cupy.array = ndarray, ufunc, asarray, asarray
    cupy.RawModule = RawModule
    cupy.asnumpy = lambda a: a.get() if isinstance(a, ndarray) else np.asarray(a)
    pool = Pool()
    cupy.get_default_memory_pool = lambda: pool
    cupy.get_default_pinned_memory_pool = lambda: pool
    cupy.fuse = lambda *args, **options: args[0] if args else (lambda function: function)

    lib, tricks = ModuleType("cupy.lib"), ModuleType("cupy.lib.stride_tricks")
    tricks.sliding_window_view, tricks.as_strided = sliding_window_view, as_strided
    lib.stride_tricks = tricks
    cupy.lib = lib

    cuda, runtime = ModuleType("cupy.cuda"), ModuleType("cupy.cuda.runtime")
    runtime.getDeviceCount = lambda: CARDS
    runtime.CUDARuntimeError = CUDARuntimeError
    runtime.getDeviceProperties = lambda index: {"name": f"Stand-in {index}".encode()}
    runtime.driverGetVersion = runtime.runtimeGetVersion = lambda: 13000
    cuda.runtime, cuda.Device = runtime, Device
    cuda.Event, cuda.Stream, cuda.get_current_stream = Event, Stream, lambda: Stream.null
    memory = ModuleType("cupy.cuda.memory")
    memory.OutOfMemoryError = OutOfMemoryError
    cuda.memory = memory
    cuda.is_available = lambda: True
    nccl = ModuleType("cupy.cuda.nccl")  # no attribute of cupy.cuda until someone imports it
    nccl.available, nccl.NCCL_SUM, nccl.NCCL_FLOAT32, nccl.NCCL_FLOAT64 = True, 0, 7, 8
    nccl.get_unique_id, nccl.NcclCommunicator = lambda: os.urandom(128), NcclCommunicator
    cupy.cuda = cuda

    core, linalg = ModuleType("cupy._core"), ModuleType("cupy._core._routines_linalg")
    linalg.COMPUTE_TYPE_DEFAULT, linalg.COMPUTE_TYPE_TF32 = 0, 3
    linalg.compute_types = {}
    linalg.set_compute_type = lambda dtype, kind: linalg.compute_types.update({np.dtype(dtype): kind})
    core._routines_linalg = linalg

    cuda.cublas = SimpleNamespace(gemmStridedBatchedEx=gemm_strided_batched)
    cuda.get_cublas_handle = Device.current

    cupyx, scipy_, special = ModuleType("cupyx"), ModuleType("cupyx.scipy"), ModuleType("cupyx.scipy.special")
    cupyx.__path__ = scipy_.__path__ = []  # type: ignore[attr-defined]
    special.erf = lambda x: _call(scipy.special.erf, (x,), {})
    cupyx.scipy, scipy_.special = scipy_, special
    cupyx.empty_pinned = empty_pinned
    return {
        "cupy": cupy, "cupy.cuda": cuda, "cupy.cuda.nccl": nccl, "cupy.cuda.runtime": runtime,
        "cupy.cuda.memory": memory,
        "cupy._core": core, "cupy._core._routines_linalg": linalg,
        "cupyx": cupyx, "cupyx.scipy": scipy_, "cupyx.scipy.special": special,
    }  # fmt: skip


@contextlib.contextmanager
def installed() -> Iterator[ModuleType]:
    """Inside, `import cupy` gives the stand-in."""
    modules = _modules()
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    Crossings.there = Crossings.back = Crossings.launches = Crossings.moved = 0
    Crossings.last_use, Pinned.leaving = {}, {}
    Device(0).use()
    try:
        yield modules["cupy"]
    finally:
        multiply_in_tf32(matrices=False, stacks=False)  # the library notes it for the process, not for a CuPy
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module
