"""Completion with the Tab key: what bash and zsh answer with the script that `minivit completion` prints."""

import os
import select
import shutil
import subprocess
import sys
import time

import pytest

from minivit import cli
from minivit.cli import completion
from minivit.data import DATASETS
from minivit.errors import ConfigError
from minivit.models import MODEL_NAMES
from minivit.training import TrainConfig
from minivit.weights import PRETRAINED

CASES = [  # what is typed, the last word not yet whole; some words that are offered; some that are not
    (("tr",), {"train"}, {"export"}),
    (("train", "--datas"), {"--dataset"}, {"--data-dir"}),
    (("train", "--dataset", "cifar"), {"cifar10", "cifar100"}, {"shapes"}),
    (("train", "--lr-schedule", "l"), {"linear"}, {"cosine"}),
    (("train", "--model", "ViT-XS_4"), {"ViT-XS_4-CIFAR"}, {"ViT-B_16"}),
    (("finetune", "--weights", "DINOv2-"), {"DINOv2-S_14"}, {"DINO-S_16"}),
    (("finetune", "--recipe", "p"), {"pets"}, {"flowers"}),
    (("recipes", "fl"), {"flowers"}, {"pets"}),
    (("predict", "pho"), {"photo.jpg", "photos"}, {"notes.txt"}),
    (("inspect", "DINO-S"), {"DINO-S_16", "DINO-S_8"}, {"photo.jpg"}),
    (("lessons", "g"), {"grade"}, {"open"}),
    (("lessons", "grade", "--meg"), {"--megabytes"}, {"--seconds"}),
]


@pytest.fixture
def folder(tmp_path):
    """A folder with something to complete."""
    (tmp_path / "photo.jpg").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "photos").mkdir()
    return tmp_path


def script(shell, path, capsys):
    pytest.importorskip("shtab", reason="the completion extra is not installed")
    assert cli.main(["completion", shell]) == 0
    text = capsys.readouterr().out
    path.write_text(text, encoding="utf-8")
    return path


# -- bash ----------------------------------------------------------------------------------------------

ASK_BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 ))
$(complete -p minivit | sed -E 's/.*-F ([^ ]+) .*/\\1/') 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_bash_completes(folder, capsys):
    path = script("bash", folder / "minivit.bash", capsys)
    for words, offered, others in CASES:
        begun = time.monotonic()
        arguments = ["bash", "--norc", "-c", ASK_BASH, "ask", path.name, "minivit", *words]
        answer = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
        found = set(answer.stdout.split())
        assert offered <= found and not others & found, (words, found)
        assert all(word.startswith(words[-1]) for word in found), words
        assert time.monotonic() - begun < 10


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_bash_offers_every_option_of_a_command_and_every_data_set(folder, capsys):
    path = script("bash", folder / "minivit.bash", capsys)
    parser = cli.build_parser()._subparsers._group_actions[0].choices["train"]
    for words, expected in (
        (("train", "--"), {option for option in parser._option_string_actions if option.startswith("--")}),
        (("train", "--dataset", ""), set(DATASETS)),
        (("train", "--model", ""), set(MODEL_NAMES)),
        (("evaluate", "--weights", ""), {*PRETRAINED, "photo.jpg"}),
    ):
        arguments = ["bash", "--norc", "-c", ASK_BASH, "ask", path.name, "minivit", *words]
        answer = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
        assert expected <= set(answer.stdout.split())


# -- zsh -----------------------------------------------------------------------------------------------


SET_UP_ZSH = """
fpath=($PWD $fpath)
autoload -Uz compinit && compinit -u -D
compadd () {
  [[ " $* " == *' -'[AOD]' '* ]] || { local -a hits; builtin compadd -A hits "$@"; print -l -- $hits >> offered; }
  builtin compadd "$@"
}
"""


class Zsh:
    """An interactive zsh in a pseudo-terminal, which writes what it offers to a file.

    Args:
        folder: where it starts, and where it finds the completion `_minivit`.
    """

    def __init__(self, folder):
        import pty

        self.offered = folder / "offered"
        (folder / "set-up.zsh").write_text(SET_UP_ZSH, encoding="utf-8")
        self.pid, self.terminal = pty.fork()
        if not self.pid:
            os.chdir(folder)
            os.execvpe("zsh", ["zsh", "-f", "-i"], {**os.environ, "TERM": "dumb", "ZDOTDIR": str(folder)})
        self.run("source ./set-up.zsh")

    def run(self, line):
        """Type a line, and wait until it is done."""
        os.write(self.terminal, f"{line}\nprint do''ne\n".encode())
        text = ""
        while "done" not in text:
            assert select.select([self.terminal], [], [], 60)[0], text
            text += os.read(self.terminal, 65536).decode(errors="replace")

    def completed(self, words):
        """Return the words that are offered after Tab."""
        self.offered.write_text("", encoding="utf-8")
        self.run("minivit " + " ".join(words) + "\t\x15")  # Tab, then clear the line
        return {word.rstrip("/") for word in self.offered.read_text(encoding="utf-8").split()}

    def close(self):
        os.close(self.terminal)
        os.waitpid(self.pid, 0)


@pytest.mark.skipif(not shutil.which("zsh") or sys.platform == "win32", reason="zsh is not installed")
def test_zsh_completes(folder, capsys):
    script("zsh", folder / "_minivit", capsys)
    zsh = Zsh(folder)
    try:
        for words, offered, others in CASES:
            found = zsh.completed(words)
            assert offered <= found and not others & found, (words, found)
    finally:
        zsh.close()


# -- the command -----------------------------------------------------------------------------------------


def test_without_shtab_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert cli.main(["completion", "bash"]) == 2
    assert capsys.readouterr().err == ("minivit: error: shtab is not installed: pip install 'minivit[completion]'\n")


def test_another_shell_is_refused(capsys):
    with pytest.raises(SystemExit):
        cli.main(["completion", "bahs"])
    assert "SHELL must be one of bash, zsh, fish, powershell, not 'bahs'; did you mean bash?" in capsys.readouterr().err


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_a_script_for_each_shell_has_the_names(shell, folder, capsys):
    text = script(shell, folder / "script", capsys).read_text(encoding="utf-8")
    for word in ("finetune", "label-smoothing", "cifar100", "DINOv2-S_14", "ViT-XS_4-CIFAR"):
        assert word in text, word


@pytest.mark.parametrize(
    "option",
    ["--attention-init", "--augment", "--auto-augment", "--class-weights", "--dataset", "--embedding-init",
     "--lr-schedule", "--model", "--monitor", "--optimizer", "--pool", "--precision", "--qk-norm", "--sampler"],
)  # fmt: skip
def test_each_value_that_is_offered_is_one_that_the_option_takes(option):
    name = option.removeprefix("--").replace("-", "_")
    for value in completion.values_of_options()[option]:
        kept = "" if (name, value) == ("auto_augment", "none") else value
        assert getattr(TrainConfig(**{name: value}), name) == kept
    with pytest.raises(ConfigError):
        TrainConfig(**{name: "no-such-value"})


def test_the_recipes_that_are_offered_are_all():
    found = completion.values_of_options()
    assert set(found["--recipe"]) == {*found["recipes NAME"], "none"} >= {"cifar10", "pets"}
