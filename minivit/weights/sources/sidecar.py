"""The files beside a weights file, such as Hugging Face's and timm's `config.json`, and `preprocessor_config.json`.

The names and shapes of arrays do not tell how many heads a model has, which GELU, which epsilon, or how its pixels were
scaled. These files do. Which values a `config.json` has, and what they mean, differs between sources: each reads its
own. If one names a size that the arrays contradict, one of the two belongs to another model: that is an error.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import CheckpointError
from ...utils.aliases import old_names
from ...utils.notices import notice
from ...utils.text import printable, quoted

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
OPEN_CLIP = "open_clip_config.json"
PROCESSOR = "processor_config.json"  # transformers 5 writes it for models of images and texts, instead or beside
OWN_NOTE = "the file's own note"  # what messages call it, see `notes.py`
LONGEST = 2**24  # bytes; such a file has a few thousand


@dataclass(frozen=True)
class Sidecar:
    """What the files beside a weights file say; a field is None if they do not say it.

    Attributes:
        source: the name of the file that says it.
        model_type: Hugging Face's name of the type of model, or timm's of the architecture.
        heads: attention heads.
        image_size: (height, width) in pixels.
        gelu: the activation, as `ViTConfig` calls it.
        norm_eps: LayerNorm's epsilon.
        classifier: "token", "gap" or "map".
        positions: "none" if the model has no position embeddings.
        layer_scale: the initial factor of LayerScale.
        mlp_ratio: the outputs of the MLP's first layer over the width of a token, as timm says it.
        sizes: by the name of a field of minivit's configuration; the arrays must agree.
        classes: the names of the classes.
        preprocessing: fields of `Preprocessing` that a file says, such as mean, std and crop_share.
        preprocessing_source: the name of the file that says them.
        noted: the names of the fields, also of those in `preprocessing`, that no file beside the weights says, but the
            note in the weights file itself.
    """

    source: str = CONFIG
    model_type: str | None = None
    heads: int | None = None
    image_size: tuple[int, int] | None = None
    gelu: str | None = None
    norm_eps: float | None = None
    classifier: str | None = None
    positions: str | None = None
    layer_scale: float | None = None
    mlp_ratio: float | None = None
    sizes: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    preprocessing_source: str = CONFIG
    noted: frozenset[str] = frozenset()

    def source_of(self, name: str) -> str:
        """Return what says a field: the name of a file, or the weights file's own note."""
        return OWN_NOTE if name in self.noted else self.source


def place_of(source: str) -> str:
    """Return where something is said: in a file beside the weights, or in a list."""
    return f"{source} beside the file" if source.endswith(".json") else source


def read_json(path: Path) -> JsonObject | None:
    """Return the object in a JSON file; None if there is no such file, or it holds something else.

    Raises:
        CheckpointError: if the file cannot be read, is longer than `LONGEST`, or is not JSON.
    """
    try:
        if not path.is_file():
            return None
        if path.stat().st_size > LONGEST:
            raise CheckpointError(f"{printable(path)} is too long to describe a model: move it away")
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise CheckpointError(f"{printable(path)} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{printable(path)} is damaged: repair it, or move it away from the weights") from error
    return JsonObject(path, content) if isinstance(content, dict) else None


class JsonObject:
    """A JSON object whose fields are checked when they are read: each may be absent, and null counts as absent.

    Args:
        path: the file, for messages.
        content: the fields.
    """

    def __init__(self, path: Path, content: dict[str, Any]):
        self.path, self.content = path, content

    def __contains__(self, name: str) -> bool:
        return self.content.get(name) is not None

    def get(self, name: str, good: Callable[[Any], bool], rule: str) -> Any:
        """Return a field's value, None if it is absent.

        Args:
            name: the field.
            good: whether a value has the right type.
            rule: what the value must be, for the message.

        Raises:
            CheckpointError: for a value of another type.
        """
        value = self.content.get(name)
        if value is not None and not good(value):
            raise CheckpointError(f"{printable(self.path)}: {name} must be {rule}, not {quoted(value)}")
        return value

    def part(self, name: str) -> JsonObject:
        """Return an object inside this one; an empty one if it is absent."""
        return JsonObject(self.path, self.get(name, lambda value: isinstance(value, dict), "an object") or {})

    def integer(self, name: str) -> int | None:
        """Return an integer of 1 or more."""
        return self.get(name, is_positive, "an integer of 1 or more")

    def number(self, name: str) -> float | None:
        """Return a number above 0 and at most 1."""
        return self.get(name, lambda v: is_number(v) and 0 < v <= 1, "a number above 0 and at most 1")

    def ratio(self, name: str) -> float | None:
        """Return a number above 0 that one width is of another."""
        return self.get(name, lambda v: is_number(v) and 0 < v < 1000, "a number above 0")

    def count(self, name: str) -> int | None:
        """Return an integer of 0 or more."""
        return self.get(
            name, lambda v: is_positive(v) or (v == 0 and not isinstance(v, bool)), "an integer of 0 or more"
        )

    def flag(self, name: str) -> bool | None:
        """Return true or false."""
        return self.get(name, lambda v: isinstance(v, bool), "true or false")

    def word(self, name: str) -> str | None:
        """Return a text."""
        return self.get(name, lambda value: isinstance(value, str), "a name")

    def image_size(self, name: str) -> tuple[int, int] | None:
        """Return (height, width) in pixels; one number is both."""
        value = self.get(name, lambda v: is_positive(v) or _is_pair(v), "pixels, or [height, width]")
        return None if value is None else (value, value) if isinstance(value, int) else tuple(value)

    def numbers(self, name: str) -> tuple[float, ...] | None:
        """Return a list of 1 to 64 finite numbers; one number is a list."""
        good = lambda v: isinstance(v, list) and 0 < len(v) <= 64 and all(map(is_number, v))  # noqa: E731
        single: Any = self.content.get(name)
        value = [single] if is_number(single) else self.get(name, good, "a list of numbers")
        return None if value is None else tuple(map(float, value))


def is_positive(value: Any) -> bool:
    """Return whether a value is an integer of 1 or more that fits into 32 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_positive, value))


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number, as JSON has it."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30 and math.isfinite(value)


def said_classes(content: JsonObject, name: str) -> tuple[str, ...] | None:
    """Return the names of classes in a field, None if there are none; a notice says which names cannot be used."""
    said = content.content.get(name)
    names = class_names(said)
    if names is None and said and not _is_placeholder(said):
        notice(f"{printable(content.path)}: {name} does not name classes 0, 1, 2 ... in turn: its names are not used")
    return names


def _is_placeholder(names: Any) -> bool:
    values = names.values() if isinstance(names, dict) else names
    return isinstance(names, dict | list) and all(re.fullmatch(r"LABEL_\d+", str(value)) for value in values)


def class_names(names: Any) -> tuple[str, ...] | None:
    """Return the names of classes in a list or in {"0": name}; None for anything else, and for made-up names."""
    if isinstance(names, dict):
        names = [names.get(str(k)) for k in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        return None
    made_up = all(name == f"LABEL_{k}" for k, name in enumerate(names))  # Hugging Face's placeholders
    return None if made_up else tuple(names)


def fitting_classes(header: Mapping[str, Any], num_classes: int) -> list[str]:
    """Return the names of classes in a model's header; [] if it has none, or not as many as the head has classes.

    Args:
        header: the model's.
        num_classes: of its head.
    """
    names = header.get("classes") or ()
    return list(names) if len(names) == num_classes else []


__getattr__ = old_names(__name__, {"Beside": "Sidecar", "read_beside": "minivit.weights.sources.registry.read_sidecar"})
