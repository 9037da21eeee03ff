"""Measure a classifier by its predictions, and the quality of a representation without further training."""

from .fewshot import FewShotResult, few_shot, representations, ridge
from .measures import (
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    expected_calibration_error,
    most_confident_mistakes,
    per_class,
    top_k,
    wilson_interval,
)
from .reporting import Report, report

__all__ = [
    "FewShotResult", "Report", "accuracy", "balanced_accuracy", "confusion_matrix", "expected_calibration_error",
    "few_shot", "most_confident_mistakes", "per_class", "report", "representations", "ridge", "top_k",
    "wilson_interval",
]  # fmt: skip
