"""torchvision beside any build of PyTorch: import this before torchvision, timm and transformers, which import it.

PyPI's torchvision may be compiled against another build of PyTorch, and then its compiled ops do not load. Models and
transforms need none of them, but the import fails where two ops are looked up by name. So the two are declared here, if
the compiled ones are missing; calling them is still an error. Tests in a module that imports this are skipped without
PyTorch or torchvision.
"""

import pytest

torch = pytest.importorskip("torch", reason="parity needs PyTorch: pip install 'minivit[parity]'")

try:
    import torchvision
except RuntimeError:
    declared = torch.library.Library("torchvision", "DEF")  # kept: the declarations last as long as this object
    for op in ("nms", "qnms"):
        declared.define(f"{op}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision  # noqa: F401
except ImportError:
    pytest.skip("needs torchvision: pip install 'minivit[parity]'", allow_module_level=True)
