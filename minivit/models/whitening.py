"""A patch embedding that begins by whitening: it maps patches to uncorrelated numbers of equal variance.

Neighbouring pixels are alike: in 4 x 4 patches of CIFAR-10 (JPEG q75 copy), one direction of 48, the brightness, has
three quarters of the variance. So a random E maps patches to tokens that differ in little else, and edges and textures
are small in them. Whitened patches vary as much in every direction. Convolutional networks that begin so learn CIFAR-10
in fewer epochs (arXiv 2404.00498, where these filters stay as they are; here they are trained).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .. import engine
from ..backend.arrays import beside
from ..engine.tensor import Tensor
from ..errors import ConfigError, DTypeError, ShapeError
from ..utils.integers import integer
from .vit import ViT

LEAST_VARIANCE = 5e-4  # added to the variance of each direction, so that weak noise is not amplified


def initialise_whitened(model: ViT, batches: Iterable[np.ndarray], seed: int = 0) -> None:
    """Give the patch embedding the kernel and bias that whiten the patches of some images, in place.

    The columns of V are the n = min(P² C, D) eigenvectors of the patches' covariance with the largest eigenvalues v.
    The kernel is E = V (v + 0.0005)^(-1/2) Q with a random Q of n orthonormal rows, (n, D), so that the numbers of a
    token share all directions; the bias brings their mean to 0.

    Args:
        model: a new Vision Transformer.
        batches: of images (B, H, W, C) as the network reads them; a thousand are enough.
        seed: draws Q.

    Raises:
        ConfigError: if the model is not a Vision Transformer or cuts a feature map into patches, if there is no image,
            or if one is not finite.
        ShapeError, DTypeError: if an image has another shape than those of the model, or is not of floats.
    """
    if not isinstance(model, ViT):
        raise ConfigError(f"a whitened embedding is for Vision Transformers, not {type(model).__name__}")
    if model.config.feature_shape != model.config.image_shape:
        raise ConfigError("a whitened embedding reads pixels; in a hybrid, patches are cut from a feature map")
    embedding, dim = model.embedding, model.config.dim
    mean, covariance = _statistics(model, batches)
    variances, vectors = np.linalg.eigh(covariance)  # the largest last
    n = min(len(mean), dim)
    whiten = vectors[:, -n:] / np.sqrt(variances[-n:] + LEAST_VARIANCE)  # V (v + 0.0005)^(-1/2), (P² C, n)
    rng = np.random.default_rng([integer("the seed", seed, 0), 3])
    rotation, _ = np.linalg.qr(rng.standard_normal((dim, n)))  # Qᵀ
    kernel = whiten @ rotation.T  # (P² C, D)
    for parameter, values in ((embedding.weight, kernel), (embedding.bias, -mean @ kernel)):
        parameter.data[...] = beside(parameter.data, values.astype(parameter.dtype))
        parameter.changed_in_place()


def _statistics(model: ViT, batches: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean (P² C,) and the covariance (P² C, P² C) of the patches, in float64."""
    count, total, products = 0, 0.0, 0.0
    height, width = model.embedding.used
    for images in batches:
        if np.shape(images)[1:] != model.config.image_shape:
            raise ShapeError(f"images of shape {model.config.image_shape} are needed, not {np.shape(images)[1:]}")
        images = np.asarray(images)
        if images.dtype.kind != "f":
            raise DTypeError(f"images are needed as the network reads them, in [-1, 1] as floats, not {images.dtype}")
        patches = engine.patchify(Tensor(images[:, :height, :width]), model.config.patch_size).data
        patches = patches.reshape(-1, patches.shape[-1]).astype(np.float64)  # (B N, P² C)
        count += len(patches)
        total = total + patches.sum(axis=0)
        products = products + patches.T @ patches
    if not count:
        raise ConfigError("a whitened embedding is computed from images: there are none")
    if not np.isfinite(products).all():
        raise ConfigError("a whitened embedding is computed from images without nan or infinite numbers")
    mean = np.asarray(total) / count
    return mean, products / count - np.outer(mean, mean)
