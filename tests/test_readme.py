"""The README's promises: what it names exists."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from minivit import cli
from minivit.models import MODEL_NAMES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAPER_MAP = [line for line in README.splitlines() if re.match(r"\| (Eq\.|§|Table|[BD]\.)", line) and "`tests/" in line]


def codes(text):
    return re.findall(r"`([^`]+)`", text)


def test_every_equation_is_in_the_paper_map():
    named = {int(number) for line in PAPER_MAP for number in re.findall(r"\d+", line.split("|")[1]) if "Eq." in line}
    assert named == set(range(1, 9))


@pytest.mark.parametrize("line", PAPER_MAP, ids=lambda line: line.split("|")[1].strip())
def test_the_paper_map_names_objects_and_tests_that_exist(line):
    *_, objects, tests, _ = line.split("|")
    assert codes(objects) and codes(tests)
    for name in codes(objects):
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name
    for name in codes(tests):
        path, _, function = name.partition("::")
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert function in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, name


def test_every_link_into_the_repository_leads_somewhere():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    missing = [target for target in targets if "://" not in target and not (ROOT / target).exists()]
    assert missing == []


def test_every_command_parses_and_names_a_known_model():
    lines = README.replace("\\\n", " ").splitlines()  # a backslash continues a command
    commands = [line.strip().split("#")[0].split() for line in lines if line.strip().startswith("minivit ")]
    assert len(commands) >= 5
    for command in commands:
        if "--help" in command:
            continue
        options = cli.build_parser().parse_args(command[1:])
        assert getattr(options, "model", None) in (None, *MODEL_NAMES)


def test_the_source_map_holds_every_file_of_the_engine_in_order():
    listed = re.findall(r"\(minivit/engine/(\w+)\.py\)", README)
    files = {path.stem for path in (ROOT / "minivit" / "engine").glob("*.py")} - {"__init__"}
    assert set(listed) == files
    assert listed[:4] == ["tensor", "ops", "reference", "fused"]
