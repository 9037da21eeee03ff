"""Train a very small model for a moment: `python tiny_run.py FOLDER [--resume]`, for tests that kill a process.

It prints "ready" when the first step begins.
"""

import sys

from minivit.data import shapes
from minivit.training import TrainConfig, batches, loop, train

CONFIG = TrainConfig(
    model="ViT-XS_4-CIFAR",
    dropout=0.1,
    steps=60,
    batch_size=24,
    microbatch=8,
    ema_decay=0.99,
    lr=2e-3,
    eval_every=0.0,
    log_every=5,
    save_every=0.0,  # after every step: a kill then often hits a save
    num_threads=2,
)


def tiny_datasets(name, data_dir=None, **options):
    """200 and 50 images in place of the whole data set."""
    return shapes("train", 200), shapes("test", 50)


if __name__ == "__main__":
    batches.load_dataset = tiny_datasets
    train_step = loop.train_step

    def announced(run, batch):
        if run.step == 0 or "--resume" in sys.argv:
            print("ready", flush=True)
        return train_step(run, batch)

    loop.train_step = announced
    result = train(CONFIG, sys.argv[1], resume="--resume" in sys.argv, show=False)
    sys.exit(0 if result.finished else 130)
