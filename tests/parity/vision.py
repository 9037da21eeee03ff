"""torchvision beside any build of PyTorch: import this before torchvision or timm, which imports torchvision.

PyPI's torchvision may be compiled against another build of PyTorch, and then its compiled ops do not load. Models and
transforms need none of them, but the import fails where two ops are looked up by name. So the two are declared here, if
the compiled ones are missing; calling them is still an error.
"""

import torch

try:
    import torchvision
except RuntimeError:
    declared = torch.library.Library("torchvision", "DEF")  # kept: the declarations last as long as this object
    for op in ("nms", "qnms"):
        declared.define(f"{op}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision  # noqa: F401
