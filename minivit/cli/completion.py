"""`minivit completion`: let the Tab key complete commands, options and their values in a shell."""

from __future__ import annotations

import argparse
import importlib
import shlex
from collections.abc import Iterable
from typing import Any

from ..data import AUGMENTATIONS, DATASETS, POLICIES
from ..errors import MissingExtraError
from ..models import MODEL_NAMES
from ..models.configs import PLACES, POSITIONS
from ..preprocessing import INTERPOLATIONS
from ..weights import PRETRAINED
from ..weights.options import POOLS
from .weights import ACTIVATIONS

SHELLS = ("bash", "zsh", "fish", "powershell")

EXAMPLES = (
    "minivit completion bash > ~/.local/share/bash-completion/completions/minivit",
    "minivit completion zsh > ~/.zfunc/_minivit",
)

FILES, FOLDERS = "files", "folders"
PATHS = {  # arguments that are paths, by metavar
    "DIR": (FOLDERS,), "FILE": (FILES,), "PATH": (FILES,), "IMAGE": (FILES,), "RUN_OR_WEIGHTS": (FILES, *PRETRAINED),
    "MODEL_OR_WEIGHTS": (FILES, *MODEL_NAMES, *PRETRAINED), "MODEL": MODEL_NAMES,
}  # fmt: skip


def add_completion(commands: Any, whole: argparse.ArgumentParser) -> None:
    """Add the command.

    Args:
        commands: gets it.
        whole: the parser of all commands, which is completed.
    """
    parser = commands.add_parser(
        "completion", examples=EXAMPLES, help="complete commands, options and values with the Tab key",
        allow_abbrev=False,
        description="Print a script for SHELL that completes commands, options and their values: models, data sets, "
        "published weights, files. A shell that starts later reads the script from the file of the example. Needs "
        "minivit[completion].",
    )  # fmt: skip
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=f"print the script for {', '.join(SHELLS)}")
    parser.set_defaults(run=lambda options: _completion(options, whole))


def _completion(options: argparse.Namespace, whole: argparse.ArgumentParser) -> int:
    try:
        shtab = importlib.import_module("shtab")
    except ImportError as error:
        raise MissingExtraError("shtab is not installed: pip install 'minivit[completion]'") from error
    _mark(whole, values_of_options(), shtab)
    print(shtab.complete(whole, options.shell))
    return 0


def values_of_options() -> dict[str, tuple[str, ...]]:
    """Return the values of options and arguments, by name; `FILES` and `FOLDERS` are those of the disk."""
    from ..training.masked import TARGETS
    from ..training.optim import OPTIMIZERS
    from ..training.options import (
        ATTENTION_INITS,
        CLASS_WEIGHTS,
        EMBEDDING_INITS,
        MONITORED,
        OBJECTIVES,
        QK_NORMS,
        SAMPLERS,
    )
    from ..training.precision import PRECISIONS
    from ..training.recipes import NONE, recipe_names
    from ..training.schedule import DECAYS

    return {
        "--attention-init": ATTENTION_INITS,
        "--augment": ("auto", *AUGMENTATIONS),
        "--auto-augment": ("none", *POLICIES),
        "--class-weights": CLASS_WEIGHTS,
        "--dataset": tuple(DATASETS),
        "--device": ("cpu", "cuda"),
        "--embedding-init": EMBEDDING_INITS,
        "--gelu": ACTIVATIONS,
        "--interpolation": tuple(INTERPOLATIONS),
        "--lr-schedule": tuple(DECAYS),
        "--model": tuple(MODEL_NAMES),
        "--monitor": MONITORED,
        "--objective": tuple(OBJECTIVES),
        "--optimizer": tuple(OPTIMIZERS),
        "--pool": tuple(POOLS),
        "--positions": tuple(POSITIONS),
        "--positions-at": tuple(PLACES),
        "--precision": tuple(PRECISIONS),
        "--qk-norm": QK_NORMS,
        "--recipe": (*recipe_names(), NONE),
        "--sampler": SAMPLERS,
        "--target": tuple(TARGETS),
        "--teacher": (FILES, *PRETRAINED),
        "--weights": (FILES, *PRETRAINED),
        "recipes NAME": tuple(recipe_names()),
    }


def _mark(parser: argparse.ArgumentParser, values: dict[str, tuple[str, ...]], shtab: Any) -> None:
    """Tell shtab how the value of each argument is completed, here and in the parsers of all commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            action.help = "what to do"  # shtab leaves out what is hidden
            for each in action.choices.values():
                _mark(each, values, shtab)
        elif action.choices is not None:
            action.choices = tuple(action.choices)  # shtab takes a dict for commands
        elif action.nargs != 0:
            command = f"{parser.prog.rpartition(' ')[2]} {action.metavar}"
            name = next((each for each in (*action.option_strings, command) if each in values), "")
            known = values[name] if name else PATHS.get(str(action.metavar), ())
            if known:
                action.complete = _functions(known, shtab)  # type: ignore[attr-defined]


def _functions(known: Iterable[str], shtab: Any) -> dict[str, Any]:
    """Return, for each shell, the function that completes one of several words, files or folders."""
    words = [word for word in known if word not in (FILES, FOLDERS)]
    paths = shtab.FILE if FILES in known else shtab.DIRECTORY if FOLDERS in known else {}
    if not words:
        return dict(paths)
    name = f"_minivit_{'file_or_' if paths else ''}word_{shtab.sha(words)}"
    listed, quoted = shlex.join(words), ", ".join(f"'{word}'" for word in words)
    lines: dict[str, list[str]] = {
        "bash": [f'compgen -W "{listed}" -- "$1"'],
        "zsh": [f"_alternative 'names:name:({listed})'"],
        "fish": [f"printf '%s\\n' {listed}"],
        "powershell": [f'@({quoted}) | Where-Object {{ $_ -like "$args*" }}'],
    }
    if paths:
        lines["bash"].append('compgen -f -- "$1"')
        lines["zsh"][0] += " 'files:file:_files'"
        lines["fish"].append("__fish_complete_path (commandline -ct)")
        lines["powershell"].append("_shtab_powershell_compgen_files $args[0]")
    preamble = {
        shell: "\n  ".join([f"{name}() {{" if shell in ("bash", "zsh") else f"function {name} {{", *commands]) + "\n}"
        for shell, commands in lines.items()
        if shell != "fish"
    }
    preamble["fish"] = "\n  ".join([f"function {name}", *lines["fish"]]) + "\nend"
    return {"bash": name, "zsh": name, "fish": f"({name})", "powershell": name, "preamble": preamble}
