"""Several ranks as threads of this process, so that what ranks do can be tested where there is no MPI."""

import threading

import numpy as np

from minivit.training.distributed.ranks import Ranks


class Channel:
    """Where `size` threads meet and each sees what all have brought."""

    def __init__(self, size):
        self.slots = [None] * size
        self.barrier = threading.Barrier(size, timeout=60)

    def exchange(self, rank, value):
        self.slots[rank] = value
        self.barrier.wait()
        seen = list(self.slots)
        self.barrier.wait()  # nobody brings the next before all have seen this one
        return seen


class ThreadRanks(Ranks):
    def __init__(self, rank, channels):
        self.messages, self.gradients = channels
        self.rank, self.size = rank, len(self.messages.slots)
        self.local_rank, self.local_size = self.rank, self.size
        self.added = []  # the sizes of the arrays that were added up

    def add_up(self, array):
        self.added.append(array.size)
        total = sum(self.gradients.exchange(self.rank, array.copy())[1:], self.gradients.slots[0])
        self.gradients.barrier.wait()
        array[...] = total

    def gather(self, value):
        return self.messages.exchange(self.rank, value)

    def from_first(self, value):
        return self.gather(value)[0]

    def copy_from_first(self, array):
        array[...] = self.gather(np.array(array))[0]


def on_ranks(size, function):
    """`function(ranks)` on each of so many ranks; what they return, in order. The first error of any is raised."""
    channels = Channel(size), Channel(size)
    results, errors = [None] * size, []

    def run(rank):
        try:
            results[rank] = function(ThreadRanks(rank, channels))
        except BaseException as error:
            if not isinstance(error, threading.BrokenBarrierError):
                errors.append(error)
            for channel in channels:
                channel.barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
