"""All that is fuzzed, by name: the readers of files, and the commands."""

from .commands import Commands
from .harness import Target
from .readers import (
    BitNpz,
    Cifar,
    GoogleNpz,
    HuggingFace,
    Metrics,
    Notebook,
    OwnNpz,
    OwnSafetensors,
    Pets,
    Picture,
    PyTorchLegacy,
    PyTorchZip,
    RunConfig,
    RunHeader,
    Tar,
    Timm,
)

ALL: tuple[type[Target], ...] = (
    OwnNpz, OwnSafetensors, GoogleNpz, BitNpz, Timm, HuggingFace, PyTorchZip, PyTorchLegacy, Cifar, Pets, Tar, Picture,
    RunConfig, RunHeader, Metrics, Notebook, Commands,
)  # fmt: skip
TARGETS = {target.name: target for target in ALL}
