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
    RunConfig,
    Tar,
    Timm,
)

TARGETS: dict[str, type[Target]] = {
    target.name: target
    for target in (
        OwnNpz, OwnSafetensors, GoogleNpz, BitNpz, Timm, HuggingFace, Cifar, Pets, Tar, Picture, RunConfig, Metrics,
        Notebook, Commands,
    )
}  # fmt: skip
