"""Accelerate, which no system but macOS has, is played here by an object with a setting for each thread."""

import os
import platform
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from minivit import __main__
from minivit.backend import accelerate
from minivit.backend.workers import Workers
from minivit.training import folder


class Setting(threading.local):
    """Accelerate's own: several threads until a thread says otherwise."""

    value = accelerate.SEVERAL


@pytest.fixture
def setting(monkeypatch):
    setting = Setting()
    library = SimpleNamespace(
        BLASGetThreading=lambda: setting.value,
        BLASSetThreading=lambda value: setattr(setting, "value", value),
    )
    on_macos_with(monkeypatch, {accelerate.ACCELERATE: library}.__getitem__)
    return setting


def on_macos_with(monkeypatch, load):
    monkeypatch.setattr(accelerate, "sys", SimpleNamespace(platform="darwin"))
    monkeypatch.setattr(accelerate, "ctypes", SimpleNamespace(CDLL=load))


@pytest.mark.parametrize("count", [1, 3])
def test_every_thread_of_a_pool_computes_products_alone_and_this_one_gets_its_own_back(setting, count):
    with Workers(count) as workers:
        assert list(workers.map(lambda _: setting.value, range(20))) == [accelerate.ONE] * 20
        assert setting.value == accelerate.ONE
        with workers.together():
            assert setting.value == (accelerate.SEVERAL if count > 1 else accelerate.ONE)
        assert setting.value == accelerate.ONE

    assert setting.value == accelerate.SEVERAL


def test_an_error_gives_the_setting_back_too(setting):
    with pytest.raises(ValueError), Workers(2) as workers, workers.together():
        raise ValueError

    assert setting.value == accelerate.SEVERAL


def test_a_macos_whose_accelerate_has_no_setting_works_too(monkeypatch):
    on_macos_with(monkeypatch, lambda name: SimpleNamespace())

    accelerate.limit_accelerate(1)()


def test_other_systems_are_not_asked(monkeypatch):
    on_macos_with(monkeypatch, lambda name: pytest.fail("asked"))
    monkeypatch.setattr(accelerate, "sys", SimpleNamespace(platform="linux"))

    accelerate.limit_accelerate(1)()


@pytest.mark.parametrize(
    ("system", "before", "after"), [("darwin", None, "1"), ("darwin", "4", "4"), ("linux", None, None)]
)
def test_the_command_line_limits_it_before_numpy_is_loaded_unless_told_otherwise(monkeypatch, system, before, after):
    monkeypatch.delenv("VECLIB_MAXIMUM_THREADS", raising=False)
    if before is not None:
        monkeypatch.setenv("VECLIB_MAXIMUM_THREADS", before)
    monkeypatch.setattr(__main__, "sys", SimpleNamespace(platform=system))

    __main__.limit_accelerate()

    assert os.environ.get("VECLIB_MAXIMUM_THREADS") == after
    monkeypatch.delenv("VECLIB_MAXIMUM_THREADS", raising=False)


def test_numpy_is_not_loaded_when_the_command_line_begins():
    code = "import sys, minivit.__main__; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


def test_a_run_notes_the_macos_that_accelerate_belongs_to(monkeypatch):
    built = {"Build Dependencies": {"blas": {"name": "accelerate", "version": "unknown"}}}
    monkeypatch.setattr(np, "show_config", lambda mode: built)
    monkeypatch.setattr(platform, "mac_ver", lambda: ("15.3", ("", "", ""), "arm64"))

    assert folder.versions("cpu")["BLAS"] == "Accelerate of macOS 15.3"
