"""The command's streams and signals: closed, full, without a reader, of any encoding, and Ctrl-C at any moment."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import minivit
from minivit.cli import main
from minivit.utils import console

pytestmark = pytest.mark.usefixtures("undrawn")

COMMANDS = (
    "train",
    "finetune",
    "pretrain",
    "evaluate",
    "predict",
    "fewshot",
    "inspect",
    "models",
    "info",
    "bench",
    "experiment",
)
MINIVIT = [sys.executable, "-m", "minivit"]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")


def run_in_shell(command, **environment):
    """The exit status of a shell command in which `minivit` is ours, and what it said on standard error."""
    shell = f'minivit() {{ "{sys.executable}" -m minivit "$@"; }}; {command}'
    done = subprocess.run(
        ["bash", "-c", shell], capture_output=True, timeout=120, env={**os.environ, **environment}, check=False
    )
    return done.returncode, done.stderr.decode("utf-8")


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


# -- output that cannot be written ---------------------------------------------------------------


@POSIX
@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        ("minivit info > /dev/full", 1, "No space left on device"),
        ("minivit info --what >&- 2>&- <&-", 2, ""),
        ("{ sleep 0.01; minivit info; } | true; exit ${PIPESTATUS[0]}", 141, ""),
        slow("minivit info ViT-B_16 >&-", 1, "standard output"),
        slow("minivit train --help > /dev/full", 1, "No space left on device"),
        slow("minivit info 2> /dev/full", 0, ""),
        slow("minivit info >/dev/null 2>&-", 0, ""),
        slow("minivit info ViT-B_61 2>&-", 2, ""),
        slow("minivit info ViT-B_61 2> /dev/full", 2, ""),
    ],
)
def test_a_stream_that_cannot_be_written_is_an_exit_status_and_a_sentence(command, status, words):
    if "full" in command and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    got, said = run_in_shell(command)
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert got == status
    assert words in said
    assert len(said.splitlines()) == bool(words)


class Broken(io.RawIOBase):
    """A raw stream that takes a few writes and then fails for ever."""

    def __init__(self, takes, error):
        self.takes, self.error, self.taken = takes, error, b""

    def writable(self):
        return True

    def write(self, data):
        if not self.takes:
            raise self.error
        self.takes -= 1
        self.taken += bytes(data)
        return len(data)


@pytest.fixture
def broken(monkeypatch):
    """Give the process a guarded standard output that breaks after one write; returns its guard and the raw stream."""

    def begin(error):
        raw = Broken(1, error)
        stream = io.TextIOWrapper(io.BufferedWriter(raw), encoding="cp1252")
        monkeypatch.setattr(console, "_guards", {})
        monkeypatch.setattr(sys, "stdout", console._guarded("stdout", stream))
        return raw, stream

    return begin


@pytest.mark.parametrize(
    ("error", "status"), [(BrokenPipeError(32, "Broken pipe"), 141), (OSError(28, "No space left on device"), 1)]
)
def test_what_outlives_its_output_goes_on_and_tells_with_its_status(broken, error, status, capsys):
    raw, _keep = broken(error)
    with console.outliving_output():
        for line in ("first", "second", "third"):
            print(line, flush=True)
    assert raw.taken.split() == [b"first"]
    assert console.close_output(0) == status
    assert console.close_output(130) == 130
    assert ("No space left" in capsys.readouterr().err) == (status == 1)


def test_outside_of_that_a_command_stops_at_once(broken):
    _raw, _keep = broken(OSError(28, "No space left on device"))
    print("first", flush=True)
    with pytest.raises(OSError, match="No space") as raised:
        print("second", flush=True)
    assert console.output_failed(raised.value)
    assert not console.output_failed(OSError(28, "another file's"))


def test_a_letter_that_the_console_lacks_is_written_as_an_escape(broken):
    raw, _keep = broken(OSError())
    print("90 % ± 1 猫 caf\udce9", flush=True)
    assert raw.taken == b"90 % \xb1 1 \\u732b caf\\udce9" + os.linesep.encode()


@pytest.mark.parametrize("encoding", ["ascii", "cp437"])
def test_help_is_printed_on_a_console_of_any_encoding(encoding):
    done = subprocess.run(
        [*MINIVIT, "experiment", "--help"], capture_output=True, timeout=120, check=False,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_into_a_full_output_is_an_exit_status(command, broken):
    """`--help` of every command, into a standard output that takes nothing."""
    raw, _keep = broken(OSError(28, "No space left on device"))
    raw.takes = 0
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert console.close_output(0) == 1


# -- Ctrl-C --------------------------------------------------------------------------------------

INTERRUPT = """
import signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Finder())
sys.argv = ["minivit", "info", "ViT-B_16"]
from minivit.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    "module",
    [
        "numpy",
        "numpy.linalg",
        "minivit.utils.console",
        "minivit.cli",
        "minivit.cli.bench",
        "minivit.models.cost",
    ],
)
def test_ctrl_c_ends_a_command_that_is_still_being_loaded(module):
    in_front = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"  # wherever the tests run
    code = in_front + INTERRUPT.format(module=module)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120, check=False)
    assert done.stderr.decode().splitlines() == ["minivit: interrupted"]
    assert done.stdout == b""
    assert done.returncode == 130


def test_the_command_is_answerable_before_anything_large_is_imported():
    """Whatever is imported before the command answers Ctrl-C prolongs the time in which it does not."""
    root = str(Path(minivit.__file__).parents[1])
    code = (
        f"import os, sys; before = set(sys.modules); sys.path[:0] = [{root!r}]; import minivit.__main__; "
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    # Without site-packages (-S), whose own imports would hide ours.
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, timeout=60, check=True)
    of_enum = {"enum", "types", "operator", "_operator", "functools", "_functools", "collections", "_collections",
               "itertools", "keyword", "reprlib"}  # fmt: skip
    assert set(done.stdout.split()) <= {
        "minivit",
        "importlib",
        "warnings",
        "_warnings",
        "__future__",
        "signal",
        *of_enum,
    }


@POSIX
def test_an_ignored_ctrl_c_stays_ignored():
    """As after `nohup`, or in the background of a script."""
    code = INTERRUPT.format(module="numpy")
    status, said = run_in_shell(f'trap \'\' INT; "{sys.executable}" -c "$CODE" > /dev/null', CODE=code)
    assert (status, said) == (0, "")


IN_TURNS = """
from minivit.utils.console import guard_streams
from minivit.utils.notices import notice, notices_as_lines
guard_streams()
with notices_as_lines():
    print("one")
    notice("two")
    print("three")
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_notice_is_between_the_lines_before_and_after_it_in_one_pipe(unbuffered):
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(
        [sys.executable, "-c", IN_TURNS],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == ["one", "minivit: note: two", "three"]
