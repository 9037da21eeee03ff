"""What fine-tuning adds to training (ViT §3.2): a length for the data, frozen parts, rates by layer, and a teacher."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from .. import engine
from ..backend.arrays import Array
from ..engine.tensor import Tensor
from ..models import Classifier

# As many steps as the paper takes for small data sets (ViT Table 4), but few images are not seen too often, and many
# not too rarely. Its batches of 512 images are for large data sets: of 300 images, they would leave one step an epoch.
STEPS, LEAST_EPOCHS, MOST_EPOCHS = 500, 3.0, 30.0
MOST_EVALUATIONS = 20
BATCHES = ((2_000, 32), (20_000, 128))  # below so many images, batches of this size
LARGE_BATCH = 512
FIRST_PARTS = (  # what is below the first block or stage: in a ViT, a masked patch model and a ResNet
    "backbone", "embedding", "cls", "distillation_token", "registers", "positions", "embedding_norm", "mask", "root",
)  # fmt: skip
FEW_IMAGES = 5_000  # with fewer, crops keep half of an image or more: the part that tells its class stays in sight


def fitted_to_data(images: int, chosen: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the options of a fine-tuning run that the number of images decides, and a sentence.

    Args:
        images: how many there are to train on.
        chosen: the options that were chosen, by name.

    Returns:
        The options, without the chosen ones; the sentence, "" if no option is left.
    """
    batch = chosen.get("batch_size") or next((size for most, size in BATCHES if images < most), LARGE_BATCH)
    steps_per_epoch = -(-images // (batch * chosen.get("grad_accum_steps", 1)))
    epochs = min(MOST_EPOCHS, max(LEAST_EPOCHS, STEPS / steps_per_epoch))
    fitted: dict[str, Any] = {"batch_size": batch, "augment": "gentle" if images < FEW_IMAGES else "crop"}
    said = {"batch_size": f"batches of {batch}", "augment": "gentle crops" if images < FEW_IMAGES else "crops"}
    if chosen.get("steps"):
        epochs = chosen["steps"] / steps_per_epoch
    elif chosen.get("epochs"):
        epochs = chosen["epochs"]
    elif LEAST_EPOCHS < epochs < MOST_EPOCHS:
        fitted["steps"], said["steps"] = STEPS, f"{STEPS} steps ({epochs:.1f} epochs)"
    else:
        fitted["epochs"], said["epochs"] = epochs, f"{epochs:g} epochs"
    fitted["eval_every"] = float(max(1, math.ceil(epochs / MOST_EVALUATIONS)))
    said["eval_every"] = (
        "an evaluation every epoch"
        if epochs <= MOST_EVALUATIONS
        else (f"an evaluation every {fitted['eval_every']:g} epochs")
    )
    left = {name: value for name, value in fitted.items() if name not in chosen}
    words = [text for name, text in said.items() if name in left]
    return left, f"for {images:,} training images: {', '.join(words)}" if words else ""


def freeze_all_but_head(model: Classifier) -> None:
    """Let training change only the head; of a distilled model, both heads."""
    heads = [part for name, part in model.named_parts() if name in ("head", "distillation_head")]
    of_head = {id(parameter) for head in heads for parameter in head.parameters()}
    for parameter in model.parameters():
        parameter.requires_grad = id(parameter) in of_head


def number_of_layers(model: Classifier) -> int:
    """Return the number of blocks of a Vision Transformer, or of stages of a ResNet; 0 for a network of a script."""
    return len(getattr(model, "blocks", None) or getattr(model, "stages", ()))


def layer_scales(names: Iterable[str], depth: int, decay: float) -> dict[str, float]:
    """Return factors of the learning rate that fall by `decay` from each layer to the one below (arXiv 1801.06146).

    The head has 1, block i of `depth` has decay^(depth - i), and what comes before the blocks decay^(depth + 1). In a
    ResNet, the stages are the blocks.
    """
    return {name: decay ** (depth + 1 - _layer(name, depth)) for name in names}


def _layer(name: str, depth: int) -> int:
    """Return 0 for what comes before the blocks, i + 1 for block or stage i, and depth + 1 for what comes after."""
    name = name.removeprefix("vit.")  # inside a MaskedPatchModel
    if match := re.match(r"(blocks|stages|later_positions)\.(\d+)\.", name):
        return int(match[2]) + (2 if match[1] == "later_positions" else 1)  # later positions i are block i + 1's
    return 0 if name.partition(".")[0] in FIRST_PARTS else depth + 1


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
