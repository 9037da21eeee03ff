"""The benchmark's other libraries, in each mode, do the same work as minivit."""

from contextlib import ExitStack

import numpy as np
import pytest

from minivit.bench import Job
from minivit.bench.contenders import LIBRARIES

pytestmark = pytest.mark.parity
JOB = Job(model="ViT-XS_4-CIFAR", task="infer", batch_size=3, workers=1)


def probabilities(name):
    """What a library answers to the first images, float (3, 10)."""
    with ExitStack() as stack:
        return np.asarray(LIBRARIES[name].work(JOB, stack)(*JOB.inputs(0)))


@pytest.mark.parametrize("name", ["torch", "torch-bfloat16", "onnxruntime"])
def test_each_mode_gives_probabilities(name):
    answer = probabilities(name)
    assert answer.shape == (3, 10)
    assert np.allclose(answer.sum(-1), 1, atol=1e-5)


def test_onnx_runtime_has_the_weights_of_minivit():
    assert np.allclose(probabilities("onnxruntime"), JOB.build().predict(JOB.inputs(0)[0]), atol=1e-5)


def test_bfloat16_is_what_its_name_says():
    exact, rounded = probabilities("torch"), probabilities("torch-bfloat16")
    assert 1e-6 < np.abs(exact - rounded).max() < 0.05
