"""A long run leaves nothing behind: no memory, no Tensors, no open files, no threads, step after step.

Every kind of thing that a run does is in it: threads, dropout, averaging, clipping, logging, evaluating, saving. It
counts after a warmup, in which caches fill, and at the end. MINIVIT_SOAK_STEPS=5000 makes it as long as one likes;
a short one cannot tell a slow leak of memory from the allocator's habits, and therefore allows a little.
"""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

STEPS = int(os.environ.get("MINIVIT_SOAK_STEPS", "150"))
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads /proc, which Linux has")

RUN = r"""
import gc, json, sys, threading
from pathlib import Path

from minivit import Tensor
from minivit.data import shapes
from minivit.engine.tensor import Node
from minivit.training import TrainConfig, batches, loop, train

steps, out, leak = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
batches.load_dataset = lambda *arguments, **options: (shapes("train", 400), shapes("test", 40))
counts, kept = [], []


def count():
    gc.collect()
    status = Path("/proc/self/status").read_text()
    alive = gc.get_objects()
    return {
        "kB": int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))),
        "tensors": sum(issubclass(type(item), Tensor | Node) for item in alive),
        "files": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
        "objects": len(alive),
    }


train_step = loop.train_step


def watched(run, batch):
    result = train_step(run, batch)
    if "tensor" in leak:
        kept.append(Tensor([1.0]))
    if "file" in leak:
        kept.append(open("/dev/null"))
    if "memory" in leak:
        kept.append(bytearray(2**18))
    if run.step % (steps // 10) == 0:
        counts.append({"step": run.step, **count()})
    return result


loop.train_step = watched
train(
    TrainConfig(
        model="ViT-XS_4-CIFAR", image_size=16, dropout=0.1, steps=steps, batch_size=8, microbatch=4, num_threads=2,
        ema_decay=0.99, augment="standard", mixup=0.2, eval_every=1.0, log_every=5, save_every=2.0,
    ),
    out, show=False,
)
print(json.dumps(counts))
"""


def soak(folder, steps, *leak):
    """The counts at each tenth of a run in a process of its own."""
    import json

    finished = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN, str(steps), str(folder), *leak],
        cwd=ROOT, capture_output=True, text=True, timeout=100 + 2 * steps,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr[-2000:]
    return json.loads(finished.stdout.splitlines()[-1])


def grown(counts, name):
    """By how much a count grew between the middle of a run and its end."""
    return min(count[name] for count in counts[-3:]) - max(count[name] for count in counts[4:7])


@pytest.mark.slow
@pytest.mark.timeout(200 + 3 * STEPS)
def test_a_long_run_leaves_nothing_behind(tmp_path):
    counts = soak(tmp_path / "run", STEPS)
    print(*counts, sep="\n")

    for name in ("tensors", "files", "threads"):
        assert grown(counts, name) <= 0, counts
    assert grown(counts, "objects") < 50, counts
    assert grown(counts, "kB") < 1024, counts


@pytest.mark.slow
@pytest.mark.parametrize(("leak", "name"), [("tensor", "tensors"), ("file", "files"), ("memory", "kB")])
def test_a_leak_would_be_seen(tmp_path, leak, name):
    counts = soak(tmp_path / "run", 60, leak)

    assert grown(counts, name) > (1024 if name == "kB" else 0), counts


def test_an_own_loop_leaves_no_tensor_behind_without_the_garbage_collector():
    import numpy as np

    from minivit import AdamW, Tensor, cross_entropy
    from minivit.training.optim import clip_by_global_norm
    from tests.support import random_images, tiny_vit

    model = tiny_vit(dtype=np.float32)
    optimizer = AdamW(model.named_parameters(), lr=1e-3)
    images, labels = random_images(model.config, dtype=np.float32), np.array([0, 1, 2])

    def step():
        cross_entropy(model(images), labels).backward()
        clip_by_global_norm([p.grad for p in model.parameters()], 1.0)
        optimizer.step()
        optimizer.zero_grad()
        model.predict(images)

    def alive():
        kinds = (type(item) for item in gc.get_objects())  # `isinstance` would read attributes of foreign objects
        return sum(issubclass(kind, Tensor) for kind in kinds)

    step()
    gc.collect()
    gc.disable()
    try:
        before = alive()
        for _ in range(5):
            step()
        assert alive() == before
    finally:
        gc.enable()
