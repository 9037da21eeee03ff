"""The help of every command: its options in groups, each with unit and default, and examples that are real."""

import argparse
import json
import platform
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest

import minivit
from minivit import cli
from minivit.cli.parser import GROUP_OF, GROUPS, Parser
from minivit.weights.published import list_models

THEIRS = ("measurement", "prediction", "limits")  # groups of single commands
PREPARATIONS = {"train", "finetune", "pretrain"}  # their groups are the settled ones alone


def parsers():
    """Every command, and each action of `lessons`, with its parser."""
    todo = [("", cli.build_parser())]
    while todo:
        name, parser = todo.pop()
        if name:
            yield name, parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                todo += [(f"{name} {word}".strip(), each) for word, each in action.choices.items()]


PARSERS = sorted(parsers())
OPTIONS = [
    (f"{name} {action.option_strings[0]}", parser, action)
    for name, parser in PARSERS
    for action in parser._actions
    if action.option_strings and not isinstance(action, argparse._HelpAction)
]


def test_every_command_is_looked_at():
    names = {name for name, _ in PARSERS}
    assert {"train", "finetune", "predict", "bench", "lessons grade"} <= names and len(names) >= 19
    assert all(isinstance(parser, Parser) for _, parser in PARSERS)


def unclear_about(parser, action):
    """What the help of an option leaves open."""
    groups = [group.title for group in parser._action_groups if action in group._group_actions]
    if len(groups) != 1 or groups[0] not in {*GROUPS, *THEIRS}:
        yield "its group: add it to GROUPS of cli/parser.py"
    if action.nargs != 0 and not (action.metavar or action.choices):
        yield "its unit"
    if not re.search(r"\[default: [^]]+\]|\(required", action.help):
        yield "its default"


def test_each_option_is_in_one_group_with_unit_and_default():
    open_questions = {(name, what) for name, parser, action in OPTIONS for what in unclear_about(parser, action)}

    assert len(OPTIONS) > 300
    assert open_questions == set()


def test_class_weights_are_beside_what_else_changes_the_loss():
    assert GROUP_OF["--class-weights"] == GROUP_OF["--label-smoothing"] == "regularisation"


def test_no_option_is_in_two_groups():
    listed = [option for options in GROUPS.values() for option in options]
    assert len(listed) == len(set(listed))
    assert list(GROUPS) == ["data", "model", "optimisation", "augmentation", "regularisation", "hardware", "output"]


@pytest.mark.parametrize("name", sorted(PREPARATIONS))
def test_the_commands_that_train_have_the_settled_groups(name):
    parser = dict(PARSERS)[name]
    titles = [group.title for group in parser._action_groups if group._group_actions and group.title != "arguments"]
    assert titles == ["options", *GROUPS]
    assert [action.dest for action in parser._optionals._group_actions] == ["help"]


EXAMPLES = [(name, example) for name, parser in PARSERS for example in parser.examples]


def test_every_command_ends_its_help_with_examples(capsys):
    assert {name for name, _ in EXAMPLES} == {name for name, _ in PARSERS}
    for name, parser in PARSERS:
        said = parser.format_help()
        ending = said.rpartition("\nexamples:\n")[2]
        assert ending == "".join(f"  {example}\n" for example in parser.examples)
        assert any(example.startswith(f"minivit {name}") for example in parser.examples)


def unpublished(options):
    """The weights of a command that would have to be published, and are not."""
    names = {str(getattr(options, key, None) or "") for key in ("weights", "init")}
    return {name for name in names if name.startswith("ViT-")} - set(list_models(weights=True))


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_an_example_is_understood(name, example):
    program, *words = shlex.split(example, comments=True)
    assert program == "minivit" and len(f"  {example}") <= 80
    command = words[: words.index(">")] if ">" in words else words
    options = cli.build_parser().parse_args(command)
    assert callable(options.run)
    assert unpublished(options) == set()


def test_an_example_with_a_mistake_would_be_noticed(capsys):
    with pytest.raises(SystemExit):
        cli.build_parser().parse_args(shlex.split("train --datset cifar10"))


def test_options_are_never_broken_at_their_hyphens(monkeypatch):
    for columns in (60, 70, 80, 100):
        monkeypatch.setenv("COLUMNS", str(columns))
        for name, parser in PARSERS:
            for line in parser.format_help().splitlines():
                assert not re.search(r"\w-$", line), (name, line)


# -- minivit alone, and its version ------------------------------------------------------------------


def test_minivit_alone_prints_help(capsys):
    assert cli.main([]) == 0
    alone = capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    assert alone.out == capsys.readouterr().out and alone.out.startswith("usage: minivit") and not alone.err


def test_minivit_alone_as_a_process():
    found = subprocess.run([sys.executable, "-m", "minivit"], capture_output=True, text=True, timeout=60)
    assert found.returncode == 0 and "train a model" in found.stdout and found.stderr == ""


def test_the_version_is_one_line(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    expected = f"minivit {minivit.__version__}, Python {platform.python_version()}, NumPy {np.__version__}\n"
    assert capsys.readouterr().out == expected


# -- a name that is nearly right -----------------------------------------------------------------------


@pytest.mark.parametrize(("name", "parser"), PARSERS)
def test_each_option_is_suggested_for_its_misspelling(name, parser, capsys):
    for action in parser._actions:
        options = [option for option in action.option_strings if option.startswith("--") and option != "--help"]
        for option in options:
            misspelled = f"{option[:-1]}{'xy'[option.endswith('x')]}" if len(option) > 5 else None
            if misspelled is None or misspelled in parser._option_string_actions:
                continue
            hint = parser._refusal([misspelled])
            assert hint.startswith(f"unknown option {misspelled}: ") and option in hint


@pytest.mark.parametrize("command", [name for name, _ in PARSERS if " " not in name])
def test_each_command_is_suggested_for_its_misspelling(command, capsys):
    misspelled = command[:-1] + "x"
    with pytest.raises(SystemExit) as ended:
        cli.main([misspelled])
    assert ended.value.code == 2
    assert re.search(rf"unknown command '{misspelled}': did you mean .*{command}", capsys.readouterr().err)


# -- JSON ----------------------------------------------------------------------------------------------


def test_json_is_one_switch_in_all_commands():
    found = {
        name: parser._option_string_actions["--json"] for name, parser in PARSERS if "--json" in parser.format_help()
    }
    assert {
        "predict", "evaluate", "fewshot", "verify", "export", "models", "info", "bench", "experiment", "lessons grade"
    } <= set(found)  # fmt: skip
    for name, action in found.items():
        assert action.nargs == 0 and action.const is True, name
        assert re.match(r"print .*JSON", action.help), name


def test_a_model_is_described_in_json(capsys):
    assert cli.main(["info", "ViT-XS_4-CIFAR", "--num-classes", "7", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["model"], found["dim"], found["num_classes"]) == ("ViT-XS_4-CIFAR", 64, 7)
    model = minivit.create_model("ViT-XS_4-CIFAR", num_classes=7)
    assert found["costs"][-1]["part"] == "total" and found["costs"][-1]["parameters"] == model.num_parameters()


def test_a_plan_in_json_has_what_the_table_has(capsys):
    words = ["bench", "ViT-XS_4-CIFAR", "--plan", "1,2", "--rate", "1", "--memory", "8"]
    assert cli.main(words) == 0
    assert "ViT-XS_4-CIFAR" in capsys.readouterr().out
    assert cli.main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [plan["count"] for plan in found["plans"]] == [1, 2]
    assert found["plans"][0]["seconds"] == pytest.approx(found["plans"][0]["compute"])
    assert found["images_that_fit"]["ViT-XS_4-CIFAR"] > 1000


@pytest.mark.parametrize("words", [["bench", "ViT-XS_4-CIFAR"], ["lessons", "grade", "folder"]])
def test_a_file_after_json_is_answered_with_out(words, capsys):
    try:
        status = cli.main([*words, "--json", "found.json"])
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    assert "--json prints to standard output: to write a file, give --out found.json" in capsys.readouterr().err


def test_info_json_without_a_model_says_where_the_names_are(capsys):
    assert cli.main(["info", "--json"]) == 2
    assert "`minivit models --json`" in capsys.readouterr().err


# -- intervals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("--eval-every 2", 2.0), ("--eval-every 2epochs", 2.0), ("--eval-every 0.5epoch", 0.5),
        ("--eval-every 1e9", 1e9),
        ("--log-every 50", 50), ("--log-every 50steps", 50), ("--log-every 1step", 1),
        ("--save-every 60", 60.0), ("--save-every 60s", 60.0), ("--save-every 1.5seconds", 1.5),
    ],
)  # fmt: skip
def test_an_interval_may_say_its_unit(words, value):
    options = cli.build_parser().parse_args(["train", *words.split()])
    found = getattr(options, words.split()[0][2:].replace("-", "_"))
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--eval-every 500steps", "--eval-every must be in epochs, such as 2 or 2epochs, not '500steps'"),
        ("--log-every 60s", "--log-every must be in steps, such as 2 or 2steps, not '60s'"),
        ("--save-every 1epoch", "--save-every must be in seconds, such as 2 or 2s, not '1epoch'"),
        ("--save-every s", "--save-every must be a finite number"),
        ("--log-every 1.5steps", "--log-every must be an integer, not '1.5'"),
    ],
)
def test_another_unit_is_refused(words, sentence, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.build_parser().parse_args(["train", *words.split()])
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err
