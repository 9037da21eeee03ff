"""Measure the quality of a model's representation without further training."""

from .fewshot import FewShotResult, few_shot, representations, ridge

__all__ = ["FewShotResult", "few_shot", "representations", "ridge"]
