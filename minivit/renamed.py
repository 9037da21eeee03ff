"""Modules that have moved: an import by the old name still works, and says the new one."""

from __future__ import annotations

import importlib
import sys
import warnings
from importlib.machinery import ModuleSpec

TYPE_CHECKING = False  # True for a type checker; `typing` takes long to import, see `__main__`
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

NEW_NAMES = {
    "minivit.backend.cublas": "minivit.backend.gpu.cublas",
    "minivit.backend.cuda": "minivit.backend.gpu.cuda",
    "minivit.backend.kernels": "minivit.backend.gpu.kernels",
    "minivit.console": "minivit.utils.console",
    "minivit.cores": "minivit.backend.cores",
    "minivit.cublas": "minivit.backend.gpu.cublas",
    "minivit.cuda": "minivit.backend.gpu.cuda",
    "minivit.data.fitting": "minivit.images.fitting",
    "minivit.data.image_files": "minivit.images.decoding",
    "minivit.data.kinds": "minivit.images.kinds",
    "minivit.data.pictures": "minivit.images.decoding",
    "minivit.data.pretrained": "minivit.weights",
    "minivit.data.roll": "minivit.data.manifest",
    "minivit.data.scaling": "minivit.images.scaling",
    "minivit.engine.backend": "minivit.backend.arrays",
    "minivit.engine.workers": "minivit.backend.workers",
    "minivit.files": "minivit.utils.files",
    "minivit.integers": "minivit.utils.integers",
    "minivit.kernels": "minivit.backend.gpu.kernels",
    "minivit.lessons": "minivit_lessons",
    "minivit.memory": "minivit.backend.memory",
    "minivit.models.archive": "minivit.weights.formats.archive",
    "minivit.models.beside": "minivit.weights.sources.sidecar",
    "minivit.models.families": "minivit.weights.sources.families",
    "minivit.models.filekinds": "minivit.weights.formats.filekinds",
    "minivit.models.layouts": "minivit.weights.sources.google",
    "minivit.models.weights": "minivit.weights",
    "minivit.notices": "minivit.utils.notices",
    "minivit.text": "minivit.utils.text",
    "minivit.training.parallel": "minivit.training.distributed.parallel",
    "minivit.training.ranks": "minivit.training.distributed.ranks",
    "minivit.weights.archive": "minivit.weights.formats.archive",
    "minivit.weights.beside": "minivit.weights.sources.sidecar",
    "minivit.weights.bit": "minivit.weights.sources.bit",
    "minivit.weights.families": "minivit.weights.sources.families",
    "minivit.weights.filekinds": "minivit.weights.formats.filekinds",
    "minivit.weights.files": "minivit.weights",
    "minivit.weights.google": "minivit.weights.sources.google",
    "minivit.weights.huggingface": "minivit.weights.sources.huggingface",
    "minivit.weights.layouts": "minivit.weights.sources.google",
    "minivit.weights.minivit": "minivit.weights.sources.minivit",
    "minivit.weights.sidecar": "minivit.weights.sources.sidecar",
    "minivit.weights.sizes": "minivit.weights.sources.sizes",
    "minivit.weights.slots": "minivit.weights.sources.slots",
    "minivit.weights.source": "minivit.weights.sources.source",
    "minivit.weights.timm": "minivit.weights.sources.timm",
}


class RenamedModules:
    """A finder and loader of Python's import system (`importlib.abc`, which takes long to import).

    It finds a module under its old name, before Python finds a second copy of it in the folder of its package.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to import a module of `NEW_NAMES`, or one inside it; None for any other name."""
        return ModuleSpec(fullname, self) if _new_name(fullname) else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module under its new name, and warn."""
        new = _new_name(spec.name)
        if spec.name in NEW_NAMES:  # once, and not again for each part of it
            warnings.warn(f"{spec.name} is now {new}: import that instead", DeprecationWarning, stacklevel=2)
        module = importlib.import_module(new)
        self.spec_of_module = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing but undo what the import system noted in the module: it was executed under its new name."""
        module.__spec__ = self.spec_of_module


def _new_name(name: str) -> str:
    if not name.startswith("minivit."):
        return ""
    for old, new in NEW_NAMES.items():
        if name == old or name.startswith(old + "."):
            return new + name.removeprefix(old)
    return ""


if not any(type(finder).__name__ == RenamedModules.__name__ for finder in sys.meta_path):
    sys.meta_path.insert(0, RenamedModules())
