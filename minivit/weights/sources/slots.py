"""Sources whose files hold named arrays and nothing else: the mapping is a list of slots.

A slot connects one array of a file with one parameter of the model: the name on either side, the shape in the file and
the order of its axes. One array may be a third of a parameter, since minivit keeps queries, keys and values in one. The
same list serves reading and writing.
"""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...backend.arrays import to_numpy
from ...errors import CheckpointError, ConfigError, SaveError
from ...models.classifier import Classifier
from ...models.configs import AnyConfig, ViTConfig
from ...nn.module import misfit
from ...preprocessing import Preprocessing, joined, preprocessing_in
from ...utils.notices import notice
from ...utils.text import listed, printable
from ..adapt import with_learned_positions
from ..formats.archive import Archive, Arrays, Shapes, converted, refuse_non_finite, refuse_other_types, write_archive
from .notes import images_in_note, note_of, say_what_is_not_noted, uses_gelu
from .sidecar import OWN_NOTE, Sidecar
from .source import Description, Header, Hints, Source

QUERY, KEY, VALUE = range(3)
LINEAR_AXES = (1, 0)  # PyTorch's linear kernels are (out, in)
CONVOLUTION_AXES = (2, 3, 1, 0)  # and those of its convolutions (out, in, h, w)

# Options of a ViT that need no place in a layout: sizes that arrays show, dropout, and arithmetic that no array shows.
WITHOUT_A_PLACE = {
    "image_size", "patch_size", "dim", "depth", "heads", "mlp_dim", "num_classes", "dropout", "attention_dropout",
    "stochastic_depth", "gelu", "norm_eps",
}  # fmt: skip

OF_BLOCKS = {"mlp_dim", "layer_scale", "qkv_bias", "qk_norm", "gated_mlp"}  # options that no array shows without blocks


class _Anything:
    """Every value is in it."""

    def __contains__(self, value: object) -> bool:
        return True


ANY_VALUE = _Anything()


@dataclass(frozen=True)
class Slot:
    """The place of one array of a file in the model.

    Attributes:
        theirs: the array's name in the file, without a wrapper's prefix.
        shape: its shape in the file.
        ours: the name of minivit's parameter.
        axes: the order in which its axes are taken, before it is reshaped to the parameter; None keeps the order.
        third: QUERY, KEY or VALUE if it is one third of the parameter's last axis.
        share: (first, last, parts) if it is another share of the last axis, which is cut into `parts` equal parts:
            (1, 3, 3) is keys and values.
        optional: whether files may lack it; the parameter then stays as it is built, such as a bias of zeros.
    """

    theirs: str
    shape: tuple[int, ...]
    ours: str
    axes: tuple[int, ...] | None = None
    third: int | None = None
    share: tuple[int, int, int] | None = None
    optional: bool = False

    def put(self, array: np.ndarray, state: Arrays) -> None:
        """Copy an array of the file into its parameter."""
        # The file's array may have more or fewer axes of length 1, see `fits`.
        array = array if self.axes is None else array.reshape(self.shape).transpose(self.axes)
        place = self.place(state[self.ours])
        place[...] = array.reshape(place.shape)

    def get(self, state: Arrays) -> np.ndarray:
        """Return the array as the file has it, from its parameter."""
        axes = self.axes or tuple(range(len(self.shape)))
        transposed_shape = tuple(self.shape[axis] for axis in axes)
        inverse = tuple(axes.index(axis) for axis in range(len(axes)))
        return np.ascontiguousarray(self.place(state[self.ours]).reshape(transposed_shape).transpose(inverse))

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Return whether an array of this shape belongs here.

        Axes of length 1 do not count: some versions store a norm's scale as (1, 1, 1, C), others as (C,).
        """
        lengths = [length for length in shape if length != 1]
        return lengths == [length for length in self.shape if length != 1]

    def place(self, parameter: np.ndarray) -> np.ndarray:
        """Return the part of a parameter that the array fills, as a view: all of it, or a share of its last axis."""
        if self.share is not None:
            first, last, parts = self.share
        elif self.third is not None:
            first, last, parts = self.third, self.third + 1, 3
        else:
            return parameter
        width = parameter.shape[-1] // parts
        return parameter[..., first * width : last * width]


class SlotSource(Source):
    """A source whose files hold named arrays and nothing else.

    Names in a file may have a prefix from a wrapper (`module.`, `params/`) and differ between versions. Standard names
    are those of one version without a prefix; `infer` and `slots` speak of these.

    Attributes:
        landmark: finds a name that every file of the source has, and no file of a source that is asked later.
        shows_heads: whether the shapes show the number of attention heads.
        names_what_is_left_out: whether a notice names arrays that have no standard name.
        ignored: finds names of arrays that are not part of the model and need no notice, such as an optimiser's state.
        positions: the kinds of positions that the layout has a place for.
    """

    landmark: ClassVar[re.Pattern[str]]
    shows_heads: bool = False
    names_what_is_left_out: bool = False
    ignored: ClassVar[re.Pattern[str]] = re.compile(r"a^")  # matches nothing
    positions: ClassVar[tuple[str, ...]] = ("learned",)

    @abstractmethod
    def standard_names(self, shapes: Shapes) -> dict[str, str]:
        """Return the standard name of each array, by its name in the file; arrays outside the model are left out."""

    @abstractmethod
    def infer(self, shapes: Shapes, hints: Hints) -> AnyConfig:
        """Return the configuration of the model with arrays of these shapes.

        Args:
            shapes: the shapes of the arrays, by their standard names.
            hints: what the caller and other files say.

        Raises:
            CheckpointError, ConfigError: if the shapes are not those of a model that minivit has.
        """

    @abstractmethod
    def slots(self, config: Any) -> Iterator[Slot]:
        """Yield the place of every array of a model, under its standard name."""

    def as_written(self, model: Classifier) -> Classifier:
        """Return the model with learned positions, if the layout has no place for its kind; a notice says so.

        Raises:
            ConfigError: if the layout has no place for another part.
        """
        kind = getattr(model.config, "positions", "")
        written = model if kind in self.positions else with_learned_positions(model)
        self.check_writable(written.config)
        if written is not model:
            notice(
                f"{self.name} has only learned position embeddings: the {kind} positions are written as such a table"
            )
        return written

    def check_writable(self, config: AnyConfig) -> None:
        """Raise ConfigError if a model has a part that the layout has no place for."""

    def recognises(self, archive: Archive) -> bool:
        """Return whether a file has the landmark."""
        return any(self.landmark.search(name) for name in archive.shapes)

    def describe(self, archive: Archive, hints: Hints) -> Description:
        """Return the configuration that the arrays have, and the names of classes from a file beside the weights."""
        path, sidecar = printable(archive.path), hints.sidecar
        try:
            names = self.standard_names(archive.shapes)
            archive.refuse_unreadable(names)
            config = self.infer({standard: archive.shapes[name] for name, standard in names.items()}, hints)
        except (ConfigError, CheckpointError) as error:
            raise CheckpointError(f"{path} ({self.name}'s layout) holds no model that fits: {error}") from error
        absent = set() if getattr(config, "depth", 1) else OF_BLOCKS
        absent |= set() if config.num_classes else {"num_classes"}
        for option, size in sidecar.sizes.items():
            if option not in absent and getattr(config, option) != size:
                raise CheckpointError(
                    f"{path} has {option} = {getattr(config, option)}, but {sidecar.source} beside it says {size}: one "
                    "of the two belongs to another model"
                )
        for name in ("mean", "std"):
            values = sidecar.preprocessing.get(name, (0.5,))
            count = 1 if values == values[:1] * 3 else len(values)  # one grey for RGB is beside grey models too
            if count not in (1, config.channels):
                where = OWN_NOTE if name in sidecar.noted else f"{sidecar.preprocessing_source} beside it"
                raise CheckpointError(
                    f"{path} takes images of {config.channels} channels, but {where} has a {name} of {count}: one of "
                    "the two belongs to another model"
                )
        if config.num_classes == 1:
            notice(
                f"{path}: its head has one output, as for a yes-no question or a number: predict's probability, a "
                "softmax of one class, is always 1; model(images) returns the output"
            )
        self._say_which_copy(archive, names)
        known = sidecar.classes is not None and len(sidecar.classes) == config.num_classes
        if sidecar.classes is not None and config.num_classes and not known:
            where = f"{path}: its own note" if "classes" in sidecar.noted else f"{sidecar.source} beside {path}"
            notice(
                f"{where} names {len(sidecar.classes):,} classes, but the head has {config.num_classes:,}: the names "
                "are not used"
            )
        header = {"classes": list(sidecar.classes or ())} if known else {}
        return Description(config, header | images_in_note(archive, sidecar))

    def _say_which_copy(self, archive: Archive, names: Mapping[str, str]) -> None:
        """Give a notice if a file holds an average of the weights beside the weights, and which of them is taken."""
        ends = {name: match.start() for name in archive.shapes if (match := self.landmark.search(name))}
        taken = [name[:end] for name, end in ends.items() if name in names]
        others = [name[:end] for name, end in ends.items() if name not in names and not self.ignored.search(name)]
        if taken and others:
            notice(
                f"{printable(archive.path)} holds the model {1 + len(others)} times: {_shown(taken[0])} was taken, the "
                f"average that its authors evaluate, not {listed(others, 3) or 'the other'}"
            )

    def fill(self, model: Classifier, archive: Archive, description: Description) -> None:
        """Copy the arrays of a file into the model."""
        names = self._checked_names(archive, description.config)
        path, state = printable(archive.path), model.state_dict()
        place = {name: i for i, name in enumerate(archive.shapes)}
        slots = [slot for slot in self.slots(description.config) if slot.theirs in names]  # the others are optional
        for slot in sorted(slots, key=lambda slot: place[names[slot.theirs]]):  # in the file's order
            name = names[slot.theirs]
            array = archive.read(name)
            refuse_other_types(array, f"{path}: {_shown(name)}")
            refuse_non_finite(array, f"{path}: {_shown(name)}")
            slot.put(converted(array, state[slot.ours].dtype, f"{path}: {_shown(name)}"), state)
        if self.names_what_is_left_out:
            self._name_what_is_left_out(archive, set(names.values()))

    def check(self, archive: Archive, description: Description) -> None:
        """Check that the file has an array of the right shape for each slot."""
        self._checked_names(archive, description.config)

    def _checked_names(self, archive: Archive, config: AnyConfig) -> dict[str, str]:
        """Return the name of each array in the file by its standard name, if all are there and fit the model."""
        names: dict[str, str] = {}
        problems = []
        for name, standard in self.standard_names(archive.shapes).items():
            if standard in names:
                problems.append(f"{_shown(name)} and {_shown(names[standard])} name the same array: keep one")
            names[standard] = name
        slots = {slot.theirs: slot for slot in self.slots(config)}
        problems += [
            f"{theirs} is missing" for theirs, slot in slots.items() if not slot.optional and theirs not in names
        ]
        problems += [f"{_shown(name)} is unknown" for standard, name in names.items() if standard not in slots]
        problems += [
            f"{_shown(names[standard])} has shape {archive.shapes[names[standard]]} instead of {slot.shape}"
            for standard, slot in slots.items()
            if standard in names and not slot.fits(archive.shapes[names[standard]])
        ]
        if problems:
            raise CheckpointError(misfit(f"{printable(archive.path)} ({self.name}'s layout)", problems))
        return names

    def _name_what_is_left_out(self, archive: Archive, used: set[str]) -> None:
        """Give a notice of arrays outside the model, except single numbers such as a temperature."""
        left_out = [
            name
            for name, shape in archive.shapes.items()
            if name not in used and math.prod(shape) > 1 and not self.ignored.search(name)
        ]
        if left_out:
            notice(
                f"{printable(archive.path)} holds more than the model; these arrays were left out: "
                f"{listed(left_out, most=3)}"
            )

    def arrays_of(self, model: Classifier) -> Arrays:
        """Return a model's parameters under the source's names and with its shapes.

        Raises:
            ConfigError: if the model has a part that the layout has no place for.
            SaveError: if weights are nan or infinite.
        """
        self.check_writable(model.config)
        state = {name: to_numpy(array) for name, array in model.state_dict().items()}
        for name, array in state.items():
            if not np.isfinite(array).all():
                raise SaveError(f"{name} holds numbers that are nan or infinite: nothing was written")
        return {slot.theirs: slot.get(state) for slot in self.slots(model.config)}

    def write(self, model: Classifier, path: str | Path, header: Header | None) -> None:
        """Write a model's arrays, if this source has a layout that is written, with a note for minivit.

        A .npz file has no place for the note: a notice names what it would say.
        """
        if self.layout is None:
            super().write(model, path, header)
        self.write_arrays(model, path, self.arrays_of(model))

    def write_arrays(self, model: Classifier, path: str | Path, arrays: Arrays, **text: str) -> None:
        """Write arrays with a note on their model, and with other texts, if the file has a place for them.

        Args:
            model: the model.
            path: ends in .npz or .safetensors.
            arrays: by their names in this layout.
            **text: more metadata of a .safetensors file, by name.
        """
        has_place = Path(path).suffix == ".safetensors"
        write_archive(path, arrays, {**text, **note_of(model)} if has_place else None)
        if not has_place:
            convention, _ = self.convention(model.config, Sidecar())
            as_read = self._as_read(model.config, arrays)
            say_what_is_not_noted(model, path, self.name, self.shows_heads, as_read, convention)

    def _as_read(self, config: AnyConfig, arrays: Arrays) -> AnyConfig | None:
        """Return the configuration that arrays are taken for, if heads and image size are given; None if more is asked.

        Args:
            config: of the model that they are of.
            arrays: by their names in a file.
        """
        if not isinstance(config, ViTConfig):
            return config
        names = self.standard_names({name: array.shape for name, array in arrays.items()})
        shapes = {standard: arrays[name].shape for name, standard in names.items()}
        try:
            return self.infer(shapes, Hints(config.heads, config.grid, config.image_shape[:2]))
        except (ConfigError, CheckpointError):
            return None


def linear_slots(
    theirs: str,
    ours: str,
    width_in: int,
    width: int,
    third: int | None = None,
    share: tuple[int, int, int] | None = None,
    optional_bias: bool = False,
) -> Iterator[Slot]:
    """Yield the slots of a linear layer of PyTorch, whose kernel is (out, in).

    Args:
        theirs, ours: the layer's name in the file, and minivit's.
        width_in, width: of the file's layer.
        third, share: the part of minivit's layer that it is, as `Slot` takes them.
        optional_bias: whether files may lack the bias, which then is zero.
    """
    yield Slot(f"{theirs}.weight", (width, width_in), f"{ours}.weight", LINEAR_AXES, third, share)
    yield Slot(f"{theirs}.bias", (width,), f"{ours}.bias", None, third, share, optional_bias)


def attention_slots(theirs: str, ours: str, dim: int) -> Iterator[Slot]:
    """Yield the slots of PyTorch's `nn.MultiheadAttention`, which keeps queries, keys and values in one, as minivit."""
    yield Slot(f"{theirs}.in_proj_weight", (3 * dim, dim), f"{ours}.qkv.weight", LINEAR_AXES)
    yield Slot(f"{theirs}.in_proj_bias", (3 * dim,), f"{ours}.qkv.bias")
    yield from linear_slots(f"{theirs}.out_proj", f"{ours}.out", dim, dim)


def head_slots(hidden: str, head: str, config: ViTConfig) -> Iterator[Slot]:
    """Yield the slots of a ViT's head in PyTorch, and before them those of a pre-training head's hidden layer."""
    if config.representation is not None:
        yield from linear_slots(hidden, "pre_logits", config.pooled_dim, config.representation)
    if config.num_classes:
        yield from linear_slots(head, "head", config.representation or config.pooled_dim, config.num_classes)


def norm_slots(theirs: str, ours: str, width: int) -> Iterator[Slot]:
    """Yield the slots of a LayerNorm of PyTorch."""
    yield Slot(f"{theirs}.weight", (width,), f"{ours}.weight")
    yield Slot(f"{theirs}.bias", (width,), f"{ours}.bias")


def refuse_other_parts(config: AnyConfig, layout: str, **known: Container[Any]) -> None:
    """Raise ConfigError if a model has a part that a layout has no place for.

    Args:
        config: the model's configuration.
        layout: whose layout it is, for the message.
        **known: by the name of an option of `ViTConfig`, values that the layout has a place for besides the default,
            or `ANY_VALUE`.

    Raises:
        ConfigError: for a ResNet, or a ViT with another part; its options are named.
    """
    if not isinstance(config, ViTConfig):
        raise ConfigError(f"{layout}'s layout is for Vision Transformers, and this model is a ResNet")
    plain = ViTConfig()
    other = [
        f"{each.name}={getattr(config, each.name)!r}"
        for each in fields(config)
        if each.name not in WITHOUT_A_PLACE
        and getattr(config, each.name) not in (getattr(plain, each.name), *_reading(config, each.name))
        and getattr(config, each.name) not in known.get(each.name, ())
    ]
    if other:
        raise ConfigError(f"{layout}'s layout has no place for {listed(other)}: save this model in minivit's layout")


def _reading(config: ViTConfig, option: str) -> tuple[Any, ...]:
    """Return the other value that says the same as the default: whether there is a class token for the head to read."""
    return (config.reads_class_token,) if option == "class_token" else ()


def say_other_arithmetic(config: AnyConfig, layout: str, gelu: str, norm_eps: float) -> None:
    """Give a notice if readers of a layout compute another GELU or epsilon than the model: its files do not say them.

    Args:
        config: the model's configuration.
        layout: whose layout it is.
        gelu, norm_eps: what its readers compute.
    """
    if not isinstance(config, ViTConfig):
        return
    if (config.gelu if uses_gelu(config) else gelu, config.norm_eps) != (gelu, norm_eps):
        notice(
            f"{layout}'s layout does not say that this model has gelu={config.gelu!r} and norm_eps="
            f"{config.norm_eps:g}: its readers take {gelu!r} and {norm_eps:g}, which changes the logits"
        )


def say_other_scaling(header: Mapping[str, Any], layout: str, expected: Preprocessing) -> None:
    """Give a notice if readers of a layout scale pixels otherwise than the model expects: its files do not say how.

    Args:
        header: the model's.
        layout: whose layout it is.
        expected: how its readers prepare images.
    """
    ours = preprocessing_in(header)
    if _by_channel(ours) != _by_channel(expected):
        notice(
            f"{layout}'s layout does not say how pixels are scaled: this model expects mean={joined(ours.mean)} and "
            f"std={joined(ours.std)}, its readers take {joined(expected.mean)} and {joined(expected.std)}"
        )


def _by_channel(preprocessing: Preprocessing) -> list[tuple[float, ...]]:
    """Return mean and standard deviation, one number where all channels have the same."""
    return [each if len(set(each)) > 1 else each[:1] for each in (preprocessing.mean, preprocessing.std)]


def _shown(name: str) -> str:
    return printable(name, 80)
