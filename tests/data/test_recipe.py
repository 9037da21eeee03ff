"""Several options make one augmentation, in a fixed order."""

import numpy as np
import pytest

from minivit.data import rand_augment, random_erasing, training_augmentation
from minivit.data.augment import AUGMENTATIONS

SIZE = (12, 10)


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("randaugment", ["", "none", "2,9"])
@pytest.mark.parametrize("erasing", [0.0, 0.7])
def test_size_then_randaugment_then_erasing(name, randaugment, erasing):
    images = np.random.default_rng(0).integers(0, 256, (30, 16, 16, 3), dtype=np.uint8)
    rng = np.random.default_rng(1)
    expected = AUGMENTATIONS[name](SIZE)(images, rng)
    if randaugment == "2,9":
        expected = rand_augment(2, 9)(expected, rng)
    if erasing:
        expected = random_erasing(0.7)(expected, rng)

    augment = training_augmentation(name, SIZE, randaugment, erasing, auto_augment="none")
    result = augment(images, np.random.default_rng(1))

    assert result.shape == (30, 12, 10, 3)
    assert np.array_equal(result, expected)
    assert np.array_equal(augment(list(images), np.random.default_rng(1)), expected)  # pictures one by one
