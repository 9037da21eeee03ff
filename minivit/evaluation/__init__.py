"""How good a model's representation is, without training it further."""

from .fewshot import FewShotResult, few_shot, representations, ridge

__all__ = ["FewShotResult", "few_shot", "representations", "ridge"]
