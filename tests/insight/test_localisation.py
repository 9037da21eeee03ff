"""Does attention rollout show what an answer is drawn from? Images of shapes tell where their shape is."""

import numpy as np
import pytest

from minivit import create_model, load_model
from minivit.data import Dataset, shapes
from minivit.insight import attention_rollout
from minivit.training import TrainConfig, train


def share_in_boxes(maps: np.ndarray, data: Dataset) -> np.ndarray:
    """The share of each image's map (B, h, w) that lies in its box: (B,). A patch's value is spread over its pixels."""
    patch = data.images.shape[1] // maps.shape[1]
    by_pixel = maps.repeat(patch, axis=1).repeat(patch, axis=2)  # (B, H, W)
    by_pixel /= by_pixel.sum(axis=(1, 2), keepdims=True)
    boxes = zip(by_pixel, data.boxes, strict=True)
    return np.array([values[top:bottom, left:right].sum() for values, (top, left, bottom, right) in boxes])


def areas(data: Dataset) -> np.ndarray:
    """The boxes' share of their images: (B,)."""
    top, left, bottom, right = data.boxes.T
    return (bottom - top) * (right - left) / (32 * 32)


def test_a_flat_map_is_in_a_box_as_much_as_the_box_is_in_the_image():
    data = shapes("test", 50)
    assert share_in_boxes(np.ones((50, 8, 8)), data) == pytest.approx(areas(data))


@pytest.mark.slow
def test_rollout_is_twice_as_dense_in_the_shapes_box(tmp_path):
    """After 500 steps, half a minute, a model knows most shapes; nobody told it where they are."""
    config = TrainConfig(optimizer="muon", lr=5e-3, steps=500, batch_size=64, log_every=500)
    result = train(config, tmp_path, show=False)
    assert result.accuracy > 0.9
    data = shapes("test", 1000)
    area = areas(data)
    small = area <= 0.25  # twice the share of a box that is half the image would be all there is

    trained = share_in_boxes(attention_rollout(load_model(tmp_path / "checkpoint.npz"), data.images), data)

    assert small.sum() > 100
    assert trained[small].mean() >= 2 * area[small].mean()
    assert trained.mean() / area.mean() >= 2 * (1 - trained.mean()) / (1 - area.mean())  # all boxes: in and around

    # Random queries already prefer what stands out, by 1.2 to 1.5 times. That is not what was measured above.
    untrained = share_in_boxes(attention_rollout(create_model(config.model), data.images), data)
    assert trained[small].mean() >= 1.3 * untrained[small].mean()
