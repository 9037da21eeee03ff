"""What fine-tuning adds to training (ViT §3.2, Table 4): recipes, frozen parts, rates by layer, and a teacher."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .. import engine
from ..backend.arrays import Array
from ..engine.tensor import Tensor
from ..models import Classifier


@dataclass(frozen=True)
class Recipe:
    """A row of the paper's Table 4.

    All rows have SGD with momentum 0.9, batches of 512, cosine decay, no weight decay, and gradients clipped at 1.

    Attributes:
        steps: of the optimiser.
        rates: learning rates, of which one is chosen on held-out images.
    """

    steps: int
    rates: tuple[float, ...]


# ViT Table 4
RECIPES = {
    "imagenet": Recipe(20_000, (0.003, 0.01, 0.03, 0.06)),
    "cifar": Recipe(10_000, (0.001, 0.003, 0.01, 0.03)),
    "pets": Recipe(500, (0.001, 0.003, 0.01, 0.03)),
    "flowers": Recipe(500, (0.001, 0.003, 0.01, 0.03)),
    "vtab": Recipe(2_500, (0.01,)),
}


def freeze_all_but_head(model: Classifier) -> None:
    """Let training change only the head; of a distilled model, both heads."""
    heads = [part for name, part in model.named_parts() if name in ("head", "distillation_head")]
    of_head = {id(parameter) for head in heads for parameter in head.parameters()}
    for parameter in model.parameters():
        parameter.requires_grad = id(parameter) in of_head


def layer_scales(names: Iterable[str], depth: int, decay: float) -> dict[str, float]:
    """Return factors of the learning rate that fall by `decay` from each layer to the one below (arXiv 1801.06146).

    The head has 1, block i of `depth` has decay^(depth - i), and what comes before the blocks decay^(depth + 1).
    """
    return {name: decay ** (depth + 1 - _layer(name, depth)) for name in names}


def _layer(name: str, depth: int) -> int:
    """Return 0 for what comes before the blocks, i + 1 for block i, and depth + 1 for what comes after."""
    name = name.removeprefix("vit.")  # inside a MaskedPatchModel
    if match := re.match(r"(blocks|later_positions)\.(\d+)\.", name):
        return int(match[2]) + (1 if match[1] == "blocks" else 2)  # later positions i are block i + 1's
    before = name.startswith(("embedding.", "positions.", "backbone.", "root.")) or name == "cls"
    return 0 if before else depth + 1


def distillation_loss(
    logits: Tensor, labels: Array, teacher_logits: Array, weight: float, temperature: float, smoothing: float = 0.0
) -> Tensor:
    """Return the loss of soft distillation (arXiv 1503.02531).

    It is (1 - weight) CE(labels) + weight T² KL(teacher at T || student at T).

    Args:
        logits: (B, K), the student's.
        labels: as for `cross_entropy`.
        teacher_logits: (B, K); no gradient flows into them.
        weight: from 0 (no teacher) to 1 (no labels).
        temperature: T, above 0; both distributions are softmax(logits / T).
        smoothing: as for `cross_entropy`.
    """
    softened = Tensor(teacher_logits) * (1.0 / temperature)
    target = engine.softmax(softened).data  # (B, K)
    entropy = engine.cross_entropy(softened, target).item()
    soft = engine.cross_entropy(logits * (1.0 / temperature), target) - entropy  # the KL divergence
    hard = engine.cross_entropy(logits, labels, smoothing)
    return hard * (1.0 - weight) + soft * (weight * temperature**2)
