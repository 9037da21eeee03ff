"""How many cores a process may use: a container's quota counts, in both versions of cgroups, nested or not."""

import math
import os
import warnings

import pytest

from minivit.backend import arrays as backend
from minivit.backend import workers
from minivit.backend.cores import cpu_quota
from minivit.backend.workers import Workers
from minivit.errors import Notice


def tree(root, cgroup, files):
    """A file system with these cgroups: the lines of /proc/self/cgroup, and what is in files of /sys/fs/cgroup."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup, encoding="utf-8")
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


V1 = "12:pids:/docker/ab\n4:cpu,cpuacct:/docker/ab\n1:name=systemd:/docker/ab\n0::/system.slice\n"


@pytest.mark.parametrize(
    ("cgroup", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2.0),
        ("0::/\n", {"cpu.max": "max 100000\n"}, math.inf),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 0.5),
        ("0::/pod/box\n", {"cpu.max": "max 100000\n", "pod/box/cpu.max": "300000 100000\n"}, 3.0),
        ("0::/pod/box\n", {"pod/cpu.max": "150000 100000\n", "pod/box/cpu.max": "300000 100000\n"}, 1.5),
        ("0::/docker/ab\n", {"cpu.max": "400000 100000\n"}, 4.0),  # the container sees itself as the root
        ("0::/../other\n", {"cpu.max": "400000 100000\n"}, 4.0),
        (V1, {"cpu,cpuacct/cpu.cfs_quota_us": "200000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}, 2.0),
        (V1, {"cpu/docker/ab/cpu.cfs_quota_us": "250000\n", "cpu/docker/ab/cpu.cfs_period_us": "50000\n"}, 5.0),
        (V1, {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
        (V1, {"unified/system.slice/cpu.max": "100000 100000\n"}, 1.0),  # version 2 beside version 1
        (V1, {"cpu/cpu.cfs_quota_us": "200000\n"}, math.inf),
        ("0::/\n", {"cpu.max": ""}, math.inf),
        ("0::/\n", {"cpu.max": "0 0\n"}, math.inf),
        ("0::/\n", {"cpu.max": "words are here\n"}, math.inf),
        ("nonsense\n", {"cpu.max": "100000 100000\n"}, math.inf),
        ("", {}, math.inf),
    ],
)
def test_the_least_quota_of_the_nested_cgroups_counts(tmp_path, cgroup, files, quota):
    assert cpu_quota(tree(tmp_path, cgroup, files)) == quota


def test_without_cgroups_there_is_no_quota(tmp_path):
    assert cpu_quota(tmp_path) == math.inf


@pytest.mark.parametrize(
    ("affinity", "quota", "cores"), [(64, 2.0, 2), (1, 2.0, 1), (64, 1.5, 2), (64, 0.1, 1), (4, math.inf, 4)]
)
def test_there_are_as_many_workers_as_affinity_and_quota_allow(monkeypatch, affinity, quota, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(affinity)), raising=False)
    monkeypatch.setattr(backend, "cpu_quota", lambda: quota)
    assert backend.available_cores() == cores
    assert Workers().count == cores


def test_far_more_threads_than_cores_are_not_started(monkeypatch):
    monkeypatch.setattr(workers, "available_cores", lambda: 2)
    with pytest.warns(Notice, match="1,000 threads would wait for each other on 2 cores: 64 are used"):
        assert workers.Workers(1_000).count == 64
    with warnings.catch_warnings(action="error", category=Notice):
        assert workers.Workers(64).count == 64
        monkeypatch.setattr(workers, "available_cores", lambda: 96)
        assert workers.Workers(96).count == 96
