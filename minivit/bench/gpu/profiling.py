"""The time of every kernel in a training step, ours, cuBLAS's and PyTorch's, from NVIDIA's own counters."""

# pyright: reportMissingImports=false
# (PyTorch is optional)

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

from ...backend.gpu.cuda import find_cupy, wait_for
from ..contenders import LIBRARIES, Job, torch_with_gpu
from .findings import Findings, Settings
from .speed import jobs, name_of
from .timing import milliseconds

PROFILES = [("minivit", "tf32"), ("minivit", "bfloat16"), ("torch", "tf32")]
STEPS = 3
LONGEST_LIST = 45


def profile(settings: Settings, findings: Findings) -> None:
    """Measure the kernels of a step of minivit, and of PyTorch.

    PyTorch's profiler asks CUPTI, NVIDIA's library of counters, which sees CuPy's launches as well.
    """
    if problem := torch_with_gpu():
        findings.note(f"{problem}: no profile without PyTorch's profiler")
        return
    for library, precision in PROFILES:
        if findings.has_precision(precision, settings.device):
            for job in jobs(settings):
                if job.precision == precision:
                    findings.measure(f"{name_of(job)}, {library}", lambda j=job, name=library: _profiled(j, name))


def _profiled(job: Job, library: str) -> dict[str, Any]:
    import torch
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    find_cupy()[0].get_default_memory_pool().free_all_blocks()  # what the last one left is room for this one
    torch.cuda.empty_cache()
    with ExitStack() as stack:
        work, inputs = LIBRARIES[library].work(job, stack), job.inputs(0)
        wall = milliseconds(lambda: work(*inputs), job.device, STEPS)
        with profiler(activities=[ProfilerActivity.CUDA]) as seen:
            for _ in range(STEPS):
                work(*inputs)
            wait_for(job.device)
        rows = kernel_rows(seen.key_averages(), STEPS)
    return {
        "step_ms": round(wall, 3),
        "busy_ms": round(sum(row["us"] for row in rows) / 1e3, 3),
        "launches": round(sum(row["launches"] for row in rows), 1),
        "kernels": rows[:LONGEST_LIST],
    }


def kernel_rows(events: Iterable[Any], steps: int) -> list[dict[str, Any]]:
    """Return the kernels and copies of one step, the longest first: microseconds, launches and name of each."""
    rows = []
    for event in events:
        us = getattr(event, "self_device_time_total", None)  # older versions of PyTorch say "cuda"
        us = getattr(event, "self_cuda_time_total", 0.0) if us is None else us
        if us:
            rows.append(
                {"us": round(us / steps, 2), "launches": round(event.count / steps, 2), "name": event.key[:150]}
            )
    return sorted(rows, key=lambda row: -row["us"])
