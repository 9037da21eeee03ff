"""Puts the lessons into the wheel: beside their package, where `lessons_folder` looks for them."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

INSTALLED = "minivit_lessons/course"
PARTS = [
    "[0-9][0-9]_*.ipynb",
    "solutions",
    "book",
    "teacher",
    "capstone",
    "photographs",
    "*.md",
    "bands.json",
    "cifar10.json",
    "shapes-vit.safetensors",
]


class LessonsHook(BuildHookInterface):
    """Adds the notebooks and what they need. An editable install has them in the repository."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files to a wheel that is not editable."""
        if version == "editable":
            return
        lessons = Path(self.root) / "lessons"
        for path in (path for part in PARTS for path in sorted(lessons.glob(part))):
            build_data["force_include"][str(path)] = f"{INSTALLED}/{path.name}"
