"""What must come out the same in a browser's Python: gradients, fifty steps of training, the lessons' checks.

Run as a program with numbers of lessons, and with the word "engine" for gradients and training, it prints the
results as JSON: `tests/lessons/pyodide.mjs` does that.
"""

import contextlib
import io
import json
import os
import re
import sys
import tempfile
from pathlib import Path

import numpy as np

from minivit import Tensor, create_model
from minivit.engine import fused, ops
from minivit.engine.gradcheck import gradcheck
from minivit.training import Callback, TrainConfig, Trainer

ENGINE = "engine"
STEPS = 50
LONG, SHORTER = 40, 10  # runs of so many steps in a lesson, and so many times shorter ones in their place


def gradients() -> dict[str, float]:
    """The relative error of each op's gradient; `gradcheck` raises if one is above 1e-6."""
    rng = np.random.default_rng(0)
    x, w, b = rng.standard_normal((2, 3, 4)), rng.standard_normal((4, 5)), rng.standard_normal(5)
    labels = np.array([0, 2])
    return {
        "multiply": gradcheck(lambda a: ops.sum(a * a), x),
        "matmul": gradcheck(ops.matmul, x, w),
        "linear": gradcheck(fused.linear, x, w, b),
        "layer_norm": gradcheck(fused.layer_norm, x, *rng.standard_normal((2, 4))),
        "gelu": gradcheck(fused.gelu, x),
        "softmax": gradcheck(fused.softmax, x),
        "attention": gradcheck(lambda qkv: fused.attention(qkv, 2), rng.standard_normal((2, 3, 12))),
        "cross_entropy": gradcheck(lambda a: fused.cross_entropy(a, labels), rng.standard_normal((2, 3))),
    }


class Losses(Callback):
    """The loss of each step."""

    def __init__(self):
        self.losses = []

    def on_step_end(self, step):
        self.losses.append(float(step.loss))


def training() -> list[float]:
    """The losses of a small model, which learns which rows of its images are bright."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 96)
    images = rng.integers(0, 90, (96, 32, 32, 3)).astype(np.uint8)
    images[np.arange(96), 10 * labels] += 120
    model = create_model("ViT-XS_4-CIFAR", num_classes=3, seed=0, depth=1)
    losses = Losses()
    config = TrainConfig(steps=STEPS, batch_size=8, lr=1e-3, augment="none")
    with tempfile.TemporaryDirectory() as out:
        Trainer(model, (images, labels), config=config, callbacks=[losses], out=out, show=False).fit()
        assert (Path(out) / "checkpoint.npz").is_file()
    return losses.losses


def shortened(source: str) -> str:
    """A cell with fewer steps of training."""
    return re.sub(r"\bsteps=(\d+)\b", lambda found: f"steps={fewer(int(found[1]))}", source)


def fewer(steps: int) -> int:
    return steps // SHORTER if steps >= LONG else steps


def lesson(number: int) -> dict[str, str]:
    """The verdicts on the solutions of a lesson, whose code cells are run in their order, with shorter training."""
    from minivit_lessons import checking, display
    from minivit_lessons.notebooks import SOLUTIONS, lesson_notebook, lessons_folder

    folder = lessons_folder() / SOLUTIONS
    os.chdir(folder)
    checking.verdicts.clear()
    display.display = lambda *_, **__: None
    names = {"__name__": "__main__"}
    path = lesson_notebook(folder, number)
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(shortened("".join(cell["source"])), f"<{cell['id']}>", "exec"), names)
    return {name: "" if verdict.passed else verdict.message for name, verdict in checking.verdicts.items()}


def results(words: list[str]) -> dict:
    """Return what was found: of the engine, if it is among the words, and of the lessons with these numbers."""
    found = {"python": sys.platform, "lessons": {int(word): lesson(int(word)) for word in words if word != ENGINE}}
    return found | ({"gradients": gradients(), "training": training()} if ENGINE in words else {})


if __name__ == "__main__":
    assert Tensor(np.ones(2)).shape == (2,)
    assert Path(sys.argv[0]).suffix == ".py"
    print(json.dumps(results(sys.argv[1:])))
