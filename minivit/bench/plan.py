"""How long a step would take on many devices, and what each must hold: a prediction from rates that were measured.

Data parallelism alone: every device has the whole model, computes its share of the batch, and the gradients are added
up by a ring all-reduce. Its cost model (Thakur, Rabenseifner and Gropp 2005, doi 10.1177/1094342005051521): each of K
devices sends and receives 2 (K - 1) / K times the gradients' bytes, in 2 (K - 1) messages for each bucket.
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
BACKWARD_SHARE = 2 / 3  # of a training step's products


@dataclass(frozen=True)
class Devices:
    """What one device does, and the link between two.

    Args:
        flops: floating-point operations a second that a training step reaches, products alone counted.
        bandwidth: bytes a second that one device sends while it receives as many.
        latency: seconds until a short message is there.
        workers: micro-batches that one device computes at a time: threads on a processor, 1 on a GPU.
    """

    flops: float
    bandwidth: float
    latency: float
    workers: int = 1


@dataclass(frozen=True)
class Plan:
    """A training step of one model on `count` devices.

    compute:  seconds of forward and backward passes on each device.
    exchange: seconds in which gradients travel.
    hidden:   how many of those pass beside the backward pass.
    memory:   bytes on each device: weights, gradients, averages, and what the tapes keep.
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
        """Of one step."""
        return self.compute + self.exchange - self.hidden

    @property
    def images_per_second(self) -> float:
        """Of all devices together."""
        return self.batch_size / self.seconds

    @property
    def efficiency(self) -> float:
        """The share of the devices' time that goes into computing: 1 if K devices are K times as fast as one."""
        return self.compute / self.seconds


def plan(model: str, batch_size: int, count: int, devices: Devices, microbatch: int | None = None) -> Plan:
    """Predict a step in float32.

    Raises ConfigError if the devices cannot share the batch evenly, or a rate is not above 0.
    """
    if count < 1 or batch_size < 1 or batch_size % count:
        raise ConfigError(f"{count} devices cannot share a batch of {batch_size} images evenly")
    if not min(devices.flops, devices.bandwidth) > 0 or devices.latency < 0 or devices.workers < 1:
        raise ConfigError(f"rates must be above 0, and a latency 0 or more, not {devices}")
    network = create_model(model, seed=None)
    total = costs(network)[-1]
    images = batch_size // count
    size = min(images, microbatch or default_microbatch(network.config, batch_size))
    rounds = math.ceil(math.ceil(images / size) / devices.workers)  # of micro-batches, one after the other

    compute = step_flops(network, "train") * images / devices.flops
    buckets = math.ceil(total.weight_bytes / bucket_bytes(count))
    exchange = ring_seconds(total.weight_bytes, count, devices, buckets)
    # A bucket is full, and may travel, once the last round's backward pass has reached it; the last one waits for its
    # end.
    beside = BACKWARD_SHARE * compute / rounds
    hidden = min(beside, exchange * (1 - 1 / buckets))

    at_once = min(devices.workers, math.ceil(images / size))
    memory = TRAINING_ARRAYS * total.weight_bytes + total.kept_bytes * size * at_once
    return Plan(model, batch_size, count, compute, exchange, hidden, memory)


def ring_seconds(size: int, count: int, devices: Devices, buckets: int = 1) -> float:
    """How long a ring of `count` devices takes to add up `size` bytes."""
    if count == 1:
        return 0.0
    return 2 * (count - 1) / count * size / devices.bandwidth + 2 * (count - 1) * devices.latency * buckets


def rate_model(model: str) -> str:
    """Which model's rate to measure for this one: its own, or ViT-Ti_4-CIFAR's where a step would take minutes.

    Small models reach a lower rate than large ones: they spend more of their time outside of the products.
    """
    return model if costs(create_model(model, seed=None))[-1].flops < RATE_FLOPS else RATE_MODEL


def measured_flops(model: str, workers: int, seconds: float = 3.0) -> float:
    """Floating-point operations a second that training `rate_model(model)` reaches here, in batches of 128."""
    job = Job(model=rate_model(model), task="train", batch_size=128, workers=workers)
    network = create_model(job.model, seed=None)
    flops = step_flops(network, "train") * job.batch_size
    with ExitStack() as stack:
        work = minivit_work(job, stack)
        work(*job.inputs(0))  # the first step sets things up
        start, steps = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            steps += 1
            work(*job.inputs(steps))
        return flops * steps / (time.perf_counter() - start)


def fits(model: str, devices: Devices, memory: float) -> int:
    """How many images one device of so many bytes can take at a time; 0 if the model alone is too large."""
    return images_that_fit(create_model(model, seed=None), memory, devices.workers)


def plan_table(plans: Sequence[Plan]) -> str:
    """The plans as a table to print."""
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
