"""The findings of all parts as one file of JSON and one of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...utils.files import read_json, write_json, write_text
from ...utils.text import aligned
from .limited import Outcome
from .parts import PARTS, file_of
from .speed import PRECISIONS

REPORT = "report"
PEERS = {"torch": "PyTorch", "torch-compiled": "PyTorch compiled"}


def write_report(folder: Path, outcomes: dict[str, Outcome]) -> dict[str, Any]:
    """Write `report.json` and `report.txt` from the files that the parts have written so far; return the former.

    Args:
        folder: of the report.
        outcomes: name of a part -> how it ended, for those that ran now. Others keep what an earlier report said.
    """
    path = folder / f"{REPORT}.json"
    before = read_json(path)["parts"] if path.is_file() else {}
    parts = {}
    for name in PARTS:
        outcome = asdict(outcomes[name]) if name in outcomes else before.get(name, {})
        if outcome:
            parts[name] = {key: outcome[key] for key in ("state", "seconds")} | findings_of(name, folder)
    report = {"parts": parts}
    write_json(path, report)
    write_text(folder / f"{REPORT}.txt", report_text(report))
    return report


def findings_of(name: str, folder: Path) -> dict[str, Any]:
    """Return what a part has written; empty findings if it wrote none."""
    path = file_of(name, folder)
    return read_json(path) if path.is_file() else {"measured": {}, "failed": {}, "notes": []}


def report_text(report: dict[str, Any]) -> str:
    """Return a report as text."""
    parts = report["parts"]

    def measured(name: str) -> dict[str, Any]:
        return parts.get(name, {}).get("measured", {})

    sections = [
        _heading(measured("environment")),
        _part_lines(parts),
        speed_table(measured("eager"), measured("compiled")),
        _number_lines(measured("numbers"), measured("memcheck")),
        _micro_lines(measured("micro")),
        _profile_lines(measured("profile")),
        _training_lines(measured("training"), measured("cifar")),
        _left_out(parts),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def _heading(measured: dict[str, Any]) -> list[str]:
    gpu, driver, hardware = (measured.get(name) or {} for name in ("GPU", "nvidia-smi", "hardware"))
    if not gpu:
        return ["minivit on a GPU"]
    memory = f"{gpu['memory_bytes'] / 1e9:.1f} GB" if gpu["memory_bytes"] else "memory of unknown size"
    lines = [
        f"minivit on {gpu['name']} ({memory}, compute capability {gpu['compute_capability']})",
        f"driver {driver.get('driver_version', 'of unknown version')} for CUDA {gpu['cuda_of_driver']}; "
        f"CuPy {gpu['cupy']} for CUDA {gpu['cuda_of_cupy']}",
    ]
    lines += [f"{name}: {hardware[name]}" for name in ("torch", "numpy", "python", "processor") if name in hardware]
    if "first kernel (s)" in measured:
        lines.append(f"all kernels are compiled in {measured['first kernel (s)']} s")
    return lines


def _part_lines(parts: dict[str, Any]) -> list[str]:
    rows = [
        (PARTS[name].title, f"{part['seconds']:.0f} s", str(len(part["measured"])), part["state"])
        for name, part in parts.items()
    ]
    return table(("part", "time", "measured", "state"), rows, left=(0, 3))


def speed_table(eager: dict[str, Any], compiled: dict[str, Any]) -> list[str]:
    """Return the throughput of minivit and of PyTorch, eager and compiled, and minivit's divided by PyTorch's."""
    rows = []
    for name in sorted({*eager, *compiled}, key=_by_model):
        found = {}
        for measurements in (compiled.get(name) or [], eager.get(name) or []):  # minivit as in eager's turns
            found |= {m["library"]: m for m in measurements}
        row = [name, _speed(found.get("minivit")), _memory(found.get("minivit"))]
        for peer in PEERS:
            row += [_speed(found.get(peer)), f"{found[peer]['ratio']:.2f} x" if peer in found else "-"]
            row.append(_memory(found.get(peer)))
        rows.append(row)
    titles = ["training, images/s", "minivit", "memory"]
    for title in PEERS.values():
        titles += [title, "minivit is", "memory"]
    return table(titles, rows)


def _by_model(name: str) -> tuple[str, int]:
    model, _, precision = name.rpartition(", ")
    return model, PRECISIONS.index(precision) if precision in PRECISIONS else 0


def _speed(measurement: dict[str, Any] | None) -> str:
    return f"{measurement['speed']:,.1f}" if measurement else "-"


def _memory(measurement: dict[str, Any] | None) -> str:
    memory = measurement["memory"] if measurement else None
    return f"{memory / 1e9:.1f} GB" if memory else "-"


def _number_lines(numbers: dict[str, Any], memcheck: dict[str, Any]) -> list[str]:
    if not numbers and not memcheck:
        return []
    counts = numbers.get("tests", {})
    lines = [f"tests of the numbers: {', '.join(f'{count:,} {what}' for what, count in counts.items())}"] * bool(counts)
    lines += [f"  failed: {name}" for name in numbers.get("failed tests", {})]
    return lines + [f"{what}: {status}" for what, status in memcheck.items()]


def _micro_lines(micro: dict[str, Any]) -> list[str]:
    """Return one table for each kind of measurement, which have the same values."""
    lines = []
    kinds: dict[tuple[str, ...], list[tuple[str, dict]]] = {}
    for name, values in micro.items():
        if name == "launch":
            continue
        kinds.setdefault(tuple(values), []).append((name, values))
    for columns, rows in kinds.items():
        found = [(name, *(_value(values[column]) for column in columns)) for name, values in rows]
        lines += [*table(("what", *(column.replace("_per_", "/") for column in columns)), found), ""]
    launch = micro.get("launch", {})
    lines += table(("the processor's time for a call", "microseconds"),
                   [(name.removesuffix(" (us)"), _value(us)) for name, us in launch.items()])  # fmt: skip
    return lines


def _profile_lines(profile: dict[str, Any]) -> list[str]:
    lines = []
    for name, found in profile.items():
        lines.append(
            f"{name}: a step takes {found['step_ms']} ms, of which the GPU works {found['busy_ms']} ms, in "
            f"{found['launches']:.0f} launches"
        )
        lines += [f"  {row['us']:>10,.1f} us {row['launches']:>7.1f} x  {row['name']}" for row in found["kernels"][:12]]
    return lines


def _training_lines(training: dict[str, Any], cifar: dict[str, Any]) -> list[str]:
    lines = [f"a run of shapes, {name}: {run['images_per_second']:,.0f} images/s" for name, run in training.items()]
    if run := cifar.get("run"):
        best = "no evaluation" if run["best_accuracy"] is None else f"best test accuracy {run['best_accuracy']:.2%}"
        lines.append(
            f"CIFAR-10 from scratch: {best} in {run['seconds'] / 60:.1f} minutes of training, {run['epochs']:.1f} "
            f"epochs, {run['images_per_second']:,.0f} images/s, {run['options']}"
        )
    return lines


def _left_out(parts: dict[str, Any]) -> list[str]:
    lines = []
    for name, part in parts.items():
        lines += [f"{name}: {note}" for note in part["notes"]]
        lines += [f"{name}: {what} failed: {reason.splitlines()[0]}" for what, reason in part["failed"].items()]
    return lines


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[int] = (0,)) -> list[str]:
    """Return rows below their titles as lines; the columns `left` begin at the left. No rows make no table."""
    below = list(rows)
    return aligned([titles, *below], [i not in left for i in range(len(titles))]) if below else []


def _value(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)
