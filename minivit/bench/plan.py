"""Predict the time of a step on many devices, and the memory of each device, from measured rates.

The prediction is for data parallelism: every device has the whole model and computes a shard of the batch; a ring
all-reduce sums the gradients. The cost model of the ring (Thakur, Rabenseifner and Gropp 2005, doi
10.1177/1094342005051521): each of K devices sends and receives 2 (K - 1) / K times the bytes of the gradients, in
2 (K - 1) messages per bucket.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from ..errors import ConfigError
from ..models import create_model
from ..models.classifier import default_microbatch
from ..models.cost import TRAINING_ARRAYS, costs, images_that_fit
from ..training.distributed.parallel import bucket_bytes
from .contenders import Job, minivit_work
from .profile import step_flops

RATE_MODEL, RATE_FLOPS = "ViT-Ti_4-CIFAR", 1e9
BACKWARD_SHARE = 2 / 3  # of the matrix products of a training step


@dataclass(frozen=True)
class Devices:
    """The rates of one device, and of the link between two.

    Attributes:
        flops: floating-point operations per second of a training step, counted in matrix products.
        bandwidth: bytes per second that a device can send while it receives as many.
        latency: seconds until a short message arrives.
        workers: the micro-batches that a device computes at a time: threads on a processor, 1 on a GPU.
    """

    flops: float
    bandwidth: float
    latency: float
    workers: int = 1


@dataclass(frozen=True)
class Plan:
    """The predicted training step of a model on `count` devices.

    Attributes:
        model: the name of the model.
        batch_size: the images of all devices together.
        count: the number of devices.
        compute: seconds of forward and backward passes on each device.
        exchange: seconds of the exchange of gradients.
        hidden: seconds of the exchange that overlap with the backward pass.
        memory: bytes on each device: weights, gradients, moments, averages and kept activations.
    """

    model: str
    batch_size: int
    count: int
    compute: float
    exchange: float
    hidden: float
    memory: int

    @property
    def seconds(self) -> float:
        """The time of one step in seconds."""
        return self.compute + self.exchange - self.hidden

    @property
    def images_per_second(self) -> float:
        """The throughput of all devices together, in images per second."""
        return self.batch_size / self.seconds

    @property
    def efficiency(self) -> float:
        """The share of the time in which devices compute: 1 if K devices are K times as fast as one."""
        return self.compute / self.seconds


def plan(model: str, batch_size: int, count: int, devices: Devices, microbatch: int | None = None) -> Plan:
    """Predict a training step in float32.

    Args:
        model: the name of a model.
        batch_size: the images of all devices together.
        count: the number of devices.
        devices: the rates of the devices and links.
        microbatch: the images in a micro-batch. [default: as for `minivit train`]

    Raises:
        ConfigError: if `count` does not divide the batch, or a rate is not above 0.
    """
    if count < 1 or batch_size < 1 or batch_size % count:
        raise ConfigError(f"{count} devices cannot share a batch of {batch_size} images evenly")
    for name in ("flops", "bandwidth", "workers"):
        if not getattr(devices, name) > 0:
            raise ConfigError(f"{name} must be above 0, not {getattr(devices, name):g}")
    if not devices.latency >= 0:
        raise ConfigError(f"latency must be 0 or more, not {devices.latency:g}")
    network = create_model(model, seed=None)
    total = costs(network)[-1]
    images = batch_size // count
    size = min(images, microbatch or default_microbatch(network.config, batch_size))
    rounds = math.ceil(math.ceil(images / size) / devices.workers)  # of micro-batches, one after the other

    compute = step_flops(network, "train") * images / devices.flops
    buckets = math.ceil(total.weight_bytes / bucket_bytes(count))
    exchange = ring_seconds(total.weight_bytes, count, devices, buckets)
    # A bucket is sent when the backward pass of the last round has filled it; the last bucket is filled at its end.
    last_backward = BACKWARD_SHARE * compute / rounds
    hidden = min(last_backward, exchange * (1 - 1 / buckets))

    at_once = min(devices.workers, math.ceil(images / size))
    memory = TRAINING_ARRAYS * total.weight_bytes + total.kept_bytes * size * at_once
    return Plan(model, batch_size, count, compute, exchange, hidden, memory)


def ring_seconds(size: int, count: int, devices: Devices, buckets: int = 1) -> float:
    """Return the seconds in which a ring of `count` devices sums arrays of `size` bytes."""
    if count == 1:
        return 0.0
    return 2 * (count - 1) / count * size / devices.bandwidth + 2 * (count - 1) * devices.latency * buckets


def rate_model(model: str) -> str:
    """Return the model whose rate is measured for this one: itself, or ViT-Ti_4-CIFAR if a step would take minutes.

    Small models reach a lower rate than large ones, since they spend more of their time outside matrix products.
    """
    return model if costs(create_model(model, seed=None))[-1].flops < RATE_FLOPS else RATE_MODEL


def measured_flops(model: str, workers: int, seconds: float = 3.0) -> float:
    """Measure the floating-point operations per second of training `rate_model(model)` with batches of 128."""
    job = Job(model=rate_model(model), task="train", batch_size=128, workers=workers)
    network = create_model(job.model, seed=None)
    flops = step_flops(network, "train") * job.batch_size
    with ExitStack() as stack:
        work = minivit_work(job, stack)
        work(*job.inputs(0))  # the first step is slower and not measured
        start, steps = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            steps += 1
            work(*job.inputs(steps))
        return flops * steps / (time.perf_counter() - start)


def fits(model: str, devices: Devices, memory: float) -> int:
    """Return how many images fit at a time into a device with `memory` bytes; 0 if the model alone is too large."""
    return images_that_fit(create_model(model, seed=None), memory, devices.workers)


def plan_table(plans: Sequence[Plan]) -> str:
    """Return the plans as a table to print."""
    lines = [
        f"{'model':<15}{'batch':>7}{'devices':>9}{'compute':>11}{'exchange':>11}{'hidden':>10}{'step':>11}"
        f"{'images/s':>11}{'efficiency':>12}{'memory each':>13}"
    ]
    for p in plans:
        lines.append(
            f"{p.model:<15}{p.batch_size:>7}{p.count:>9}{_ms(p.compute)}{_ms(p.exchange)}{_ms(p.hidden, 10)}"
            f"{_ms(p.seconds)}{p.images_per_second:>11,.0f}{p.efficiency:>12.0%}{p.memory / 2**20:>10,.0f} MB"
        )
    return "\n".join(lines)


def _ms(seconds: float, width: int = 11) -> str:
    return f" {1e3 * seconds:>{width - 4},.1f} ms"
