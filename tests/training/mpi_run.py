"""Train a small model under mpiexec: `mpiexec -n K python mpi_run.py FOLDER [--resume] [--fail RANK] [NAME=VALUE ...]`.

With --stand-in, CuPy is its stand-in, and each rank writes to FOLDER.sums-N how many arrays its card added to others;
with --without-nccl, the second rank's has no NCCL.

Each rank writes its process id to FOLDER.rank-N when its first step begins; with --fail, that rank raises an error in
its fifth.
"""

import os
import sys
from contextlib import nullcontext
from pathlib import Path

from minivit.data import shapes
from minivit.training import TrainConfig, batches, loop, train
from minivit.training.distributed.ranks import joined_ranks

OPTIONS = {
    "model": "ViT-XS_4-CIFAR", "steps": 50, "batch_size": 128, "microbatch": 16, "lr": 2e-3, "eval_every": 1.0,
    "log_every": 1, "save_every": 0.0, "num_threads": 1,
}  # fmt: skip


def small_datasets(name, data_dir=None, **options):
    """200 and 100 images in place of the whole data set: the second batch of an epoch has 72."""
    return shapes("train", 200), shapes("test", 100)


def value(text):
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def write_pid(path):
    """Whoever sees the file sees the whole number in it; lines of several ranks on one output can be cut and mixed."""
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(str(os.getpid()), encoding="utf-8")
    unfinished.replace(path)


if __name__ == "__main__":
    folder, *arguments = sys.argv[1:]
    given = dict(argument.split("=") for argument in arguments if "=" in argument)
    config = TrainConfig(**OPTIONS | {name: value(text) for name, text in given.items()})
    fail = int(arguments[arguments.index("--fail") + 1]) if "--fail" in arguments else None
    batches.load_dataset = small_datasets
    train_step = loop.train_step
    begun = []

    def announced(run, batch):
        if not begun:
            write_pid(Path(f"{folder}.rank-{run.ranks.rank}"))
        begun.append(1)
        if len(begun) == 5 and run.ranks.rank == fail:
            raise ZeroDivisionError("planted")
        return train_step(run, batch)

    loop.train_step = announced
    if "--stand-in" in arguments:
        sys.path.insert(0, str(Path(__file__).parents[2]))
        from tests.gpu import strict_cupy

        card = strict_cupy.installed()
    else:
        card = nullcontext()
    with card, joined_ranks() as ranks:
        if "--without-nccl" in arguments:
            sys.modules["cupy.cuda.nccl"].available = ranks.rank != 1
        result = train(config, folder, resume="--resume" in arguments, show=False, ranks=ranks)
        if "--stand-in" in arguments:
            added = strict_cupy.NcclCommunicator.calls
            Path(f"{folder}.sums-{ranks.rank}").write_text(str(added), encoding="utf-8")
    sys.exit(0 if result.finished else 130)
