"""minivit leaves a process as it was: what a user set for matplotlib, NumPy, signals and random numbers stays."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

CODE = r"""
import json, locale, os, random, signal, subprocess, sys, threading, warnings
import numpy as np, matplotlib, PIL.Image

def state():
    return {
        # threadpoolctl sets the one that is left out, for itself and for good.
        "environment": {name: value for name, value in os.environ.items() if name != "KMP_DUPLICATE_LIB_OK"},
        "backend": matplotlib.rcParams._get_backend_or_none(),
        # Reading the backend would choose one.
        "style": {name: repr(matplotlib.rcParams[name]) for name in matplotlib.rcParams if name != "backend"},
        "pyplot": "matplotlib.pyplot" in sys.modules,
        "numpy errors": np.geterr(),
        "numpy random": np.random.get_state()[1].tolist()[:8],
        "random": hash(random.getstate()),
        "warnings": [repr(f) for f in warnings.filters],
        "signals": [repr(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM)],
        "hooks": [repr(sys.excepthook), repr(threading.excepthook)],
        "pixels": PIL.Image.MAX_IMAGE_PIXELS,
        "folder": os.getcwd(),
        "locale": locale.setlocale(locale.LC_ALL),
        "recursion": sys.getrecursionlimit(),
        "threads": sorted(t.name for t in threading.enumerate() if "tqdm" not in t.name),
        "child": subprocess.run([sys.executable, "-c", "import os; print(os.environ.get('MPLBACKEND'))"],
                                capture_output=True, text=True).stdout.strip(),
    }

before = state()
import minivit
from minivit.data import shapes
from minivit.insight import ShownImages, inspect_model, write_inspection
from minivit.training import TrainConfig, batches, train

batches.load_dataset = lambda *arguments, **options: (shapes("train", 16), shapes("test", 8))
options = TrainConfig(steps=1, batch_size=8, num_threads=2, eval_every=1.0, log_every=1)
out = sys.argv[1]
train(options, out + "/run", show=False)
model = minivit.load_model(out + "/run/checkpoint.npz")
images = shapes("test", 2)
write_inspection(inspect_model(model, ShownImages(images.images, ["a", "b"], images.classes)), out + "/page", "title")
after = state()
print(json.dumps({name: [before[name], after[name]] for name in before if before[name] != after[name]}))
"""


@pytest.mark.slow
def test_importing_training_and_drawing_change_nothing_of_the_process(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}

    finished = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE, str(tmp_path)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip

    assert finished.returncode == 0, finished.stderr[-2000:]
    assert json.loads(finished.stdout.splitlines()[-1]) == {}


def test_no_part_of_the_package_draws_with_pyplot_or_chooses_a_backend():
    for path in (ROOT / "minivit").rglob("*.py"):
        if "lessons" in path.parts:
            continue  # a notebook may use pyplot, and marking runs notebooks
        text = path.read_text(encoding="utf-8")
        assert not any(word in text for word in ("pyplot", "MPLBACKEND", "matplotlib.use")), path
