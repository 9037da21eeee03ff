"""Several processes that train one model, on one machine or many: `mpiexec -n 4 minivit train ...`.

Each process, a *rank*, holds the whole model. It computes the gradients of its shard of every batch, all ranks add
their gradients up, and so each takes the same step: data parallelism. Only gradients are sent, in a few large arrays,
while the backward pass still computes the others (`parallel.GradientSums`).
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
from ...utils.aliases import old_names

Value = TypeVar("Value")

# How a launcher tells a process how many it started: MPICH, Intel MPI and MS-MPI use the first, Open MPI the second.
SIZE_VARIABLES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")
PASSED_ON = 0.5  # seconds in which the launcher passes a line on: when it ends the ranks, it drops what it has not read


class Ranks:
    """A process among those that train together; `Ranks()` trains alone.

    Attributes:
        rank: its number, from 0.
        size: how many there are.
        local_rank: its number among those on this machine, from 0.
        local_size: how many run on this machine.
    """

    rank, size = 0, 1
    local_rank, local_size = 0, 1

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which alone prints and writes files."""
        return self.rank == 0

    @property
    def cores(self) -> int:
        """How many cores this rank may use: the machine's, divided by the ranks on it."""
        return max(1, available_cores() // self.local_size)

    def device(self, name: str) -> str:
        """Return where this rank computes; "cuda" gives each rank of a machine another GPU."""
        return f"cuda:{self.local_rank}" if name == "cuda" and self.local_size > 1 else name

    def shard(self, count: int) -> slice:
        """Return which of `count` items are this rank's; shards differ by one item at most, and may be empty."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def add_up(self, array: Array) -> None:
        """Replace an array by the sum of all ranks' arrays: the same bits on every rank."""

    def gather(self, value: Value) -> list[Value]:
        """Return the value of each rank, in their order, on every rank."""
        return [value]

    def from_first(self, value: Value) -> Value:
        """Return on every rank the value that rank 0 passed."""
        return value

    def copy_from_first(self, array: Array) -> None:
        """Overwrite an array with rank 0's."""

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """Let rank 0 finish the block before the others begin it: it downloads what is missing, and they find it."""
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
    """Processes that mpiexec started and that speak MPI through mpi4py.

    Args:
        expected: how many mpiexec says it started.

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
        self.gradients = world.Dup()  # a separate channel, since a separate thread sends gradients
        self.gpus: JoinedGPUs | None = None
        self.asked_for_gpus = False
        neighbours = world.Split_type(self.mpi.COMM_TYPE_SHARED)
        self.local_rank, self.local_size = neighbours.rank, neighbours.size

    def add_up(self, array: Array) -> None:
        """Do as `Ranks` says: arrays of GPUs are sent from GPU to GPU, or through the machine's memory."""
        if xp_of(array) is not np and not self.asked_for_gpus:
            self.gpus, self.asked_for_gpus = JoinedGPUs.join(self.gradients, array), True
        if self.gpus:
            self.gpus.add_up(array)
            return
        with _on_host(array) as host:
            self.gradients.Allreduce(self.mpi.IN_PLACE, host)

    def gather(self, value: Value) -> list[Value]:
        """Do as `Ranks` says."""
        return self.world.allgather(value)

    def from_first(self, value: Value) -> Value:
        """Do as `Ranks` says."""
        return self.world.bcast(value)

    def copy_from_first(self, array: Array) -> None:
        """Do as `Ranks` says."""
        with _on_host(array) as host:
            self.world.Bcast(host)


class JoinedGPUs:
    """The GPUs of all ranks, which add up arrays among themselves while they compute (NCCL).

    Args:
        channel: all ranks, as an MPI communicator; each rank's GPU is the current one of this thread.
        cupy: the library.
    """

    def __init__(self, channel: Any, cupy: ModuleType):
        self.cupy, self.nccl = cupy, importlib.import_module("cupy.cuda.nccl")
        key = channel.bcast(self.nccl.get_unique_id() if channel.rank == 0 else None)
        self.all = self.nccl.NcclCommunicator(channel.size, key, channel.rank)
        self.stream = cupy.cuda.Stream(non_blocking=True)

    @classmethod
    def join(cls, channel: Any, array: Array) -> JoinedGPUs | None:
        """Return the ranks' GPUs; None if a rank has no NCCL or two share a GPU, and rank 0 prints which."""
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
        """Replace an array by the sum of all ranks' arrays, and wait until it has arrived."""
        computed = self.cupy.cuda.Event(disable_timing=True)
        computed.record()  # after all work that the GPU was given so far, which computes the array
        self.stream.wait_event(computed)
        kind = getattr(self.nccl, f"NCCL_{array.dtype.name.upper()}")
        place = array.data.ptr
        self.all.allReduce(place, place, array.size, kind, self.nccl.NCCL_SUM, self.stream.ptr)
        self.stream.synchronize()


@contextmanager
def _on_host(array: Array) -> Iterator[np.ndarray]:
    """Yield an array as NumPy's, to be changed inside the block; a GPU's array is copied there and back."""
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
    """Return how many processes the launcher of this one started; 1 without a launcher."""
    return max((int(os.environ[name]) for name in SIZE_VARIABLES if os.environ.get(name, "").isdecimal()), default=1)


@contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """Yield the ranks that this process belongs to, as in `with joined_ranks() as ranks:`.

    An error on one rank ends all of them: that rank prints its number and the error, and the launcher stops the others.
    So does a rank that ends without a message, because it was killed or the memory ran out (`Watch`).
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
            time.sleep(PASSED_ON)
            watch.dismiss()
            ranks.world.Abort(2)


class Watch:
    """A process beside a rank that prints a line if the rank is killed.

    A killed process prints nothing, and mpiexec, which then ends the other ranks at once, does not name it. So each
    rank starts a small process that waits until the rank's end of a pipe is closed: the system closes it, however the
    rank ends. The first to notice prints the line: the one that succeeds in making a file.

    Args:
        ranks: the rank to watch.
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
        """Tell the process that the rank ends as it should: no line is needed."""
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


def checksum(values: np.ndarray) -> int:
    """Return the checksum (CRC-32) of an array: if arrays differ, it differs nearly always."""
    return zlib.crc32(np.ascontiguousarray(values).tobytes())


def check_shareable(batch_size: int, ranks: Ranks) -> None:
    """Raise ConfigError unless the ranks can have equal shards of a batch."""
    if batch_size % ranks.size:
        raise ConfigError(
            f"{ranks.size} ranks cannot share a batch of {batch_size} images evenly: choose a --batch-size that "
            f"{ranks.size} divides"
        )


__getattr__ = old_names(__name__, {"Cards": "JoinedGPUs", "fingerprint": "checksum", "check_number": "checksum"})
