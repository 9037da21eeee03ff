"""Masked patch prediction, the paper's self-supervision (ViT §4.6 and B.1.2): predict the colours of corrupted patches.

Half of an image's patch embeddings are corrupted. The colours of each corrupted patch are predicted from its token
after the last block. No label is needed; what the encoder learns is then fine-tuned.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .. import engine
from ..backend.arrays import Array, to_numpy, xp_of
from ..engine.tensor import Tensor
from ..errors import ConfigError
from ..models import ViT
from ..nn import Linear, Module, init
from ..nn.layers import parameter

CORRUPTED = 0.5  # share of all patches  # ViT B.1.2
MASKED, REPLACED = 0.8, 0.1  # shares of the corrupted patches; the others stay unchanged  # ViT B.1.2

LEVELS = 8  # three bits a channel  # ViT B.1.2
TARGETS = ("mean", "4x4", "pixels")


class Corruption(NamedTuple):
    """Which patches of a batch are corrupted, and how.

    Attributes:
        corrupted: bool (B, N), the patches whose colours are to be predicted.
        masked: bool (B, N), those of them that become the mask token.
        source: int64 (B, N), the number of the patch whose embedding each patch receives; its own unless replaced.
    """

    corrupted: np.ndarray
    masked: np.ndarray
    source: np.ndarray


def draw_corruption(batch: int, patches: int, rng: np.random.Generator) -> Corruption:
    """Draw which half of each image's patches is corrupted.  # ViT B.1.2

    Of these patches, 80 % get the mask token, 10 % get another patch's embedding, and 10 % stay unchanged. The shares
    are exact, up to rounding, for every image.

    Args:
        batch: B.
        patches: N.
        rng: draws the patches.
    """
    number = max(1, round(CORRUPTED * patches))
    masked_number = round(MASKED * number)
    replaced_number = min(number - masked_number, round(REPLACED * number)) if patches > 1 else 0
    order = rng.permuted(np.tile(np.arange(patches), (batch, 1)), axis=1)  # (B, N), of each image's patches

    rows = np.arange(batch)[:, None]
    corrupted, masked = np.zeros((batch, patches), bool), np.zeros((batch, patches), bool)
    corrupted[rows, order[:, :number]] = True
    masked[rows, order[:, :masked_number]] = True
    source = np.tile(np.arange(patches), (batch, 1))
    replaced = order[:, masked_number : masked_number + replaced_number]
    steps = rng.integers(1, max(2, patches), replaced.shape)  # to another patch of the image, never to itself
    source[rows, replaced] = (replaced + steps) % patches
    return Corruption(corrupted, masked, source)


def corrupt(z: Tensor, mask: Tensor, corruption: Corruption) -> Tensor:
    """Return corrupted patch embeddings (B, N, D).

    Patches are copied by a product with one-hot rows: the backward pass of indexing would add up gradients one by one.

    Args:
        z: patch embeddings (B, N, D).
        mask: the mask token (1, 1, D).
        corruption: what to do to which patch.
    """
    xp = xp_of(z.data)
    patches = z.shape[1]
    picks = corruption.source[:, :, None] == np.arange(patches)  # (B, N, N)
    picks &= ~corruption.masked[:, :, None]
    masked = xp.asarray(corruption.masked[:, :, None].astype(z.dtype))
    return Tensor(xp.asarray(picks.astype(z.dtype))) @ z + mask * masked


def colour_targets(images: Array, patch: int, target: str) -> np.ndarray:
    """Return the colours to predict for each patch.  # ViT B.1.2

    Args:
        images: (B, H, W, 3), floats in [-1, 1].
        patch: P.
        target: "mean": the mean colour, with three bits a channel, as one of 512 numbers; "4x4": the same of each of 4
            x 4 parts of the patch; "pixels": all pixels.

    Returns:
        "mean": int64 (B, N, 1); "4x4": int64 (B, N, 16); "pixels": (B, N, P² C).

    Raises:
        ConfigError: for another target, images without three channels, or patches that 4 does not divide.
    """
    images = to_numpy(images)
    b, h, w, c = images.shape
    _check_target(target)
    if target == "pixels":
        return engine.patchify(Tensor(images), patch).data
    if c != 3:
        raise ConfigError(f"colours are predicted of images with 3 channels, not {c}")
    parts = 1 if target == "mean" else 4
    if patch % parts:
        raise ConfigError(f"4 x 4 parts do not divide patches of {patch} pixels")
    side = patch // parts
    grid = images.reshape(b, h // patch, parts, side, w // patch, parts, side, c)
    means = grid.mean(axis=(3, 6))  # (B, h, parts, w, parts, C)
    means = means.transpose(0, 1, 3, 2, 4, 5).reshape(b, -1, parts * parts, c)  # (B, N, parts², C)
    levels = np.clip(np.floor((means + 1.0) * (LEVELS / 2)), 0, LEVELS - 1).astype(np.int64)
    return levels @ np.array([LEVELS**2, LEVELS, 1])  # red, green and blue as the digits of one number


class MaskedPatchModel(Module):
    """A ViT that learns to predict the colours of corrupted patches.  # ViT §4.6, B.1.2

    Args:
        vit: the network to pre-train; its head is not used, and gets no gradient from now on.
        target: see `colour_targets`.
        seed: draws the mask token and the prediction layer.
    """

    def __init__(self, vit: ViT, target: str = "mean", seed: int = 0):
        config = vit.config
        if config.backbone is not None:
            raise ConfigError(
                "masked patch prediction is for models whose patches are the image's own, not for hybrids"
            )
        _check_target(target)
        rng = np.random.default_rng([seed, 7])
        outputs = {"mean": LEVELS**3, "4x4": 16 * LEVELS**3, "pixels": config.patch_size**2 * config.channels}
        self.target = target
        self.vit = vit
        for name, tensor in vit.named_parameters():
            if name.startswith(("head.", "distillation_head.")):
                tensor.requires_grad = False
        self.mask = parameter(init.normal((1, 1, config.dim), 0.02, rng))
        self.predict_colours = Linear(init.lecun_normal((config.dim, outputs[target]), rng))

    @property
    def config(self):
        """The configuration of the network inside."""
        return self.vit.config

    def forward(self, images: Tensor | Array, *, rng: np.random.Generator) -> tuple[Tensor, np.ndarray]:
        """Predict the colours of corrupted patches.

        Args:
            images: (B, H, W, C), floats in [-1, 1].
            rng: draws the corruption, then dropout's masks.

        Returns:
            Predictions (M, outputs) for the M corrupted patches of the batch in order, and which they are: bool (B, N).
        """
        z = self.vit.embed(images)  # (B, N, D)
        corruption = draw_corruption(z.shape[0], z.shape[1], rng)
        z = self.vit.encode(corrupt(z, self.mask, corruption), rng=rng, all_tokens=True)
        z = self.vit.encoder_norm(self.vit.patches(z))  # (B, N, D)
        picked = z.reshape(-1, z.shape[2])[xp_of(z.data).asarray(np.flatnonzero(corruption.corrupted))]  # (M, D)
        return self.predict_colours(picked), corruption.corrupted

    def loss(self, images: Array, *, rng: np.random.Generator) -> tuple[Tensor, int, int]:
        """Return the mean loss of the corrupted patches, how many colours were predicted right, and of how many.

        For "pixels" the loss is the mean squared difference, and nothing counts as right.

        Args:
            images: (B, H, W, C), floats in [-1, 1].
            rng: draws the corruption, then dropout's masks.
        """
        predicted, corrupted = self(images, rng=rng)
        wanted = colour_targets(images, self.vit.config.patch_size, self.target)[corrupted]  # (M, ...)
        if self.target == "pixels":
            difference = predicted - Tensor(xp_of(predicted.data).asarray(wanted, predicted.dtype))
            return (difference * difference).mean(), 0, 0
        logits = predicted.reshape(-1, LEVELS**3)  # (M, 512) or (16 M, 512)
        labels = xp_of(logits.data).asarray(wanted.reshape(-1))
        right = int((logits.data.argmax(axis=-1) == labels).sum())
        return engine.cross_entropy(logits, labels), right, len(labels)


def _check_target(target: str) -> None:
    if target not in TARGETS:
        raise ConfigError(f"the target of masked patch prediction must be one of {', '.join(TARGETS)}, not {target!r}")
