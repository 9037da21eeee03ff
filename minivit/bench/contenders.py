"""The same work in each library: a training step, or inference, of the same model on the same images.

Each library is at its best documented setting. PyTorch: `scaled_dot_product_attention`, fused AdamW, gradients set to
None, `inference_mode`. JAX: one jitted function for the whole step, its buffers donated. minivit: what
`minivit train` does, threads over micro-batches.
"""

# pyright: reportMissingImports=false
# (PyTorch and JAX are there only where someone installed them)

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..engine.workers import Workers
from ..errors import ConfigError
from ..models import ViT, ViTConfig, create_model, model_config
from ..models.classifier import default_microbatch
from ..training.objectives import Classes
from ..training.optim import AdamW
from ..training.parallel import GradientSums, batch_gradients

Work = Callable[[np.ndarray, np.ndarray], object]  # one step on images (B, H, W, C) and labels (B,)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to do and how.

    Args:
        task: "train" or "infer".
        workers: the cores that each library gets.
        microbatch: images in one of minivit's passes; None for its default.
        checkpoint_blocks: let minivit compute each block a second time instead of keeping what backward needs.
        changes: fields of `ViTConfig` that differ from the named model's.
        all_tokens: let minivit too compute what the last block would do for tokens that the head never reads.
    """

    model: str
    task: str
    batch_size: int
    workers: int
    microbatch: int | None = None
    all_tokens: bool = False
    checkpoint_blocks: bool = False
    changes: dict[str, Any] = field(default_factory=dict)
    seed: int = 0

    def build(self) -> ViT:
        """The model, with minivit's initial weights."""
        model = create_model(self.model, seed=self.seed, **self.changes)
        model.skip_unused, model.checkpoint_blocks = not self.all_tokens, self.checkpoint_blocks
        return model

    def inputs(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The images and labels of step `number`."""
        rng = np.random.default_rng([self.seed, number])
        config = self.build_config()
        images = rng.standard_normal((self.batch_size, *config.image_shape), dtype=np.float32) * np.float32(0.5)
        return images, rng.integers(0, config.num_classes, self.batch_size)

    def build_config(self) -> ViTConfig:
        """The model's sizes.

        Raises:
            ConfigError: if the other libraries' twins, which are plain ViTs, have no such parts.
        """
        config = model_config(self.model, **self.changes)
        if not isinstance(config, ViTConfig) or config.backbone is not None:
            raise ConfigError(f"only plain Vision Transformers are measured beside other libraries, not {self.model}")
        return config


def minivit_work(job: Job, stack: ExitStack) -> Work:
    """Our own; `stack` closes the threads in the end."""
    model = job.build()
    workers = stack.enter_context(Workers(job.workers))
    if job.task == "infer":
        return lambda images, labels: model.predict(images, workers=workers)

    parameters = model.parameters()
    objective = Classes(model)
    optimizer = AdamW(model.named_parameters(), lr=1e-3)
    microbatch = job.microbatch or default_microbatch(model.config, job.batch_size)
    sums = GradientSums(parameters)

    def step(images: np.ndarray, labels: np.ndarray) -> None:
        result = batch_gradients(
            objective.loss, parameters, images, labels, workers=workers, microbatch=microbatch, sums=sums
        )
        optimizer.step(result.gradients)

    return step


def torch_work(job: Job, stack: ExitStack) -> Work:
    """PyTorch eager."""
    import torch

    from .torch_vit import TorchViT

    torch.set_num_threads(job.workers)
    torch.manual_seed(job.seed)
    model = TorchViT(job.build_config())
    if job.task == "infer":
        model.eval()

        def infer(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                return torch.softmax(model(torch.from_numpy(images)), -1).numpy()

        return infer

    kernels = [p for p in model.parameters() if p.ndim >= 2 and p.shape[0] > 1]
    others = [p for p in model.parameters() if p.ndim < 2 or p.shape[0] == 1]
    groups = [{"params": kernels, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, fused=True)

    def step(images: np.ndarray, labels: np.ndarray) -> None:
        optimizer.zero_grad(set_to_none=True)
        logits = model(torch.from_numpy(images))
        torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)).backward()
        optimizer.step()

    return step


def jax_work(job: Job, stack: ExitStack) -> Work:
    """JAX on the CPU, jitted."""
    import jax

    from . import jax_vit

    model = job.build()
    weights = {name: jax.numpy.asarray(array) for name, array in model.state().items()}
    if job.task == "infer":
        infer = jax.jit(lambda w, x: jax.nn.softmax(jax_vit.forward(w, x, model.config)))
        return lambda images, labels: np.asarray(infer(weights, images))

    train = jax_vit.training_step(model.config, AdamW(model.named_parameters(), lr=1e-3))
    zeros = {name: jax.numpy.zeros_like(array) for name, array in weights.items()}
    state = (0, zeros, {name: array.copy() for name, array in zeros.items()})
    held = [weights, state]

    def step(images: np.ndarray, labels: np.ndarray) -> None:
        held[:] = jax.block_until_ready(train(*held, images, labels))

    return step


LIBRARIES: dict[str, Callable[[Job, ExitStack], Work]] = {
    "minivit": minivit_work,
    "torch": torch_work,
    "jax": jax_work,
}


def installed_peers() -> list[str]:
    """The other libraries that are here to compare with."""
    return [name for name in LIBRARIES if name != "minivit" and importlib.util.find_spec(name)]
