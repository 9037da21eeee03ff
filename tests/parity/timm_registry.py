"""Every ViT in timm's registry, read with a config.json beside it and without: a table of what is right.

    python -m tests.parity.timm_registry [FILE]

Each name's model is made by timm itself, one block deep, of a few patches, with random weights in every array. A name
is right if the logits agree to 1e-5 with timm's; refused or asked for if minivit says why; wrong otherwise.
"""

import collections
import contextlib
import json
import re
import sys
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import numpy as np
import torch

# isort: off
import tests.parity.vision  # noqa: F401  before timm, which imports torchvision
import timm
from timm.models import _registry
from timm.models._hub import save_config_for_hf
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import Block, VisionTransformer

# isort: on
from minivit import load_model
from minivit.errors import MinivitError
from minivit.weights.formats.archive import Archive
from minivit.weights.load import identify
from minivit.weights.sources.families import family_of
from minivit.weights.sources.source import Hints
from minivit.weights.sources.timm import Timm
from tests.weights.files import write_safetensors

MODULES = ("vision_transformer", "deit")  # all of their names are counted, and these words in the names of others:
WORDS = {"vit", "samvit", "naflexvit", "deit", "deit3", "flexivit", "clip", "siglip", "dino", "dinov2", "dinov3"}
ACTIVATIONS = {"GELU": "erf", "GELUTanh": "tanh", "QuickGELU": "quick"}
TOLERANCE = 1e-5


def names():
    """The names of architectures, and of published weights, such as `vit_base_patch16_224.augreg_in1k`."""
    every = [*timm.list_models(), *timm.list_pretrained()]
    return [name for name in every if is_counted(name.partition(".")[0])]


def is_counted(architecture):
    return _registry._model_to_module[architecture] in MODULES or WORDS & set(architecture.split("_"))


# -- timm's models -------------------------------------------------------------------------------


@contextlib.contextmanager
def without_numbers():
    """Make models without numbers: initialisation, which is slow where arrays have none, does nothing."""
    with contextlib.ExitStack() as stack:
        for method in ("uniform_", "normal_", "erfinv_", "mul_", "add_", "clamp_", "fill_", "zero_", "div_"):
            stack.enter_context(mock.patch.object(torch.Tensor, method, lambda self, *_, **__: self))
        stack.enter_context(torch.device("meta"))
        yield


def on_meta(name, **changes):
    """A model without numbers, and the changes that it takes: other classes of networks take fewer."""
    for most in (changes, {k: v for k, v in changes.items() if k == "num_classes"}, {}):
        try:
            with without_numbers():
                return timm.create_model(name, **most), most
        except (TypeError, AssertionError, RuntimeError, ValueError):
            continue
    raise AssertionError(f"timm does not make {name}")


def small(name, whole):
    """A model of one block and six patches, with what is left over where patches do not divide the image."""
    changes = {"depth": 1}
    embed = getattr(whole, "patch_embed", None)
    if isinstance(whole, VisionTransformer) and not hasattr(embed, "backbone"):
        p = embed.patch_size[0]
        changes["img_size"] = tuple(k * p + side % p for k, side in zip((2, 3), embed.img_size, strict=True))
    if getattr(whole, "num_classes", 0):
        changes["num_classes"] = 5
    return on_meta(name, **changes)


def filled(model):
    """The model with random numbers in every array, of a size that keeps activations near 1."""
    model.to_empty(device="cpu")
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if not tensor.is_floating_point():
                tensor.zero_()
                continue
            width = tensor[0].numel() if tensor.ndim > 1 and "token" not in name and "pos_embed" not in name else 1
            numbers = rng.standard_normal(tensor.shape, np.float32) * (1.5 / width**0.5 if width > 1 else 0.3)
            is_scale = tensor.ndim == 1 and (name.endswith("weight") or "gamma" in name)
            tensor.copy_(torch.from_numpy(numbers + np.float32(is_scale)))
    return model.eval()


def arithmetic(model):
    """What the arrays do not show: heads, activation, epsilon and pooling."""
    block = model.blocks[0]
    gated = hasattr(block.mlp, "gate_last") or hasattr(block.mlp, "fc1_g")  # the activation is SiLU
    return {
        "heads": block.attn.num_heads,
        "gelu": "erf" if gated else ACTIVATIONS.get(type(block.mlp.act).__name__),
        "norm_eps": getattr(block.norm1, "eps", None),
        "classifier": {"avg": "gap"}.get(model.global_pool, model.global_pool),
    }


def pools_tokens_in_front(model):
    """Whether pooling reads class tokens and registers too, which minivit's does not."""
    return getattr(model, "pool_include_prefix", False) and model.num_prefix_tokens > 0


def is_plain(model):
    return type(model) in (VisionTransformer, VisionTransformerDistilled) and type(model.blocks[0]) is Block


# -- minivit's answers ---------------------------------------------------------------------------


def quietly(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()


def with_config(model, changes, folder, logits):
    """Return "right", "refused: ..." or "wrong: ..." for a file and its config.json, as timm writes it.

    Args:
        model: without numbers.
        changes: the arguments with which it was made.
        folder: to write into.
        logits: whether to compare logits; otherwise, what the arrays do not show.
    """
    save_config_for_hf(model, str(folder / "config.json"))
    config = json.loads((folder / "config.json").read_text())
    config["model_args"] = {**config.get("model_args", {}), **changes}
    (folder / "config.json").write_text(json.dumps(config))
    archive = names_and_shapes(model, folder)
    try:
        found = quietly(lambda: identify(archive, Hints())).description.config
    except MinivitError as error:
        return f"refused: {reason(error, folder)}"
    if problems := unknown_arrays(archive, found):
        return f"refused: {problems}"
    if not is_plain(model):
        return f"wrong: taken for {found}"
    if (answer := differences(model, found)) != "right" or not logits:
        return answer
    arrays = {name: tensor.numpy() for name, tensor in filled(model).state_dict().items()}
    write_safetensors(folder / "model.safetensors", arrays)
    return compared(model, quietly(lambda: load_model(folder)))


def compared(model, ours):
    shape = ours.config.image_shape
    images = np.random.default_rng(1).uniform(-1, 1, (2, *shape)).astype(np.float32)
    with torch.no_grad():
        expected = model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    found = ours(images).data
    if found.shape != expected.shape:
        return f"wrong: logits of shape {found.shape}, timm's {expected.shape}"
    error = float(np.abs(found - expected).max() / np.abs(expected).max())
    return "right" if error <= TOLERANCE else f"wrong: logits differ by {error:.1e}"


def differences(model, config):
    """Return "right", or what is wrong: an epsilon may be so, and logits of random weights still agree."""
    truth = arithmetic(model)
    found = {name: (getattr(config, name), value) for name, value in truth.items() if getattr(config, name) != value}
    if pools_tokens_in_front(model):
        found["pool_include_prefix"] = (False, True)
    return f"wrong: {found}" if found else "right"


def without_config(whole, folder):
    """Return what minivit takes the arrays of a whole model for, from their names and shapes alone."""
    archive = names_and_shapes(whole, folder)
    try:
        config = quietly(lambda: identify(archive, Hints())).description.config
        problems = quietly(lambda: unknown_arrays(archive, config))
    except MinivitError as error:
        return ("asked: " if " give " in str(error) else "refused: ") + reason(error, folder)
    if problems:
        return f"refused: {problems}"
    if not is_plain(whole):
        return f"wrong: taken for {config}"
    return differences(whole, config)


def names_and_shapes(model, folder):
    """What minivit reads of a file before any array."""
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    types = dict.fromkeys(shapes, "<f4")
    return Archive(folder / "model.safetensors", ".safetensors", shapes, types, {}, shapes.get, shapes.get)


def unknown_arrays(archive, config):
    """Return what `Timm.fill` would refuse before it reads an array; "" if nothing."""
    try:
        Timm()._checked_names(archive, config)
    except MinivitError as error:
        return family_of(archive.shapes) or reason(error, archive.path.parent)
    return ""


def reason(error, folder):
    text = str(error).replace(str(folder), "").replace("/model.safetensors", "it")
    return re.sub(r"^it \(timm's layout\) holds no model that fits: |^it holds |^/", "", text)


# -- the table -----------------------------------------------------------------------------------


@dataclass
class Table:
    """The answers for each name: with a config.json, and without."""

    answers: dict = field(default_factory=dict)

    def counts(self, column):
        return collections.Counter(answer[column].partition(":")[0] for answer in self.answers.values())

    def wrong(self):
        return [f"{name}: {answer}" for name, pair in self.answers.items() for answer in pair if "wrong" in answer]

    def text(self):
        lines = [f"{len(self.answers)} names of timm {timm.__version__}"]
        for column, what in enumerate(("with config.json", "without")):
            counts = ", ".join(f"{number} {answer}" for answer, number in self.counts(column).most_common())
            lines.append(f"{what}: {counts}")
            reasons = collections.defaultdict(list)
            for name, pair in self.answers.items():
                if pair[column] != "right":
                    architecture = name.partition(".")[0]
                    reasons[pair[column].replace(architecture, "NAME")].append(name)
            for answer, named in sorted(reasons.items(), key=lambda item: -len(item[1])):
                lines.append(f"  {len(named):4}  {answer}  [{named[0]} ...]")
        return "\n".join(lines)


def key_of(whole, model, changes):
    """Return what two names must share to get the same answers."""
    shapes = tuple((name, tuple(tensor.shape)) for name, tensor in model.state_dict().items())
    hidden = (*arithmetic(model).values(),) if is_plain(model) else (type(model).__name__,)
    hidden += (pools_tokens_in_front(model),)
    positions = getattr(getattr(whole, "patch_embed", None), "num_patches", 0)
    return (shapes, *hidden, str(sorted(changes.items())), positions, len(whole.state_dict()))


def kind_of(model):
    """Return what two models share that differ in widths alone."""
    if not is_plain(model):
        return None
    kept = {name: value for name, value in arithmetic(model).items() if name != "heads"}
    kept["pooled"] = pools_tokens_in_front(model)
    placed = model.pos_embed.shape[1] - model.patch_embed.num_patches
    rest = [side % model.patch_embed.patch_size[0] > 0 for side in model.patch_embed.img_size]
    return (tuple(model.state_dict()), *kept.values(), placed, *rest)


def table(thorough, progress=lambda name: None):
    """Return the answers for all names; names whose models are the same are tried once.

    Args:
        thorough: compare logits of all of them; otherwise, of the narrowest model of each kind, and of the others what
            the arrays do not show.
        progress: called with each name that is tried.
    """
    result, keys, models = Table(), {}, {}
    for name in names():
        weights = timm.get_pretrained_cfg(name)
        of_weights = (name.partition(".")[0], weights.input_size, bool(weights.num_classes)) if weights else name
        if of_weights not in keys:
            whole, _ = on_meta(name)
            model, changes = small(name, whole)
            keys[of_weights] = (name.partition(".")[0], *key_of(whole, model, changes))
            models.setdefault(keys[of_weights], (whole, model, changes))
        result.answers[name] = keys[of_weights]
    narrowest = {}
    for key, (_, model, _) in sorted(models.items(), key=lambda item: sum(p.numel() for p in item[1][1].parameters())):
        narrowest.setdefault(kind_of(model), key)
    answers = {}
    for key, (whole, model, changes) in models.items():
        progress(key[0])
        with tempfile.TemporaryDirectory() as folder:
            bare = without_config(whole, Path(folder))
            with_logits = thorough or key in narrowest.values()
            answers[key] = with_config(model, changes, Path(folder), with_logits), bare
        model.to_empty(device="meta")
    result.answers = {name: answers[key] for name, key in result.answers.items()}
    return result


if __name__ == "__main__":
    found = table(True, lambda name: print(name, file=sys.stderr, flush=True)).text()
    print(found)
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(found + "\n", encoding="utf-8")
