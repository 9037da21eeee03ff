"""What README and the pages of docs/ promise: every object, link, command and option that they name exists."""

import argparse
import ast
import importlib
import re
import shlex
import tokenize
from itertools import takewhile
from pathlib import Path

import pytest
from PIL import Image

import minivit
from minivit import cli, data
from minivit.models import MODEL_NAMES, ViT, ViTConfig
from minivit.training import batches
from minivit.training.old_options import NEW_NAMES
from tests.test_cli_help import unpublished
from tests.test_dialect import UNCLEAR

ROOT = Path(__file__).parents[1]
FOLDERS = ("data", "lessons", "results")  # with a README.md; others appear at work, such as pytest's own cache
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *(ROOT / folder / "README.md" for folder in FOLDERS)]
}
README = PAGES["README.md"]
SHELL = re.compile(r"```(?:sh)?\n(.*?)```", re.DOTALL)
PLACEHOLDERS = {"NUMBER", "MODEL", "DIR", "RUN", "FOLDER", "NAME", "..."}

PAPER_MAP = [
    line
    for line in PAGES["docs/paper-map.md"].splitlines()
    if re.match(r"\| (Eq\.|§|Table|[BD]\.)", line) and "`tests/" in line
]


def codes(text):
    return re.findall(r"`([^`]+)`", text)


def prose(text):
    """A page without its blocks of code."""
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def anchors(text):
    """The names by which a page's headings can be linked, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", prose(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def commands_in_blocks(text):
    """Each `minivit ...` command of a page's blocks of code: its words, without comments, `$` and `mpiexec -n K`."""
    for block in SHELL.findall(text):
        for line in block.replace("\\\n", " ").splitlines():  # a backslash continues a command
            words = shlex.split(line, comments=True) if re.match(r"\s*(\$ )?(mpiexec|minivit) ", line) else []
            if "minivit" in words:
                command = words[words.index("minivit") :]
                yield list(takewhile(lambda word: word not in ("|", ">"), command))


def commands_in_prose(text):
    """Each `minivit COMMAND ...` that a page names within a sentence."""
    for code in codes(prose(text).replace("\n", " ")):
        words = code.split()
        if words[0] == "minivit" and len(words) > 1:
            yield words


def parsers(parser):
    """The parser of each command by its words, such as `train` and `lessons build`."""
    found = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                found |= {name: inner, **{f"{name} {words}": deeper for words, deeper in parsers(inner).items()}}
    return found


COMMANDS = parsers(cli.build_parser())


# -- README ----------------------------------------------------------------------------------------


def test_readme_stays_two_screens():
    assert len(README) < 12_000


def lines_of_code(path):
    """Count the lines of a module without its comments, docstrings and empty lines."""
    silent = {tokenize.ENCODING, tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    with path.open("rb") as file:
        tokens = [
            token for token in tokenize.tokenize(file.readline) if token.type not in silent | {tokenize.ENDMARKER}
        ]
    lines = {line for token in tokens for line in range(token.start[0], token.end[0] + 1)}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


def test_readme_says_how_many_lines_the_engine_the_layers_and_the_model_have():
    source = ROOT / "minivit"
    paths = [*source.glob("engine/*.py"), *source.glob("nn/*.py"), source / "models" / "vit.py"]
    said = re.search(r"are about\s([\d,]+)\slines of code", README)

    assert said and abs(int(said[1].replace(",", "")) - sum(map(lines_of_code, paths))) <= 100


def test_readme_links_the_list_of_pages_which_links_every_page():
    listed = {Path(target).name for target in re.findall(r"\]\(([^)#]+)", PAGES["docs/README.md"])}

    assert "(docs/README.md)" in README
    assert {Path(name).name for name in PAGES if name.startswith("docs/")} - {"README.md"} <= listed


# -- every page ------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_every_link_into_the_repository_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(PAGES[page])):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        there = (ROOT / page).parent / path if path else ROOT / page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("page", PAGES)
def test_every_command_parses_and_names_a_known_model(page):
    for command in commands_in_blocks(PAGES[page]):
        if "--help" in command:
            assert command[1:-1] == [] or command[1] in COMMANDS
            continue
        options = cli.build_parser().parse_args(command[1:])
        models = getattr(options, "model", None) or []
        assert {*([models] if isinstance(models, str) else models)} <= {*MODEL_NAMES, *PLACEHOLDERS}, command
        assert unpublished(options) == set()


@pytest.mark.parametrize("page", PAGES)
def test_every_command_within_a_sentence_has_the_options_that_it_names(page):
    for command in commands_in_prose(PAGES[page]):
        parser = COMMANDS.get(" ".join(command[1:3])) or COMMANDS.get(command[1])
        assert parser or command[1].startswith("--"), command
        named = {word.partition("=")[0] for word in command if word.startswith("--")} - {"--help"}
        assert not parser or named <= set(parser._option_string_actions), command


def test_readme_and_docs_hold_commands():
    assert len(list(commands_in_blocks(README))) >= 5
    assert sum(len(list(commands_in_blocks(text))) for text in PAGES.values()) >= 25
    assert sum(len(list(commands_in_prose(text))) for text in PAGES.values()) >= 25


@pytest.mark.parametrize("page", PAGES)
def test_python_in_a_page_uses_what_minivit_has(page):
    for block in re.findall(r"```python\n(.*?)```", PAGES[page], re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "minivit":
                assert hasattr(minivit, node.attr), node.attr
            if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "minivit":
                module = importlib.import_module(str(node.module))
                assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", ["README.md", "docs/training.md", "docs/scripting.md", "docs/measuring.md", "docs/weights.md"]
)
def test_python_of_a_page_runs_as_it_is_typed(page, tmp_path, monkeypatch, undrawn):
    """With fewer images and steps, and with small models in the files that the page loads."""
    monkeypatch.chdir(tmp_path)
    splits = data.shapes("train", 200), data.shapes("test", 50)
    for module in (data, batches):
        monkeypatch.setattr(module, "load_dataset", lambda *_, **__: splits)
    small = {"dim": 8, "depth": 1, "heads": 2, "mlp_dim": 8, "image_size": 32}
    run = tmp_path / "runs" / "shapes-ViT-XS_4-CIFAR-1"
    run.mkdir(parents=True)
    minivit.save_weights(ViT(ViTConfig(patch_size=8, num_classes=10, **small)), run / "checkpoint.npz")
    published = ViT(ViTConfig(patch_size=32, num_classes=3, gelu="erf", **small))
    minivit.save_weights(published, tmp_path / "model.safetensors")
    Image.fromarray(splits[1].images[0]).save(tmp_path / "cat.jpg")

    namespace = {}
    for block in re.findall(r"```python\n(.*?)```", PAGES[page], re.DOTALL):
        code = block.replace("steps=100", "steps=2").replace("range(100)", "range(2)")
        code = code.replace("300", "60").replace("250", "40")
        exec(compile(code, page, "exec"), namespace)
    assert namespace


def test_every_option_that_a_page_names_is_an_option_of_a_command():
    known = {option.replace("_", "-") for parser in COMMANDS.values() for option in parser._option_string_actions}
    for module in ("tests/fuzz/__main__.py", "tests/mutants/__main__.py", "tests/training/kill_harness.py"):
        known |= set(re.findall(r'"(--[\w-]+)"', (ROOT / module).read_text(encoding="utf-8")))
    known |= {"--logdir"}  # of TensorBoard
    known |= {f"--{old.replace('_', '-')}" for old in NEW_NAMES}  # they still work, with a notice

    known = {option.replace("_", "-") for option in known}  # both spellings are read

    for page, text in PAGES.items():
        others = ("CONTRIBUTING.md", "CHANGELOG.md", "docs/comparison.md")
        if page not in others:  # they name options of other programs, and former ones
            named = {
                option.replace("_", "-")
                for code in codes(prose(text))
                for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", code)
            }
            assert named <= known, page


def test_every_make_target_that_a_page_names_exists():
    rules = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)

    for page, text in PAGES.items():
        named = re.findall(r"`make ([\w-]+)`", text)
        named += [name for block in SHELL.findall(text) for name in re.findall(r"^make ([\w-]+)", block, re.MULTILINE)]
        assert set(named) <= set(rules), page


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_is_there(page):
    """Paths from the top of the repository, in code: `minivit/engine/`; of a file still to be written, its folder."""
    for code in codes(prose(PAGES[page])):
        if re.fullmatch(r"(minivit|tests|docs|lessons|results|examples|\.ci|\.github)/[\w./-]+", code):
            path = ROOT / code
            to_be_written = re.search(r"NAME|NN", path.name)
            assert (path.parent if to_be_written else path).exists(), code


@pytest.mark.parametrize("page", PAGES)
def test_no_page_has_a_word_that_must_be_read_twice(page):
    found = [(match.group(), better) for word, better in UNCLEAR.items() for match in re.finditer(word, PAGES[page])]
    assert found == []


# -- the paper map ---------------------------------------------------------------------------------


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


# -- the list of the source ------------------------------------------------------------------------


def test_the_source_list_holds_every_file_of_the_engine_in_order():
    listed = re.findall(r"\(\.\./minivit/engine/(\w+)\.py\)", PAGES["docs/architecture.md"])
    files = {path.stem for path in (ROOT / "minivit" / "engine").glob("*.py")} - {"__init__"}
    assert set(listed) == files
    assert listed[:4] == ["tensor", "ops", "reference", "fused"]


def test_the_source_list_holds_every_room():
    text = PAGES["docs/architecture.md"]
    rooms = {path.parent.name for path in (ROOT / "minivit").glob("*/__init__.py")}

    assert {room for room in rooms if f"(../minivit/{room}" in text} == rooms
