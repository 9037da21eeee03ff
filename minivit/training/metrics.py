"""Metrics of a script: functions of all probabilities and labels of a test set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..utils.text import listed, printable, quoted
from .logs import NUMBERS

Metric = Callable[[np.ndarray, np.ndarray], float]  # of probabilities (M, K) and labels (M,)
TAKEN = ("kind", "step", *NUMBERS)  # names that a line of metrics.jsonl has already


def metrics_by_name(given: Any) -> dict[str, Metric]:
    """Return metrics by their names, checked.

    Args:
        given: functions by name, or a list of functions, which are called by their own names.

    Raises:
        ConfigError: if these are not functions with different names, or a name is taken.
    """
    if isinstance(given, Mapping):
        found: dict[Any, Any] = dict(given)
    else:
        functions = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
        found = {getattr(each, "__name__", type(each).__name__): each for each in functions}
        if len(found) < len(functions):
            raise ConfigError(f"two metrics are called {listed(found)}: give a dict, with a name for each")
    for name, metric in found.items():
        if not callable(metric):
            raise ConfigError(
                f"a metric must be a function of probabilities (N, K) and labels (N,), not {quoted(metric)}: "
                'metrics={"top-2": function}'
            )
        if not isinstance(name, str) or not name or name in TAKEN:
            raise ConfigError(f"a metric cannot be called {quoted(name)}: the names {listed(TAKEN, 9)} are taken")
    return found


def measured_by(
    metrics: Mapping[str, Metric], logits: Sequence[Mapping[int, np.ndarray]], labels: np.ndarray
) -> dict[str, float]:
    """Return what each metric gives, by name.

    Args:
        metrics: by name.
        logits: from each rank the logits (B, K) of each batch that it measured, by the number of its first image.
        labels: int64 (M,).

    Raises:
        ConfigError: if a metric returns something other than a number.
    """
    found = {first: batch for of_rank in logits for first, batch in of_rank.items()}
    probabilities = softmax(np.concatenate([found[first] for first in sorted(found)]))  # (M, K)
    # Copies: a metric that sorts in place would change what the others, and later evaluations, see.
    return {name: _number(name, metric(probabilities.copy(), labels.copy())) for name, metric in metrics.items()}


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities (M, K) in float32; each row sums to 1."""
    powers = np.exp(logits.astype(np.float32) - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the metric {printable(name)} must return a number, not {quoted(value)}") from error
