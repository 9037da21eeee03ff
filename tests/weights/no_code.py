"""Watches that nothing is imported, compiled, executed or started while a file is read."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

FORBIDDEN = (
    "import", "compile", "exec", "code.__new__", "function.__new__", "pickle.find_class", "marshal.loads", "os.system",
    "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile", "os.remove", "os.rename",
    "os.putenv", "os.chmod", "subprocess.Popen", "socket.connect", "socket.__new__", "ctypes.dlopen", "ctypes.dlsym",
    "shutil.rmtree", "sys.addaudithook", "builtins.input", "webbrowser.open", "urllib.Request", "pty.spawn",
)  # fmt: skip

_seen: list[str] | None = None
_is_hooked = False


def _hook(event: str, arguments: tuple) -> None:
    if _seen is None:
        return
    if event in FORBIDDEN:
        _seen.append(f"{event} {arguments!r:.80}")
    elif event == "open" and not str(arguments[1] or "r").startswith("r"):
        _seen.append(f"open {arguments!r:.80}")


@contextmanager
def nothing_is_run() -> Iterator[list[str]]:
    """Collect what is imported, run or opened for writing inside the block; it must stay empty."""
    global _seen, _is_hooked
    if not _is_hooked:
        "\n".encode("unicode_escape")  # printing a sentence imports this codec once
        sys.addaudithook(_hook)
        _is_hooked = True
    _seen = found = []
    try:
        yield found
    finally:
        _seen = None
