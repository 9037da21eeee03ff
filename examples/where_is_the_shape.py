"""Where is the shape? A linear probe on a model's patch features, trained on boxes instead of classes.

    minivit train --dataset shapes --epochs 12 --lr 2e-3 --out runs/shapes
    python examples/where_is_the_shape.py --weights runs/shapes/checkpoint.npz

`model.features(images)` returns a vector for each patch, arranged as the patches are: (B, h, w, D). The model was
trained without boxes; regularised least squares finds in its features whether a patch belongs to the shape. The figure
shows the answer.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import minivit
from minivit.data import Dataset, shapes
from minivit.evaluation import ridge
from minivit.utils.figures import figure_style, new_figure, write_figure


def patch_features(model: minivit.ViT, pixels: np.ndarray, batch: int = 50) -> np.ndarray:
    """Return the features of each patch, and a constant 1 for the probe's bias.

    Args:
        model: a trained model.
        pixels: uint8 (B, H, W, C).
        batch: how many images to compute at a time.

    Returns:
        (B, h, w, D + 1) float32.
    """
    found = []
    with minivit.no_grad(), model.evaluating():
        for start in range(0, len(pixels), batch):
            features = model.features(minivit.preprocess(pixels[start : start + batch])).data
            found.append(np.pad(features, ((0, 0), (0, 0), (0, 0), (0, 1)), constant_values=1.0))
    return np.concatenate(found)


def inside(data: Dataset, grid: tuple[int, int]) -> np.ndarray:
    """Return which patches have more than half of their pixels in the shape's box: bool (B, h, w)."""
    count, height, width, _ = data.images.shape
    assert data.boxes is not None
    in_box = np.zeros((count, height, width))
    for image, (top, left, bottom, right) in zip(in_box, data.boxes, strict=True):
        image[top:bottom, left:right] = 1.0
    h, w = grid
    return in_box.reshape(count, h, height // h, w, width // w).mean(axis=(2, 4)) > 0.5


def overlap(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return the number of patches in both sets over that in either, averaged over the images of (B, h, w)."""
    both, either = (found & wanted).sum(axis=(1, 2)), (found | wanted).sum(axis=(1, 2))
    return float(np.mean(both / np.maximum(either, 1)))


@figure_style()
def draw(data: Dataset, scores: np.ndarray, path: Path, count: int = 8) -> None:
    """Draw images with their boxes, and below each the probe's score of every patch, (B, h, w)."""
    from matplotlib.patches import Rectangle

    assert data.boxes is not None
    figure = new_figure(1.3 * count, 2.9)
    axes = figure.subplots(2, count)
    side = data.images.shape[1]
    for i in range(count):
        axes[0, i].imshow(data.images[i])
        axes[1, i].imshow(scores[i], cmap="cividis", vmin=-1, vmax=1, extent=(-0.5, side - 0.5, side - 0.5, -0.5))
        top, left, bottom, right = data.boxes[i]
        for axis in axes[:, i]:
            axis.add_patch(
                Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, ec="white", lw=1.5)
            )
            axis.set(xticks=[], yticks=[])
    axes[0, 0].set_ylabel("image and box", fontsize=8)
    axes[1, 0].set_ylabel("probe", fontsize=8)
    write_figure(figure, path)


def main(arguments: list[str] | None = None) -> float:
    """Fit the probe on training images, report its overlap with the boxes of test images, and draw some."""
    parser = argparse.ArgumentParser(description="A linear probe that marks where the shape is.")
    parser.add_argument("--weights", required=True, help="load a model that was trained on shapes (required)")
    parser.add_argument(
        "--images", type=int, default=1000, metavar="N", help="train the probe on N images [default: 1000]"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("where.png"), help="write the figure to this file [default: where.png]"
    )
    options = parser.parse_args(arguments)

    model = minivit.load_model(options.weights)
    train, test = shapes("train", options.images), shapes("test", 200)
    x, y = patch_features(model, train.images), inside(train, model.config.grid)
    weights = ridge(x.reshape(-1, x.shape[-1]).astype(np.float64), 2.0 * y.reshape(-1, 1) - 1.0, l2=1.0)  # (D + 1, 1)

    scores = (patch_features(model, test.images) @ weights)[..., 0]  # (B, h, w)
    wanted = inside(test, model.config.grid)
    found = overlap(scores > 0, wanted)
    everywhere = overlap(np.ones_like(wanted), wanted)
    print(f"overlap with the boxes: {found:.2f}; marking every patch would give {everywhere:.2f}")
    draw(test, scores, options.out)
    print(f"figure: {options.out}")
    return found


if __name__ == "__main__":
    main()
