"""The runs behind the four reports in this folder: `python experiment.py DATA OUT`.

DATA is a folder with CIFAR-10 (it is downloaded if it is missing), OUT a folder for one JSON file a run and for
`predictions.csv`. A run that is there already is not repeated. All runs together take about half an hour on two cores.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from minivit.data import load_dataset
from minivit.models import create_model
from minivit.training import TrainConfig, Trainer

POOLS = {"token": "token", "average": "gap"}  # what the head reads: the class token, or the mean of all patch tokens
TRAINING, HELD_OUT, TEST = 4_000, 1_000, 2_000  # images
RATES = (5e-4, 1e-3, 2e-3, 4e-3)
SEEDS = (0, 1, 2, 3)


def run(train: Any, test: Any, pool: str, lr: float, epochs: int, seed: int) -> dict[str, Any]:
    """Train one model and return its predictions on the first test images and on the held-out training images."""
    order = np.random.default_rng(seed).permutation(len(train.images) - HELD_OUT)[:TRAINING]
    model = create_model("ViT-XS_4-CIFAR", num_classes=10, patch_size=8, classifier=POOLS[pool], seed=seed)
    config = TrainConfig(epochs=epochs, lr=lr, seed=seed, augment="standard", num_threads=1, recipe="none")
    Trainer(model, (train.images[order], train.labels[order]), config=config).fit()
    model.eval()
    return {
        "pool": pool, "lr": lr, "epochs": epochs, "seed": seed, "parameters": model.num_parameters(),
        "test": model.predict(test.images[:TEST]).argmax(axis=1).tolist(),
        "held out": model.predict(train.images[-HELD_OUT:]).argmax(axis=1).tolist(),
        "training": model.predict(train.images[order]).argmax(axis=1).tolist(),
        "training labels": train.labels[order].tolist(),
    }  # fmt: skip


def table(out: Path) -> str:
    """Return the predictions of the reports' runs as CSV: a row for each test image, a column for each run."""
    files = {"token-weak": "token-0.0005-10-0", "average-weak": "average-0.001-20-0"}
    files |= {f"{pool}-{seed}": f"{pool}-0.001-10-{seed}" for seed in SEEDS[:3] for pool in POOLS}
    files |= {f"{pool}-best-{seed}": f"{pool}-0.002-10-{seed}" for seed in SEEDS for pool in POOLS}
    labels = json.loads((out / "labels.json").read_text(encoding="utf-8"))["test"]
    columns = [json.loads((out / f"{name}.json").read_text(encoding="utf-8"))["test"] for name in files.values()]
    rows = [["image", "label", *files], *zip(range(len(labels)), labels, *columns, strict=True)]
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


def main(data: Path, out: Path) -> None:
    """Do the runs of all four reports, write each to its file, and the table of all predictions."""
    train, test = load_dataset("cifar10", data)
    out.mkdir(parents=True, exist_ok=True)
    labels = {"test": test.labels[:TEST].tolist(), "held out": train.labels[-HELD_OUT:].tolist()}
    (out / "labels.json").write_text(json.dumps(labels), encoding="utf-8", newline="\n")
    plan = [("token", 5e-4, 10, 0), ("average", 1e-3, 20, 0)]
    plan += [(pool, 1e-3, 10, seed) for seed in SEEDS[:3] for pool in POOLS]
    plan += [(pool, lr, 10, 100) for lr in RATES for pool in POOLS]  # a seed that no other run has chooses the rate
    plan += [(pool, 2e-3, 10, seed) for seed in SEEDS for pool in POOLS]  # the best rate of both, see report B
    for pool, lr, epochs, seed in plan:
        path = out / f"{pool}-{lr:g}-{epochs}-{seed}.json"
        if not path.exists():
            path.write_text(json.dumps(run(train, test, pool, lr, epochs, seed)), encoding="utf-8", newline="\n")
            print(path.name, flush=True)
    (out / "predictions.csv").write_text(table(out), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
