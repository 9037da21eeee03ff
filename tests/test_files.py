"""Files are written whole, keep their permissions, and are shared by no two processes."""

import errno
import json
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minivit import save_weights
from minivit.errors import DataError, FolderInUseError, SaveError
from minivit.utils import files
from minivit.utils.files import (
    LOCK,
    PART_PREFIX,
    PART_SUFFIX,
    atomic_file,
    locked,
    put_in_place,
    read_json,
    read_text,
    remove_parts,
    safe_name,
    write_json,
    write_text,
)
from minivit.weights.formats.archive import write_archive

from .support import tiny_vit

posix = pytest.mark.skipif(os.name != "posix", reason="Windows knows neither these permissions nor these files")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


# -- permissions ---------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("wanted", [0o600, 0o640, 0o644, 0o660, 0o400])
def test_a_file_keeps_its_permissions_when_it_is_written_again(tmp_path, wanted):
    path = tmp_path / "notes.txt"
    path.write_text("old", encoding="utf-8")
    path.chmod(wanted)
    write_text(path, "new")
    assert (mode(path), path.read_text(encoding="utf-8")) == (wanted, "new")


@posix
@pytest.mark.parametrize("name", ["model.npz", "model.safetensors"])
def test_weights_keep_their_permissions_too(tmp_path, name):
    path = tmp_path / name
    save_weights(tiny_vit(), path)
    path.chmod(0o600)
    save_weights(tiny_vit(), path)
    assert mode(path) == 0o600


@posix
def test_a_new_file_has_the_permissions_that_the_process_gives_to_files(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "new", "")
    finally:
        os.umask(before)
    assert mode(tmp_path / "new") == 0o640


@posix
def test_a_private_file_is_private_while_it_is_written(tmp_path):
    path = tmp_path / "secret"
    write_text(path, "old")
    path.chmod(0o600)
    with atomic_file(path):
        (part,) = (other for other in tmp_path.iterdir() if other != path)
        assert mode(part) == 0o600


# -- temporary files -----------------------------------------------------------------------------


@posix
def test_no_link_that_lies_in_wait_is_followed(tmp_path, monkeypatch):
    victim = tmp_path / "victim"
    victim.write_text("mine", encoding="utf-8")
    folder = tmp_path / "shared"
    folder.mkdir()
    for name in (".x.txt.part", "x.txt.part"):
        (folder / name).symlink_to(victim)
    monkeypatch.setattr("minivit.utils.files.secrets.token_hex", lambda count: "guessed")
    (folder / f"{PART_PREFIX}{os.getpid()}-guessed{PART_SUFFIX}").symlink_to(victim)
    with pytest.raises(SaveError, match="File exists"):
        write_text(folder / "x.txt", "new")
    assert victim.read_text(encoding="utf-8") == "mine"

    monkeypatch.undo()
    (folder / "y.txt").symlink_to(victim)
    write_text(folder / "y.txt", "new")
    assert victim.read_text(encoding="utf-8") == "mine"
    assert (folder / "y.txt").read_text(encoding="utf-8") == "new"


def test_two_that_write_one_file_at_once_leave_the_whole_of_one(tmp_path):
    path = tmp_path / "file"
    texts = [letter * 200_000 for letter in "abc"]
    seen = set()
    done = threading.Event()

    def write(text):
        for _ in range(15):
            write_text(path, text)

    def read():
        while not done.is_set():
            if path.exists():
                seen.add(path.read_text(encoding="utf-8"))

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert seen <= set(texts) and seen
    assert [other.name for other in tmp_path.iterdir()] == ["file"]


def test_a_name_as_long_as_a_name_may_be_is_written(tmp_path):
    path = tmp_path / ("é" * 125 + ".json")  # 255 bytes in UTF-8
    write_json(path, [1])
    assert read_json(path) == [1]


def test_what_cannot_be_written_is_said_in_one_sentence(tmp_path):
    with pytest.raises(SaveError, match="too long"):
        write_text(tmp_path / ("x" * 300), "")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SaveError, match=r"could not write .*folder"):
        write_text(tmp_path / "folder", "")
    write_text(tmp_path / "file", "")
    with pytest.raises(SaveError, match=r"could not write .*inside"):
        write_text(tmp_path / "file" / "inside", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_disk_that_is_full_leaves_the_old_file(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "weights.npz"
    write_archive(path, {"a": np.zeros(3)})
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SaveError, match="No space left on device; what was there before is unchanged"):
        write_archive(path, {"a": np.ones(3)})
    assert path.read_bytes() == before
    assert [other.name for other in tmp_path.iterdir()] == ["weights.npz"]


@posix
def test_a_device_is_written_to_and_not_replaced(tmp_path):
    write_text(os.devnull, "nothing")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_text(pipe, "through the pipe")
    reader.join()
    assert read == [b"through the pipe"] and stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.fixture
def on_windows(monkeypatch):
    """Windows, where a reader holds a file for as many attempts as `.held` says."""
    state = SimpleNamespace(held=0, waits=[], now=0.0)
    replace = Path.replace

    def refused(part, path):
        if state.held > 0:
            state.held -= 1
            raise PermissionError(errno.EACCES, "Access is denied", str(path))
        return replace(part, path)

    def wait(seconds):
        state.waits.append(seconds)
        state.now += seconds

    monkeypatch.setattr(files, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(files, "time", SimpleNamespace(sleep=wait, monotonic=lambda: state.now))
    monkeypatch.setattr(Path, "replace", refused)
    return state


def test_a_file_that_a_viewer_holds_for_a_moment_is_replaced_on_windows(tmp_path, on_windows):
    path = tmp_path / "checkpoint.npz"
    write_archive(path, {"a": np.zeros(3)})
    on_windows.held = 2

    write_archive(path, {"a": np.ones(3)})

    assert len(on_windows.waits) == 2 and sum(on_windows.waits) < 1
    with np.load(path) as saved:
        assert np.array_equal(saved["a"], np.ones(3))
    assert [other.name for other in tmp_path.iterdir()] == ["checkpoint.npz"]


def test_a_file_that_a_viewer_holds_on_is_named_and_kept(tmp_path, on_windows):
    path = tmp_path / "notes.txt"
    write_text(path, "old")
    on_windows.held = 10**9

    with pytest.raises(
        SaveError, match="it is read-only, or another program has it open: close that program; what was there before"
    ):
        write_text(path, "new")

    assert 5 < sum(on_windows.waits) < 15
    assert path.read_text(encoding="utf-8") == "old"
    assert [other.name for other in tmp_path.iterdir()] == ["notes.txt"]


@pytest.fixture
def windows_locks(monkeypatch):
    """Locks as on Windows, simulated: `refuses` names the call that has no permission."""
    state = SimpleNamespace(refuses="", open=set())
    real_open, real_close = os.open, os.close

    def refused(call):
        if state.refuses == call:
            raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(files, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(os, "O_TEMPORARY", 0, raising=False)  # Windows deletes such a file when it is closed

    def opened(path, flags):
        refused("open")
        descriptor = real_open(path, flags)
        state.open.add(descriptor)
        return descriptor

    def close(descriptor):
        state.open.discard(descriptor)
        real_close(descriptor)

    monkeypatch.setattr(files, "os", SimpleNamespace(**vars(os) | {"open": opened, "close": close}))
    msvcrt = SimpleNamespace(LK_NBLCK=0, locking=lambda *_: refused("locking"))
    monkeypatch.setitem(sys.modules, "msvcrt", msvcrt)
    return state


def test_a_folder_that_nobody_may_write_to_is_not_in_use_on_windows(tmp_path, windows_locks):
    windows_locks.refuses = "open"
    with pytest.raises(SaveError, match=r"could not write .*: Permission denied"), locked(tmp_path):
        pass


@pytest.mark.parametrize("call", ["open", "locking"])
def test_a_folder_that_another_process_has_is_in_use_on_windows(tmp_path, windows_locks, call):
    (tmp_path / LOCK).touch()
    windows_locks.refuses = call
    with pytest.raises(FolderInUseError), locked(tmp_path):
        pass
    assert not windows_locks.open
    windows_locks.refuses = ""
    with locked(tmp_path) as has_locks:
        assert has_locks and len(windows_locks.open) == 1


def test_elsewhere_no_permission_is_no_reason_to_wait(tmp_path, on_windows, monkeypatch):
    monkeypatch.setattr(files, "sys", SimpleNamespace(platform="linux"))
    on_windows.held = 1

    with pytest.raises(SaveError, match="Access is denied"):
        write_text(tmp_path / "notes.txt", "new")

    assert on_windows.waits == []


def test_a_folder_takes_the_place_of_an_empty_one_which_windows_does_not_replace(tmp_path, monkeypatch):
    replace = Path.replace

    def as_windows_does(part, path):
        assert not path.exists()
        return replace(part, path)

    monkeypatch.setattr(Path, "replace", as_windows_does)
    part, folder = tmp_path / ".part", tmp_path / "folder"
    part.mkdir()
    folder.mkdir()
    write_text(part / "file", "x")

    put_in_place(part, folder)

    assert (folder / "file").is_file() and not part.exists()


def test_what_killed_processes_left_is_removed(tmp_path):
    (tmp_path / f"{PART_PREFIX}1-ab{PART_SUFFIX}").write_bytes(b"half")
    (tmp_path / ".other.part").write_bytes(b"somebody's")
    remove_parts(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".other.part"]


# -- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_damage(tmp_path, encoding):
    path = tmp_path / "config.json"
    path.write_text('{"dataset": "größe"}', encoding=encoding)
    assert read_json(path) == {"dataset": "größe"}


@pytest.mark.parametrize("data", [b"", b"{", b"\0\0\0", b"\xff", b"[" * 100_000, b'{"a": ' + b"9" * 5_000 + b"}"])
def test_what_is_not_json_is_said_in_one_short_sentence(tmp_path, data):
    path = tmp_path / "config.json"
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"config\.json") as caught:
        read_json(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200 + len(str(path))


def test_what_cannot_be_read_is_said_in_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"could not read .*: "):
        read_text(tmp_path)
    with pytest.raises(DataError, match=r"could not read .*: No such file"):
        read_text(tmp_path / "absent")


@posix
def test_names_that_are_not_unicode_survive_in_json(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    write_json(tmp_path / "a.json", {"dataset": name})
    assert read_json(tmp_path / "a.json") == {"dataset": name}
    json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))


# -- locks ---------------------------------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from minivit.utils.files import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_and_a_dead_one_holds_nothing(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "locked\n"
        with pytest.raises(FolderInUseError, match="is in use by another minivit process") as caught, locked(tmp_path):
            pass
        if os.name == "posix":
            assert f"({holder.pid})" in str(caught.value)
        holder.kill()
        holder.wait()
    with locked(tmp_path) as held:
        assert held
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_held_by_one_at_a_time_however_often_it_is_taken(tmp_path):
    inside, most, taken = [], [0], [0]

    def take():
        for _ in range(100):
            try:
                with locked(tmp_path):
                    inside.append(1)
                    most[0] = max(most[0], len(inside))
                    taken[0] += 1
                    time.sleep(0.0001)
                    inside.pop()
            except FolderInUseError:
                time.sleep(0.0001)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1 and taken[0] > 4
    assert list(tmp_path.iterdir()) == []


@posix
def test_no_link_is_followed_to_a_lock(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine", encoding="utf-8")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / LOCK).symlink_to(victim)
    with pytest.raises(SaveError), locked(folder):
        pass
    assert victim.read_text(encoding="utf-8") == "mine"


@posix
def test_where_the_file_system_knows_no_locks_it_goes_on_without(tmp_path, monkeypatch):
    import fcntl

    def refuse(descriptor, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path) as held:
        assert not held
    assert list(tmp_path.iterdir()) == []


# -- names made of a user's words -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("photos", "photos"),
        ("a/b\\c:d", "a_b_c_d"),
        ('<>"|?*', "______"),
        ("dollar$x_$y", "dollar$x_$y"),
        ("katzen und hunde", "katzen und hunde"),
        ("\u732b", "\u732b"),
        ("a\x1b[2J\nb\0", "a_[2J_b_"),
        ("caf\udce9", "caf_"),
        ("...", "_"),
        ("", "_"),
        ("trailing. . ", "trailing"),
        (".hidden", "hidden"),
        ("con", "_con"),
        ("LPT1.txt", "_LPT1.txt"),
        ("concert", "concert"),
        ("com¹.txt", "_com¹.txt"),
        ("CONOUT$", "_CONOUT$"),
    ],
)
def test_a_name_of_a_users_words_is_allowed_everywhere(tmp_path, words, name):
    assert safe_name(words) == name
    (tmp_path / name).mkdir()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_long_name_is_cut_at_a_whole_letter():
    assert safe_name("x" * 300) == "x" * 100
    assert safe_name("\u732b" * 300, 100) == "\u732b" * 33
