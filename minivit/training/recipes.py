"""Recipes: options that are known to work for a kind of data, each in a readable file (`minivit/recipes/NAME.toml`).

A file holds options by name, perhaps options for a condition (`[when."optimizer = adamw"]`), the recipe that it differs
from (`like`), and what is known of it (`[about]`). Later layers win: a recipe's options, then the command line's.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from ..data import DATASETS, expanded
from ..errors import ConfigError, MinivitError
from ..models import model_config
from ..models.configs import ViTConfig
from ..models.names import model_for_image_size
from ..utils.files import read_json, read_text
from ..utils.text import did_you_mean, printable, quoted, suggestion
from .config import DEFAULTS, TrainConfig, as_written_now, config_from_json
from .folder import CONFIG, NOTES, relocated
from .options import OF_THE_MODEL, OF_WEIGHTS, SIZES

FOLDER = Path(__file__).parent.parent / "recipes"
NONE = "none"  # the name for no recipe
COMMANDS = ("train", "finetune", "pretrain")
FACTS = ("for", "command", "title", "time", "reaches", "measured", "log", "rates")  # the keys of [about]

A_LENGTH = ("epochs", "steps")  # one of them
PATCH_DROPOUT = ("patch_dropout", "patch_dropout_until")
OF_THE_OPTIMIZER = ("lr", "min_lr", "betas", "weight_decay")  # good for one optimiser, not for another

Layer = dict[str, Any]  # options by field


@dataclass(frozen=True)
class Recipe:
    """Options for a run, as a recipe's file says them.

    Attributes:
        name: the file's, without its ending.
        path: the file.
        options: by field of `TrainConfig`.
        rules: options for a condition: (field, value, options, the condition among them).
        like: the name of the recipe that it differs from, or "none" for the plain defaults; "" if it is not said.
        about: what is known of it, see `FACTS`.
    """

    name: str
    path: Path
    options: Layer
    rules: tuple[tuple[str, Any, Layer], ...] = ()
    like: str = ""
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """The command that it is for; "" for any."""
        return self.about.get("command", "")


@dataclass(frozen=True)
class Resolved:
    """The options of a run, and where they come from.

    Attributes:
        options: by field, those of the recipe and those that were given.
        source: the recipe's name, the file's or the run's path; "" for plain defaults.
        from_recipe: the options that the recipe adds to the given ones, where they differ from the plain defaults.
        notes: sentences about what follows from the given options.
    """

    options: Layer
    source: str = ""
    from_recipe: Layer = field(default_factory=dict)
    notes: tuple[str, ...] = ()


# -- files ---------------------------------------------------------------------------------------


def recipe_names() -> list[str]:
    """Return the names of all recipes of minivit."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


@cache
def load_recipe(name: str) -> Recipe:
    """Return a recipe of minivit.

    Raises:
        ConfigError: for an unknown name.
    """
    if name not in recipe_names():
        raise ConfigError(f"unknown recipe {quoted(name)}: {suggestion(name, recipe_names(), 'minivit recipes')}")
    return read_recipe(FOLDER / f"{name}.toml")


def read_recipe(path: Path) -> Recipe:
    """Return the recipe in a file.

    Raises:
        ConfigError: if it is not a recipe; the sentence names the file and the key.
        DataError, DataNotFoundError: if it cannot be read.
    """
    try:
        values = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{printable(path)} is not TOML: {printable(error, 100)}") from error
    like, about, rules = values.pop("like", ""), values.pop("about", {}), values.pop("when", {})
    if like and like not in (*recipe_names(), NONE):
        raise ConfigError(
            f"{printable(path)}: like is an unknown recipe, {quoted(like)}: {suggestion(like, recipe_names())}"
        )
    if not isinstance(about, dict) or not isinstance(rules, dict):
        raise ConfigError(f'{printable(path)}: about and when are tables: write [about] and [when."optimizer = adamw"]')
    for fact in about:
        if fact not in FACTS:
            raise ConfigError(f"{printable(path)}: unknown key {quoted(fact)} in [about]: {suggestion(fact, FACTS)}")
    return Recipe(
        name=path.stem,
        path=path,
        options=_options_in(values, path),
        rules=tuple(_rule_in(condition, options, path) for condition, options in rules.items()),
        like=like,
        about=about,
    )


def _options_in(values: Any, path: Path) -> Layer:
    """Return options by field; a file may spell them with hyphens, and under their old names."""
    if not isinstance(values, dict):
        hint = 'write [when."optimizer = adamw"] and options below it'
        raise ConfigError(f"{printable(path)}: a condition must be a table, not {quoted(values)}: {hint}")
    spelled = {name.replace("-", "_"): value for name, value in values.items()}
    if len(spelled) < len(values):
        twice = next(name for name in spelled if name in values and name.replace("_", "-") in values and "_" in name)
        raise ConfigError(f"{printable(path)}: {twice} is given twice, with a hyphen and with an underscore")
    if "recipe" in spelled:
        raise ConfigError(f"{printable(path)}: a file takes a recipe's options by like: write like = 'cifar10'")
    if set(A_LENGTH) <= set(spelled):
        raise ConfigError(f"{printable(path)}: epochs and steps exclude each other: give one of them")
    options = as_written_now(spelled)
    for name, value in options.items():
        if name not in DEFAULTS:
            raise ConfigError(f"{printable(path)}: unknown option {quoted(name)}: {_nearest(name)}")
        if isinstance(value, dict | list):
            numbers = isinstance(value, list) and len(value) > 1 and isinstance(DEFAULTS[name], str)
            hint = f": write '{','.join(map(str, value))}'" if numbers else ""
            raise ConfigError(f"{printable(path)}: {name} takes one value, not {quoted(value)}{hint}")
    return options


def _nearest(name: str) -> str:
    return did_you_mean(name, DEFAULTS) or "`minivit train --help` lists the options"


def _rule_in(condition: str, options: Any, path: Path) -> tuple[str, Any, Layer]:
    """Return a rule such as [when."optimizer = adamw"] as its field, its value and its options."""
    found = re.fullmatch(r"\s*([\w-]+)\s*=\s*(\S.*?)\s*", condition)
    name = found[1].replace("-", "_") if found else ""
    if not found or name not in DEFAULTS:
        hint = _nearest(name) if found else 'write OPTION = VALUE, such as [when."optimizer = adamw"]'
        raise ConfigError(f"{printable(path)}: unknown condition {quoted(condition)}: {hint}")
    try:
        value: Any = tomllib.loads(f"value = {found[2]}")["value"]  # true, false or a number
    except tomllib.TOMLDecodeError:
        value = found[2]
    try:
        TrainConfig(**{name: value})
    except ConfigError as error:
        if str(error).startswith(f"{name.replace('_', '-')} must be"):  # not that it needs another option
            raise ConfigError(f"{printable(path)}: {quoted(condition)} never holds: {error}") from error
    return name, value, {name: value} | _options_in(options, path)


# -- layers --------------------------------------------------------------------------------------


def recipe(name: str | Path, **given: Any) -> TrainConfig:
    """Return the options of a recipe, with some changed: `recipe("cifar10", epochs=3)`.

    Args:
        name: one of `recipe_names()`, or the path of a .toml file, which gives what `--config` takes from it.
        **given: options that replace the recipe's.

    Raises:
        ConfigError: for an unknown name or options that do not fit.
    """
    given = as_written_now(given)
    own = str(name).endswith(".toml")
    source = _own_recipe(Path(name), "train", given) if own else load_recipe(str(name))
    return TrainConfig(**with_recipe(source, given).options)


def _own_recipe(path: Path, command: str, given: Mapping[str, Any]) -> Recipe:
    """Return what a user's file says, on top of the recipe of its data set if it names no other.

    Args:
        path: the file.
        command: which command reads it, unless the file says for which it is.
        given: options that replace the file's, by field.
    """
    source = read_recipe(path)
    if source.like:
        return source
    return replace(source, like=default_recipe(source.command or command, source.options | dict(given)).name)


def with_recipe(source: Recipe, given: Mapping[str, Any]) -> Resolved:
    """Return options on top of a recipe's.

    Args:
        source: the recipe.
        given: options that replace the recipe's, by field.
    """
    given = dict(given)
    below = _below(source, given)
    notes: list[str] = []
    options = _merged(below, given)
    size = options.get("image_size")
    open_model = "model" not in options and not options.get("weights")
    had_one = any("model" in one.options for one in _chain(source))  # which is for images of another size
    if open_model and had_one and isinstance(size, int):
        options["model"] = model_for_image_size(size)
        notes.append(f"--model {options['model']}: the small model for images of {size} pixels")
    from_recipe = {
        name: value
        for name, value in below.items()
        if options.get(name) == value != DEFAULTS[name] and name not in given
    }
    if source.path.parent == FOLDER:
        options["recipe"] = source.name
    return Resolved(options, source.name, from_recipe, tuple(notes))


def _below(source: Recipe, given: Layer) -> Layer:
    """Return a recipe's own options, those of the recipes that it is like, and of the rules that hold, in one layer."""
    layers: list[Layer] = []
    chain = _chain(source)
    plain = _merged(*(one.options for one in reversed(chain)), given)
    optimizer = None
    for one in reversed(chain):
        optimizer = one.options.get("optimizer", optimizer)
        holding = [options for name, value, options in one.rules if plain.get(name, DEFAULTS[name]) == value]
        layers += [_without_unused(layer, optimizer, plain) for layer in (one.options, *holding)]
    return _merged(*layers)


def _without_unused(layer: Layer, optimizer: str | None, plain: Layer) -> Layer:
    """Return options without an optimiser or a model that is not used, and what belongs to it.

    Args:
        layer: the options.
        optimizer: the optimiser that the rates are for, if the options name none; None for any.
        plain: the options that say which optimiser and model are used.
    """
    unused: list[str] = []
    if layer.get("optimizer", optimizer) not in (None, plain.get("optimizer", DEFAULTS["optimizer"])):
        unused += ["optimizer", *OF_THE_OPTIMIZER]
    if plain.get("weights") and "model" in layer:
        unused += ["model", "image_size"]
    return {name: value for name, value in layer.items() if name not in unused}


def _chain(source: Recipe) -> list[Recipe]:
    """Return a recipe, the recipe that its `like` names, the recipe that this one's `like` names, and so on."""
    chain = [source]
    while chain[-1].like not in ("", NONE):
        chain.append(load_recipe(chain[-1].like))
        if chain[-1] in chain[:-1]:
            raise ConfigError(f"{printable(source.path)}: like leads back to the recipe itself: name another recipe")
    return chain


def _merged(*layers: Layer) -> Layer:
    """Return the options of several layers, of which a later one wins.

    Options that only make sense together go together: a length is in epochs or in steps, a learning rate belongs to its
    optimiser, and the parts of a Vision Transformer to one.
    """
    merged: Layer = {}
    for layer in layers:
        dropped = _replaced_by(layer, merged)
        if "model" in layer:
            dropped.append("image_size")
        elif not layer.get("weights") and "image_size" in layer and "image_size" in merged:
            dropped.append("model")
        merged = {name: value for name, value in merged.items() if name not in dropped} | layer
    return merged


def _replaced_by(layer: Layer, below: Layer) -> list[str]:
    """Return the options below a layer that make no sense beside the layer's."""
    dropped: list[str] = []
    if set(A_LENGTH) & set(layer):
        dropped += A_LENGTH
    if "optimizer" in below and layer.get("optimizer", below["optimizer"]) != below["optimizer"]:
        dropped += OF_THE_OPTIMIZER
    if layer.get("weights"):  # they settle the model
        dropped += ["model", *OF_THE_MODEL, *PATCH_DROPOUT]
        if below.get("weights"):  # other ones, which were read in another way
            dropped += OF_WEIGHTS
        elif "model" in below:  # the size of another model's images
            dropped.append("image_size")
    elif "model" in layer:
        dropped += _not_of(layer["model"])
    if layer.get("positions") == "relative" or layer.get("positions_at", "stem") != "stem":  # they need all patches
        dropped += PATCH_DROPOUT
    return dropped


def _not_of(model: Any) -> list[str]:
    """Return the options that a recipe has for its own model, and not for the one of this name."""
    try:
        config = model_config(model)
    except (MinivitError, TypeError):
        return []  # an unknown name is refused elsewhere
    if not isinstance(config, ViTConfig):
        return [*OF_THE_MODEL, *PATCH_DROPOUT]
    return [*SIZES] if config.backbone is None else [*SIZES, "embedding_init"]  # a hybrid cuts no pixels into patches


# -- what a command starts from ------------------------------------------------------------------


def default_recipe(command: str, given: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a command, if none is named: that of the data set, or of the command.

    Args:
        command: one of `COMMANDS`.
        given: options by field.
    """
    if command != "train":
        return load_recipe(command)
    dataset = given.get("dataset", DEFAULTS["dataset"])
    kind = dataset if dataset in DATASETS else "folder"
    return next(one for one in map(load_recipe, recipe_names()) if kind in one.about.get("for", ()))


def resolved(command: str, given: Mapping[str, Any], recipe: str | None = None, config: str | None = None) -> Resolved:
    """Return the options of a run: what was given, on top of a recipe, or of a file's options.

    Args:
        command: one of `COMMANDS`.
        given: options by field.
        recipe: the name of a recipe, or "none" for the plain defaults. [default: the data set's]
        config: the path of a run, of its `config.json`, or of a file like a recipe. [default: none]

    Raises:
        ConfigError: for an unknown recipe, one of another command, or a file with a mistake.
    """
    given = dict(given)
    if config is not None and recipe is not None:
        raise ConfigError("--config and --recipe exclude each other: give one of them")
    if config is not None:
        return _of_file(command, given, expanded(config))
    if recipe == NONE:
        return Resolved(given)
    source = default_recipe(command, given) if recipe is None else load_recipe(recipe)
    if source.command != command:
        raise ConfigError(
            f"the recipe {recipe} is for minivit {source.command}, not minivit {command}: choose another recipe "
            "or command"
        )
    return with_recipe(source, given)


def _of_file(command: str, given: Layer, path: Path) -> Resolved:
    """Return options on top of a run's, or on top of a .toml file's and those of the recipe of its data set."""
    if path.suffix != ".toml":
        options = options_of_run(path)
        labelled = options["objective"] == "classes"
        if labelled == (command == "pretrain") and "objective" not in given:
            how, other = ("with labels", "train") if labelled else ("without labels", "pretrain")
            raise ConfigError(f"{printable(path)} learned {how}: its options are for minivit {other}, not {command}")
        _check_not_settled(options, given, {}, path)
        dropped = _replaced_by(given, options)
        if given.get("dataset") in DATASETS:  # these are for folders
            dropped += ["split", "skip_broken"]
        changed = [name for name in dropped if name not in ("model", *given, *A_LENGTH)]
        lost = [name for name in changed if options.get(name) != DEFAULTS[name]]
        kept = {name: value for name, value in options.items() if name not in dropped}
        return Resolved(kept | given, printable(path), notes=_left_out(lost, path))
    source = _own_recipe(path, command, given)
    of = next((one.command for one in _chain(source) if one.command), command)
    if of != command:
        raise ConfigError(f"{printable(path)} is for minivit {of}, not minivit {command}: give it to minivit {of}")
    found = with_recipe(source, given)
    _check_not_settled(found.options, given, source.options, path)
    try:
        TrainConfig(**found.options)
    except ConfigError as error:
        name = re.split(r"[ =]", str(error).removeprefix("unknown "))[0].replace("-", "_")  # "unknown model ..."
        if name in source.options and name not in given:
            raise ConfigError(f"{printable(path)}: {error}") from error
        raise
    other_rates = OF_THE_OPTIMIZER if "optimizer" in given else ()
    lost = [
        name
        for name, value in source.options.items()
        if name not in (*given, *A_LENGTH)
        and (name not in found.options or (name in other_rates and found.options[name] != value))
    ]
    return replace(found, source=printable(path), notes=(*found.notes, *_left_out(lost, path)))


def _left_out(names: Sequence[str], path: Path) -> tuple[str, ...]:
    """Return a sentence about options of a file that do not fit those that were given, if there are any."""
    words = " ".join(f"--{name.replace('_', '-')}" for name in names)
    return (f"left out of {printable(path)}, for it does not fit what was given: {words}",) if words else ()


def _check_not_settled(options: Layer, given: Layer, own: Layer, path: Path) -> None:
    """Raise ConfigError if a model is given, or named in a user's file, and the options start from weights.

    Args:
        options: all of them.
        given: on the command line.
        own: what a user's file says itself; nothing of a run, whose options fit one another.
        path: the file or the run.
    """
    settled = [name for name in ("model", "positions", "positions_at") if name in {**own, **given}]
    if options.get("weights") and not given.get("weights") and settled:
        raise ConfigError(
            f"{printable(path)} starts from weights, which settle the model: leave out "
            f"--{settled[0].replace('_', '-')}, or begin without --config"
        )


def options_of_run(path: Path) -> Layer:
    """Return the options of a run by field.

    Args:
        path: its folder, or its `config.json`.

    Raises:
        ConfigError: if it is neither.
        DataError, DataNotFoundError: if it cannot be read.
    """
    file = path / CONFIG if path.is_dir() else path
    if not file.is_file():
        what = f"has no {CONFIG}" if path.is_dir() else "does not exist"
        raise ConfigError(f"{printable(path)} {what}: --config takes a run's folder, its {CONFIG} or a .toml file")
    if file.suffix != ".json":
        raise ConfigError(
            f"{printable(path)} is not a .toml or .json file: --config takes a run's folder, its {CONFIG} or "
            "a file of options in TOML, whose name ends in .toml"
        )
    values = read_json(file)
    notes = values.pop(NOTES, None) if isinstance(values, dict) else None
    if isinstance(values, dict) and (unknown := sorted(set(as_written_now(values)) - set(DEFAULTS))):
        raise ConfigError(f"{printable(file)}: unknown option {quoted(unknown[0])}: {_nearest(unknown[0])}")
    try:
        config = relocated(config_from_json(values), notes, file.parent)
    except ConfigError as error:
        raise ConfigError(f"{printable(file)}: {error}") from error
    options = {name: getattr(config, name) for name in DEFAULTS}
    del options["steps" if options["steps"] is None else "epochs"]
    return options
