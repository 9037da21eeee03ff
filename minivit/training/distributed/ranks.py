"""Several processes that train one model, on one machine or many: `mpiexec -n 4 minivit train ...`.

Each process, a *rank*, holds the whole model. It computes the gradients of its own share of every batch, all ranks
add their gradients up, and so each takes the same step: data parallelism. What travels is the gradients alone, in a
few large arrays, while the backward pass still makes the others (`parallel.GradientSums`).
"""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

from ...backend.arrays import Array, available_cores, to_numpy, xp_of
from ...errors import ConfigError, MinivitError, MissingExtraError, RankError

Value = TypeVar("Value")

# How a launcher tells a process how many it started: that of MPICH, Intel MPI and MS-MPI, and that of Open MPI.
SIZE_VARIABLES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")


class Ranks:
    """A process among those that train together; `Ranks()` itself is alone.

    rank, size:  its number from 0, and how many there are.
    local_size:  how many of them run on this machine; `local_rank` counts those.
    """

    rank, size = 0, 1
    local_rank, local_size = 0, 1

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which alone prints and writes files."""
        return self.rank == 0

    @property
    def cores(self) -> int:
        """How many cores this rank may use: its share of the machine's."""
        return max(1, available_cores() // self.local_size)

    def device(self, name: str) -> str:
        """Where this rank computes: of "cuda", the machine's GPUs are given out one by one."""
        return f"cuda:{self.local_rank}" if name == "cuda" and self.local_size > 1 else name

    def share(self, count: int) -> slice:
        """The part of `count` items that is this rank's; the parts differ by one item at most, and may be empty."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def add_up(self, array: Array) -> None:
        """Replace an array by the sum of all ranks' arrays: the same bits on every rank."""

    def gather(self, value: Value) -> list[Value]:
        """The value of each rank, in their order, on every rank."""
        return [value]

    def from_first(self, value: Value) -> Value:
        """What rank 0 passed, on every rank."""
        return value

    def copy_from_first(self, array: Array) -> None:
        """Overwrite an array with rank 0's."""

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """Inside, rank 0 is done before the others begin: what is missing it downloads, and they find it."""
        if not self.first:
            self.from_first(None)
        yield
        if self.first:
            self.from_first(None)

    def check_same(self, what: str, values: dict[str, Any]) -> None:
        """Raise RankError, with the first difference, unless every rank has the same values as rank 0."""
        own = self.gather(values)
        for rank, other in enumerate(own):
            for name in own[0]:
                if own[0][name] != other.get(name):
                    raise RankError(
                        f"the ranks were started with different {what}: {name} is {own[0][name]!r} on rank 0 and "
                        f"{other.get(name)!r} on rank {rank}"
                    )


ALONE = Ranks()


class MPIRanks(Ranks):
    """Processes that mpiexec started, which speak MPI through mpi4py.

    Raises:
        MissingExtraError: if mpi4py, or an MPI that it can load, is not installed.
        RankError: if that MPI is not the one whose mpiexec started the processes.
    """

    def __init__(self, expected: int):
        self.mpi = _import_mpi()
        world = self.mpi.COMM_WORLD
        if world.size != expected:
            raise RankError(
                f"mpiexec started {expected} processes, but mpi4py finds {world.size}: it uses another MPI "
                f"({self.mpi.Get_library_version().splitlines()[0].strip()}) than the one that mpiexec belongs to"
            )
        self.rank, self.size = world.rank, world.size
        self.world = world
        self.gradients = world.Dup()  # a channel of its own: gradients travel on a thread of their own
        self.cards: Cards | None = None
        self.asked_for_cards = False
        neighbours = world.Split_type(self.mpi.COMM_TYPE_SHARED)
        self.local_rank, self.local_size = neighbours.rank, neighbours.size

    def add_up(self, array: Array) -> None:
        """As in `Ranks`; arrays of GPUs go from card to card, or by way of the machine's memory (see `Cards.join`)."""
        if xp_of(array) is not np and not self.asked_for_cards:
            self.cards, self.asked_for_cards = Cards.join(self.gradients, array), True
        if self.cards:
            self.cards.add_up(array)
            return
        with _on_host(array) as host:
            self.gradients.Allreduce(self.mpi.IN_PLACE, host)

    def gather(self, value: Value) -> list[Value]:
        """As in `Ranks`."""
        return self.world.allgather(value)

    def from_first(self, value: Value) -> Value:
        """As in `Ranks`."""
        return self.world.bcast(value)

    def copy_from_first(self, array: Array) -> None:
        """As in `Ranks`."""
        with _on_host(array) as host:
            self.world.Bcast(host)


class Cards:
    """The GPUs of all ranks, which add up arrays among themselves beside what they compute, by NCCL.

    Args:
        channel: all ranks, as an MPI communicator; each rank's GPU is the one that is current in this thread.
    """

    def __init__(self, channel: Any, cupy: ModuleType):
        self.cupy, self.nccl = cupy, importlib.import_module("cupy.cuda.nccl")
        key = channel.bcast(self.nccl.get_unique_id() if channel.rank == 0 else None)
        self.all = self.nccl.NcclCommunicator(channel.size, key, channel.rank)
        self.stream = cupy.cuda.Stream(non_blocking=True)

    @classmethod
    def join(cls, channel: Any, array: Array) -> Cards | None:
        """The ranks' GPUs; None, and rank 0 says why, if a rank has no NCCL or two of them share a GPU."""
        cupy = xp_of(array)
        has = channel.allgather(importlib.import_module("cupy.cuda.nccl").available)
        places = channel.allgather((socket.gethostname(), array.device.pci_bus_id))
        if all(has) and len(set(places)) == channel.size:
            return cls(channel, cupy)
        if channel.rank == 0:
            cuda = cupy.cuda.runtime.runtimeGetVersion() // 1000
            reason = "ranks share a GPU"
            if not all(has):
                reason = f"rank {has.index(False)} has no NCCL (pip install 'minivit[nccl{cuda}]')"
            print(f"minivit: gradients go by way of the machine's memory: {reason}", file=sys.stderr, flush=True)
        return None

    def add_up(self, array: Array) -> None:
        """Replace an array by the sum of all ranks'; it has arrived on return."""
        computed = self.cupy.cuda.Event(disable_timing=True)
        computed.record()  # all that the card was told so far, and so what the array holds
        self.stream.wait_event(computed)
        kind = getattr(self.nccl, f"NCCL_{array.dtype.name.upper()}")
        place = array.data.ptr
        self.all.allReduce(place, place, array.size, kind, self.nccl.NCCL_SUM, self.stream.ptr)
        self.stream.synchronize()


@contextmanager
def _on_host(array: Array) -> Iterator[np.ndarray]:
    """The array itself, or that of a GPU as NumPy's, to be changed inside; the change is copied back."""
    host = to_numpy(array)
    yield host
    if host is not array:
        array.set(host)


def _import_mpi() -> Any:
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py is there, but no MPI that it can load
        raise MissingExtraError(
            f"mpiexec started several processes, and they need mpi4py: pip install 'minivit[mpi]' ({error})"
        ) from error
    return MPI


def started_together() -> int:
    """How many processes the launcher of this one started; 1 without a launcher."""
    return max((int(os.environ[name]) for name in SIZE_VARIABLES if os.environ.get(name, "").isdecimal()), default=1)


@contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """The ranks that this process is one of, inside `with joined_ranks() as ranks:`.

    An error on one rank ends all of them: it says which rank it was and why, and the launcher stops the others. So
    does a rank that ends without a word, because it was killed or the memory ran out (`Watch`).
    """
    size = started_together()
    if size == 1:
        yield Ranks()
        return
    ranks = MPIRanks(size)
    with Watch(ranks) as watch:
        try:
            yield ranks
        except (Exception, KeyboardInterrupt) as error:
            if not ranks.first:
                time.sleep(1)  # if it is an error of all ranks, the first one says so for all
            reason = str(error) if isinstance(error, MinivitError) else f"{type(error).__name__}: {error}"
            print(f"minivit: error on rank {ranks.rank} of {size}: {reason}", file=sys.stderr, flush=True)
            watch.dismiss()
            ranks.world.Abort(2)


class Watch:
    """Someone who says that this rank is gone if it cannot say so itself.

    A process that is killed says nothing, and mpiexec, which then ends the other ranks at once, does not name it. So
    each rank starts a small process beside it that waits for the rank's end of a pipe to close: the system closes it,
    however the rank ends. The first to notice writes the line; a file that can be made but once decides who that is.
    """

    LINE = "minivit: rank {rank} of {size} (process {pid} on {host}) ended without a word: killed, or out of memory"

    def __init__(self, ranks: Ranks):
        noticed = ranks.from_first(str(Path(tempfile.gettempdir()) / f"minivit-{os.getpid()}-{time.time_ns()}"))
        line = self.LINE.format(rank=ranks.rank, size=ranks.size, pid=os.getpid(), host=socket.gethostname())
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _WATCHER, line, noticed],
            stdin=subprocess.PIPE,
            start_new_session=True,  # or mpiexec would end it together with the ranks
        )

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.dismiss()

    def dismiss(self) -> None:
        """The rank ends in an orderly way: no line is needed."""
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.write(b"done")
            self.process.stdin.close()
            self.process.wait()


_WATCHER = """
import os, sys
line, noticed = sys.argv[1:]
if not sys.stdin.buffer.read():
    try:
        os.close(os.open(noticed, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        pass
    else:
        print(line, file=sys.stderr, flush=True)
"""


def check_number(values: np.ndarray) -> int:
    """A number that differs where arrays differ."""
    return zlib.crc32(np.ascontiguousarray(values).tobytes())


def check_shareable(batch_size: int, ranks: Ranks) -> None:
    """Raise ConfigError unless the ranks can have equal parts of a batch."""
    if batch_size % ranks.size:
        raise ConfigError(
            f"{ranks.size} ranks cannot share a batch of {batch_size} images evenly: choose a --batch-size that "
            f"{ranks.size} divides"
        )
