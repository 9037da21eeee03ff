"""Training steps of minivit beside PyTorch's on the same GPU, in each precision."""

from __future__ import annotations

from ...backend.arrays import available_cores
from ...errors import BenchmarkError
from ..compare import compare
from ..contenders import Job, torch_with_gpu
from .findings import Findings, Settings

MODELS = {"ViT-Ti_4-CIFAR": 512, "ViT-B_16": 64}  # and their batches
PRECISIONS = ("tf32", "bfloat16", "float32", "float16")  # the most telling first, should the time not suffice
TINY = {"image_size": 8, "patch_size": 4, "dim": 12, "depth": 1, "heads": 3, "mlp_dim": 16}


def eager(settings: Settings, findings: Findings) -> None:
    """Measure minivit beside PyTorch's eager mode."""
    _steps(settings, findings, "torch")


def compiled(settings: Settings, findings: Findings) -> None:
    """Measure minivit beside PyTorch compiled."""
    _steps(settings, findings, "torch-compiled")


def jobs(settings: Settings) -> list[Job]:
    """Return the steps to measure, in the order in which they are measured."""
    models = {"ViT-Ti_4-CIFAR": 2} if settings.tiny else MODELS
    return [
        Job(model=model, task="train", batch_size=batch, workers=available_cores(), device=settings.device,
            precision=precision, changes=TINY if settings.tiny else {})
        for precision in PRECISIONS for model, batch in models.items()
    ]  # fmt: skip


def name_of(job: Job) -> str:
    """Return the name of a job's measurements."""
    return f"{job.model}, batch {job.batch_size}, {job.precision}"


def _steps(settings: Settings, findings: Findings, peer: str) -> None:
    problem = torch_with_gpu()
    if problem:
        findings.note(f"{problem}: the comparison with PyTorch is left out")
        if peer != "torch":  # then minivit alone is measured with eager PyTorch's turn
            return
    rounds, seconds = (1, 0.01) if settings.tiny else (5, 1.0)
    peers = [] if problem else [peer]
    for job in jobs(settings):
        if not findings.has_precision(job.precision, job.device):
            continue
        findings.measure(name_of(job), lambda job=job: _measured(job, peers, rounds, seconds, findings))


def _measured(job: Job, peers: list[str], rounds: int, seconds: float, findings: Findings) -> list[dict]:
    """Return the measurement of minivit and of each of its peers; of minivit alone if a peer fails."""
    try:
        measured = compare(job, peers, rounds=rounds, seconds=seconds)
    except BenchmarkError as error:
        if not peers:
            raise
        findings.note(f"{name_of(job)}: {error}; minivit is measured alone")
        measured = compare(job, [], rounds=rounds, seconds=seconds)
    for m in measured:
        print(f"{name_of(job)}: {m.library} {m.speed:,.0f} images/s", flush=True)
    return [m.as_json() for m in measured]
