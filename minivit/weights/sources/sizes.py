"""A model's sizes, read off the names and shapes of its arrays: what the sources share.

Three sizes are not in the shapes: the number of heads of a PyTorch file, the grid of patches that the position
embeddings belong to, and the image size of a model without position embeddings. The caller's word counts first, then
that of a `config.json`. What is taken from a published model, or from a square grid, is noted in `hints.assumed`.
"""

from __future__ import annotations

import itertools
import math
import re

from ...errors import CheckpointError, ConfigError
from ...models.names import SIZES
from ...utils.notices import notice
from ...utils.text import listed, printable, quoted
from ..formats.archive import Shapes
from .sidecar import place_of
from .source import Hints

# Published models by width, depth and MLP width: name and heads, for files that do not say how many heads they have.
PUBLISHED: dict[tuple[int, int, int], tuple[str, int]] = {
    **{(size["dim"], size["depth"], size["mlp_dim"]): (f"ViT-{name}", size["heads"]) for name, size in SIZES.items()},
    (1152, 27, 4304): ("ViT-SO400M", 16),  # arXiv 2305.13035
    (1408, 40, 6144): ("ViT-g", 16),  # arXiv 2106.04560
    (1664, 48, 8192): ("ViT-G", 16),  # the same
    (1536, 40, 4096): ("DINOv2's ViT-g", 24),  # arXiv 2304.07193, with gated MLPs
    (256, 10, 1024): ("TinyCLIP's 8M", 4),  # arXiv 2309.12314
    (512, 12, 2048): ("DeiT III's ViT-M", 8),  # arXiv 2204.07118
    (384, 36, 1536): ("timm's vit_small_patch16_36x1", 6),  # arXiv 2203.09795
    (256, 14, 1280): ("timm's vit_wee", 4),
    (320, 14, 1792): ("timm's vit_little", 5),
    (512, 20, 2048): ("timm's vit_mediumd", 8),
    (640, 12, 2560): ("timm's vit_betwixt", 10),
    (832, 21, 2176): ("timm's vit_so150m2", 13),
    (896, 12, 3584): ("timm's vit_base_plus", 14),
    (896, 18, 2304): ("timm's vit_so150m", 14),
}
NARROW = 32  # half of the narrowest published head: a narrower model is assumed to have one head, which is said

NEVER = r"a^"  # a pattern that matches no text

AVERAGED = {"ema", "averaged", "swa"}  # words in the prefix of weights that were averaged during training
TEACHER, STUDENT = "teacher", "student"  # beside a student, the teacher is its average, as in DINO

# What training keeps beside the model: names of arrays outside the model's prefix.
BESIDE_THE_MODEL = re.compile(
    r"((\w*_)?(optim|optimizers?)(_\w+)?|opt(_\w+)?|(\w*_)?schedulers?(_\w+)?|(fp16_|grad_|loss_)?scaler(_\w+)?|amp"
    r"|([^.]+\.)*state\.[0-9]+\.\w+$|n_averaged"  # any optimiser of PyTorch: its state has a number for each parameter
    r"|\w*loss(_fn|_fct|_func|_function)?|criterion|loops|callbacks|(\w*_)?rng(_\w+)?|(\w*_)?metrics?"
    r"|(\w*_)?(acc|accuracy|f1|auroc|auc|precision|recall|confmat|confusion_matrix))(\.|$)"  # torchmetrics in Lightning
    r"|(head\.(mlp\.|last_layer\.)|(dino|ibot)_head\.)"  # the projection heads of DINO and iBOT
)


# -- names ---------------------------------------------------------------------------------------


def prefix_of(shapes: Shapes, landmark: str, skip: str = NEVER) -> str:
    """Return the prefix before `landmark` in the names of the model's arrays, such as `module.`; "" if there is none.

    A file may hold the model several times, each copy under its own prefix. Then this is the rule:

    1. Copies that `skip` finds, such as those in an optimiser's state, do not count.
    2. If one copy is an average of the weights during training, it is taken: timm evaluates `state_dict_ema`, and the
       authors of DINO (arXiv 2104.14294) evaluate the teacher of a student. `SlotSource.describe` says so in a notice.
       Another teacher, such as that of a distillation, is not known to be an average. An average has the sizes of
       another copy.
    3. Else the copy without a prefix is taken; what the others hold is then unknown to the source, which refuses it.
    4. Else the file does not tell which one is meant: an error lists the prefixes.

    Args:
        shapes: the shapes of a file's arrays by name.
        landmark: the end of a name that every file of the source has once.
        skip: a pattern; names that it finds are not looked at.

    Raises:
        CheckpointError: if there are several copies and the rule takes none.
    """
    prefixes = {
        name.removesuffix(landmark)
        for name in shapes
        if re.search(rf"(^|[/.]){re.escape(landmark)}$", name) and not re.search(skip, name)
    }
    words = {prefix: set(re.split(r"[._/]", prefix)) for prefix in prefixes}
    averaged = [prefix for prefix in prefixes if words[prefix] & (AVERAGED | {TEACHER})]
    if not any(STUDENT in each for each in words.values()):
        averaged = averaged if len(averaged) > 1 else [prefix for prefix in averaged if words[prefix] & AVERAGED]
    if len(averaged) == 1 and any(_are_copies(shapes, averaged[0], other) for other in prefixes - {averaged[0]}):
        return averaged[0]
    if len(prefixes) > 1 and "" not in prefixes:
        raise CheckpointError(f"it holds several models: {listed(sorted(prefixes))}; keep the arrays of one of them")
    return min(prefixes, key=len, default="")


def _are_copies(shapes: Shapes, one: str, other: str) -> bool:
    """Return whether the parts that are there under both prefixes have arrays of the same names and shapes.

    A part that one of them lacks does not count: iBOT's student has an embedding of masked patches, its teacher none.
    """

    def by_part(prefix: str) -> dict[str, Shapes]:
        found: dict[str, Shapes] = {}
        for name, shape in shapes.items():
            if name.startswith(prefix):
                short = name.removeprefix(prefix)
                found.setdefault(re.split(r"[./]", short, maxsplit=1)[0], {})[short] = shape
        return found

    first, second = by_part(one), by_part(other)
    return all(first[part] == second[part] for part in first.keys() & second.keys())


def names_of_model(shapes: Shapes, landmark: str, skip: str = NEVER) -> dict[str, str]:
    """Return the names of the model's arrays without the prefix of its wrappers, by their names in the file.

    An array beside the wrapped model loses the part of the prefix that it shares: of `module.vit.cls_token` and
    `module.classifier.weight`, the second becomes `classifier.weight`. Left out are other copies of the model, and what
    training keeps beside it: optimisers, losses, and projection heads of self-supervised training. Any other array
    beside the model keeps its name: it is the head, or the source refuses it as unknown.

    Args:
        shapes, landmark, skip: as `prefix_of` takes them.
    """
    prefix = prefix_of(shapes, landmark, skip)
    others = [name.removesuffix(landmark) for name in shapes if name.endswith(landmark) and name != prefix + landmark]
    copies = tuple(_first_difference(other, prefix) for other in others) if prefix else ()
    names: dict[str, str] = {}
    shares: dict[str, int] = {}  # how much of the prefix an array shares, by its short name
    for name in sorted(shapes, key=lambda name: -len(_shared(name, prefix))):
        shared = _shared(name, prefix)
        short = name.removeprefix(shared)
        if shared != prefix and (name.startswith(copies) or BESIDE_THE_MODEL.match(short)):
            continue
        if copies and len(shared) < shares.setdefault(short, len(shared)):
            continue  # the head of another copy, if that copy has no prefix
        names[name] = short
    return names


def _shared(name: str, prefix: str) -> str:
    """Return the parts that a name and a prefix have in common from their beginning on, with their dots."""
    pairs = zip(_parts(name), _parts(prefix), strict=False)
    return "".join(ours for ours, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _first_difference(other: str, prefix: str) -> str:
    """Return another copy's prefix up to its first part that `prefix` does not have.

    Of `student.backbone.` beside `teacher.backbone.`, that is `student.`.
    """
    shared = _shared(other, prefix)
    return shared + "".join(_parts(other.removeprefix(shared))[:1])


def _parts(name: str) -> list[str]:
    """Return the parts of a name, each with the dot or slash behind it."""
    return re.findall(r"[^./]*[./]|[^./]+$", name)


def names_behind_prefix(shapes: Shapes, landmark: str, skip: str = NEVER) -> dict[str, str]:
    """Return names without the prefix that stands before `landmark`; arrays without that prefix are left out.

    Args:
        shapes, landmark, skip: as `prefix_of` takes them.
    """
    prefix = prefix_of(shapes, landmark, skip)
    return {name: name.removeprefix(prefix) for name in shapes if name.startswith(prefix)}


def count(shapes: Shapes, pattern: str, first: int = 0) -> int:
    """Return how many numbers the pattern's group takes in the names: from `first` on, without a gap.

    A name may hold any number. A gap is refused, so that one name never makes a model of a billion blocks.

    Args:
        shapes: the shapes of the arrays by name.
        pattern: matches the beginning of a name; its group is a number.
        first: the smallest number.

    Raises:
        CheckpointError: if a number is missing below the highest one.
    """
    found: dict[int, str] = {}
    for name in shapes:
        if match := re.match(pattern, name):
            number = int(match[1]) if len(match[1]) < 10 else 10**9
            found[number] = name[: match.start(1)]
    highest = max(found, default=first - 1)
    absent = next((number for number in range(first, highest) if number not in found), None)
    if absent is not None:
        others = highest - first - len(found)
        more = f" and {others:,} more are" if others else " is"
        raise CheckpointError(
            f"{printable(found[highest], 60)}{absent}{more} missing: the numbers go up to {highest:,}"
        )
    return highest - first + 1


# -- shapes --------------------------------------------------------------------------------------


def shape_of(shapes: Shapes, name: str, axes: int) -> tuple[int, ...]:
    """Return the shape of an array that the model's sizes are read from.

    Raises:
        CheckpointError: if there is no such array, or it has another number of axes, or one of length 0.
    """
    if name not in shapes:
        raise CheckpointError(f"{name} is missing")
    if len(shapes[name]) != axes:
        raise CheckpointError(f"{name} has shape {shapes[name]}; {axes} axes are expected")
    if 0 in shapes[name]:
        raise CheckpointError(f"{name} has shape {shapes[name]}, which is empty: no axis may have length 0")
    return shapes[name]


def width_of(shapes: Shapes, name: str, axis: int) -> int:
    """Return the length of one axis of an array that a model may lack; 0 without the array, or if it has no axes."""
    return shapes[name][axis] if shapes.get(name) else 0


def check_square_patches(shape: tuple[int, ...], height: int, width: int) -> None:
    """Raise CheckpointError if the patches of an embedding kernel of this shape are not square."""
    if height != width:
        raise CheckpointError(f"its patches have {height} x {width} pixels (shape {shape}): minivit's are square")


def patch_sizes(shapes: Shapes, kernel: str) -> tuple[int, int, int]:
    """Return what a PyTorch patch embedding shows: the width of a token, the image's channels, the patches' pixels.

    Args:
        shapes: of the arrays by their standard names.
        kernel: the name of the patch embedding's, whose shape is (D, C, P, P).

    Raises:
        CheckpointError: if there is no such array, or its patches are not square.
    """
    dim, channels, patch_size, width = shape = shape_of(shapes, kernel, 4)
    check_square_patches(shape, patch_size, width)
    return dim, channels, patch_size


# -- the grid and the image ----------------------------------------------------------------------


def grid_of_positions(
    tokens: int, fronts: tuple[int, ...], hints: Hints, patch_size: int, stride: int = 1
) -> tuple[int, int]:
    """Return the (rows, columns) of patches that position embeddings belong to.

    Args:
        tokens: the number of position embeddings.
        fronts: how many of them may belong to tokens in front of the patches, such as (1, 0) for a class token with
            an embedding or without one; the most usual number first.
        hints: what the caller and other files say.
        patch_size: cells of the feature map that a patch spans; without a backbone, pixels.
        stride: pixels that a cell spans.

    Raises:
        ConfigError: if the number fits neither the given grid or size nor a square.
    """
    counts = tuple(tokens - front for front in fronts)
    if hints.grid is not None:
        if math.prod(hints.grid) in counts:
            return hints.grid
        rows, columns = map(quoted, hints.grid)
        raise ConfigError(f"{tokens} position embeddings do not fit {rows} x {columns} patches: give another grid")
    sizes = hints.image_size, hints.sidecar.image_size
    asked, said = (size and _grid_of_image(size, patch_size, stride) for size in sizes)
    if asked and math.prod(asked) == counts[0]:
        return asked
    if said and math.prod(said) in counts:
        return said
    if hints.sidecar.image_size is not None:
        if asked and math.prod(asked) in counts:
            return asked
        height, width = hints.sidecar.image_size
        raise ConfigError(
            f"{tokens} position embeddings do not fit {height} x {width} pixels, the size in "
            f"{place_of(hints.sidecar.source_of('image_size'))}: give image_size or grid"
        )
    squares = [patches for patches in counts if patches > 0 and math.isqrt(patches) ** 2 == patches]
    if asked and math.prod(asked) in squares:
        return asked
    if len(squares) > 1:
        raise ConfigError(
            f"{tokens} position embeddings fit several grids: give grid=(rows, columns) or image_size (--grid, "
            "--image-size)"
        )
    if squares:
        side = math.isqrt(squares[0])
        hints.assumed.append(f"grid=({side}, {side})")
        return side, side
    if asked and math.prod(asked) in counts:
        return asked
    asked_for = "give grid=(rows, columns) or image_size (--grid, --image-size)"
    if 1 not in fronts and math.isqrt(tokens - 1) ** 2 == tokens - 1 > 0:
        asked_for = "is the class token missing? If not, give --grid or --image-size"
    raise ConfigError(f"{tokens} position embeddings do not fit a square grid: {asked_for}")


def _grid_of_image(size: tuple[int, int], patch_size: int, stride: int) -> tuple[int, int]:
    """Return the grid of patches of an image, as `ViTConfig.grid`: the rest that no patch covers does not count."""
    height, width = (-(-side // stride) for side in size)  # a feature map is rounded up
    return height // patch_size, width // patch_size


def image_of_grid(grid: tuple[int, int], hints: Hints, patch_size: int) -> tuple[tuple[int, int], bool]:
    """Return the (height, width) of a model's images, and whether they have a rest that no patch covers.

    Args:
        grid: the patches (rows, columns).
        hints: what the caller and other files say.
        patch_size: pixels.
    """
    exact = grid[0] * patch_size, grid[1] * patch_size
    for size in (hints.sidecar.image_size, hints.image_size):
        if hints.grid is None and size and _grid_of_image(size, patch_size, 1) == grid:
            if size not in (exact, hints.sidecar.image_size):
                notice(
                    f"images of {size[0]} x {size[1]} pixels have a rest beside patches of {patch_size} pixels: the "
                    f"model reads {exact[0]} x {exact[1]} of them"
                )
            return size, size != exact
    return exact, False


def size_without_positions(hints: Hints, patch_pixels: int) -> tuple[int, int]:
    """Return the image's (height, width) for a file without position embeddings, where any size works.

    Args:
        hints: what the caller and other files say.
        patch_pixels: pixels of the image that a patch spans.
    """
    if hints.grid is not None:
        return hints.grid[0] * patch_pixels, hints.grid[1] * patch_pixels
    if given := hints.image_size or hints.sidecar.image_size:
        return given
    side = max(1, 224 // patch_pixels) * patch_pixels
    hints.assumed.append(f"image_size={side}")
    return side, side


def shortest_size(size: tuple[int, int]) -> int | tuple[int, int]:
    """Return one number for a square image, and the (height, width) of any other."""
    return size[0] if size[0] == size[1] else size


# -- heads ---------------------------------------------------------------------------------------


def heads_of(dim: int, hints: Hints, depth: int, mlp_dim: int) -> int:
    """Return the number of attention heads that is given, or that of the published model of these sizes.

    Args:
        dim: the width of a token.
        hints: what the caller and other files say.
        depth: the number of blocks.
        mlp_dim: the width of the MLP.

    Raises:
        ConfigError: if nothing says how many, or the number does not divide the width.
    """
    heads = hints.heads or hints.sidecar.heads or _published_heads(dim, hints, depth, mlp_dim)
    if heads is None:
        raise ConfigError(
            f"neither the file nor a config.json beside it says how many heads its {depth} blocks of width {dim} have: "
            "give heads (--heads)"
        )
    if dim % heads:
        name = "heads in" if "heads" in hints.sidecar.noted else "num_attention_heads of"
        whose = "heads" if hints.heads else f"{name} {hints.sidecar.source_of('heads')}"
        raise ConfigError(f"{whose} must divide dim = {dim}, not {heads}")
    return heads


def _published_heads(dim: int, hints: Hints, depth: int, mlp_dim: int) -> int | None:
    if depth == 0:
        known = (heads for (width, *_), (_, heads) in PUBLISHED.items() if width == dim)
        return next(known, None) or _any_heads(dim)  # without attention, nothing depends on it
    if (dim, depth, mlp_dim) in PUBLISHED:
        name, heads = PUBLISHED[dim, depth, mlp_dim]
        hints.assumed.append(f"heads={heads} as {name} has")
        return heads
    if dim < NARROW:
        hints.assumed.append("heads=1")
        return 1
    return None


def _any_heads(dim: int) -> int:
    """Return a number of heads that divides the width."""
    return dim // 64 if dim >= 64 and dim % (dim // 64) == 0 else 1
