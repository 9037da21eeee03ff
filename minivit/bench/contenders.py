"""The same work in each library: a training step, or inference, of the same model on the same images.

Each library uses its best documented settings. PyTorch: `scaled_dot_product_attention`, fused AdamW, gradients set to
None, `inference_mode`, eager or compiled, in the job's precision or in bfloat16. ONNX Runtime: the graph of `minivit
export`. JAX: one jitted function for the whole step, with donated buffers. minivit: the step of `minivit train`, with
threads over micro-batches. On a GPU, every step of each library begins with images in the memory of the processor and
ends when the GPU has finished.
"""

# pyright: reportMissingImports=false
# (PyTorch and JAX are optional)

from __future__ import annotations

import importlib.util
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..backend.arrays import to_device
from ..backend.gpu.cublas import multiply_in_tf32
from ..backend.gpu.cuda import wait_for
from ..backend.workers import Workers
from ..errors import ConfigError, MissingExtraError
from ..models import ViT, ViTConfig, create_model, model_config
from ..models.classifier import default_microbatch
from ..models.cost import gpu_microbatch
from ..training.distributed.parallel import GradientSums, batch_gradients, bucket_bytes
from ..training.objectives import Classes
from ..training.optim import AdamW, clip_by_global_norm
from ..training.precision import divide_by, precision

Work = Callable[[np.ndarray, np.ndarray], object]  # one step on images (B, H, W, C) and labels (B,)


@dataclass(frozen=True, kw_only=True)
class Job:
    """The work to measure.

    Attributes:
        model: the name of a model.
        task: "train" or "infer".
        batch_size: the number of images in a step.
        workers: the number of cores for each library.
        device: "cpu", "cuda" or "cuda:i"; JAX is measured on "cpu" only.
        precision: "float32", "tf32", "float16" or "bfloat16", as for `minivit train`; PyTorch's half precision is its
            `autocast`.
        microbatch: the images in one of minivit's micro-batches; None for its default.
        all_tokens: whether minivit, as the other libraries, computes tokens of the last block that the head never
            reads.
        checkpoint_blocks: whether minivit computes each block a second time during backward, to save memory.
        changes: fields of `ViTConfig` that differ from those of the named model.
        seed: the seed of weights and images.
    """

    model: str
    task: str
    batch_size: int
    workers: int
    device: str = "cpu"
    precision: str = "float32"
    microbatch: int | None = None
    all_tokens: bool = False
    checkpoint_blocks: bool = False
    changes: dict[str, Any] = field(default_factory=dict)
    seed: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether minivit computes in float32 on the processor, where each library can be measured beside it."""
        return self.device == "cpu" and self.precision == "float32"

    def build(self) -> ViT:
        """Return the model with minivit's initial weights."""
        model = create_model(self.model, seed=self.seed, **self.changes)
        model.skip_unused, model.checkpoint_blocks = not self.all_tokens, self.checkpoint_blocks
        return model

    def inputs(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the images float32 (B, H, W, C) and labels int64 (B,) of step `number`."""
        rng = np.random.default_rng([self.seed, number])
        config = self.build_config()
        images = rng.random((self.batch_size, *config.image_shape), dtype=np.float32) * 2 - 1  # in [-1, 1]
        return images, rng.integers(0, config.num_classes, self.batch_size)

    def build_config(self) -> ViTConfig:
        """Return the sizes of the model.

        Raises:
            ConfigError: if it is not a plain ViT, which is all that the other libraries have here.
        """
        config = model_config(self.model, **self.changes)
        if not isinstance(config, ViTConfig) or config.backbone is not None:
            raise ConfigError(f"only plain Vision Transformers are measured beside other libraries, not {self.model}")
        return config


def minivit_work(job: Job, stack: ExitStack) -> Work:
    """Return a step of minivit; `stack` closes the threads."""
    model = job.build().to(job.device)
    workers = stack.enter_context(Workers(job.workers if job.device == "cpu" else 1))  # a GPU runs one op at a time
    if job.task == "infer":
        if job.device != "cpu":
            multiply_in_tf32(matrices=job.precision == "tf32", stacks=job.precision == "tf32")
        return lambda images, labels: model.predict(images, workers=workers)

    parameters = model.parameters()
    mixed = precision(job.precision, job.device, Classes(model), parameters)
    optimizer = AdamW(model.named_parameters(), lr=1e-3)
    optimizer.workers = workers
    if job.device == "cpu":
        default = default_microbatch(model.config, job.batch_size)
    else:
        default = gpu_microbatch(model, job.batch_size, job.device)
    microbatch = job.microbatch or default
    order = None if job.device == "cpu" else optimizer.order
    sums = GradientSums(parameters, bucket_bytes(1, job.device), order)

    def step(images: np.ndarray, labels: np.ndarray) -> None:
        mixed.refresh()
        batch_gradients(
            mixed.loss, mixed.parameters, to_device(images, job.device), to_device(labels, job.device),
            workers=workers, microbatch=microbatch, sums=sums, scale=mixed.scale, read=False,
        )  # fmt: skip
        divide_by(sums.flat, mixed.scale)
        if job.precision != "float16" or math.isfinite(clip_by_global_norm(sums.flat, math.inf)):
            optimizer.step(sums.sums)
        else:
            mixed.overflowed()
        wait_for(job.device)

    return step


def torch_work(job: Job, stack: ExitStack, compiled: bool = False, half_precision: str | None = None) -> Work:
    """Return a step of PyTorch, eager or compiled, in the job's precision or in half precision."""
    import torch

    from .torch_vit import TorchViT

    torch.set_num_threads(job.workers)
    torch.manual_seed(job.seed)
    torch.set_float32_matmul_precision("high" if job.precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = job.precision == "tf32"  # otherwise the patch embedding's convolution uses TF32
    model = TorchViT(job.build_config()).to(job.device)
    network = torch.compile(model) if compiled else model
    half = {"float16": torch.float16, "bfloat16": torch.bfloat16}.get(half_precision or job.precision)
    kind = job.device.partition(":")[0]
    autocast = partial(torch.autocast, kind, half or torch.bfloat16, enabled=half is not None)

    def put(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(job.device)

    if job.task == "infer":
        model.eval()

        def infer(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
            with torch.inference_mode(), autocast():
                return torch.softmax(network(put(images)).float(), -1).cpu().numpy()

        return infer

    kernels = [p for p in model.parameters() if p.ndim >= 2 and p.shape[0] > 1]
    others = [p for p in model.parameters() if p.ndim < 2 or p.shape[0] == 1]
    groups = [{"params": kernels, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, fused=True)
    scaler = torch.amp.GradScaler(kind, enabled=half == torch.float16)  # pyright: ignore[reportPrivateImportUsage]

    def step(images: np.ndarray, labels: np.ndarray) -> None:
        optimizer.zero_grad(set_to_none=True)
        with autocast():
            loss = torch.nn.functional.cross_entropy(network(put(images)), put(labels))
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        loss.item()  # minivit reads the loss too
        if kind == "cuda":
            torch.cuda.synchronize(job.device)

    return step


def jax_work(job: Job, stack: ExitStack) -> Work:
    """Return a jitted step of JAX on the CPU."""
    import jax

    from . import jax_vit

    model = job.build()
    weights = {name: jax.numpy.asarray(array) for name, array in model.state_dict().items()}
    if job.task == "infer":
        infer = jax.jit(lambda w, x: jax.nn.softmax(jax_vit.forward(w, x, model.config)))
        return lambda images, labels: np.asarray(infer(weights, images))

    train = jax_vit.training_step(model.config, AdamW(model.named_parameters(), lr=1e-3))
    zeros = {name: jax.numpy.zeros_like(array) for name, array in weights.items()}
    state = (0, zeros, {name: array.copy() for name, array in zeros.items()})
    held = [weights, state]

    def step(images: np.ndarray, labels: np.ndarray) -> None:
        held[:] = jax.block_until_ready(train(*held, images, labels))

    return step


def onnx_work(job: Job, stack: ExitStack) -> Work:
    """Return inference with ONNX Runtime on the CPU, of the graph that `minivit export` writes."""
    import onnxruntime

    from ..weights import export_model  # here, so that the other libraries' processes do not hold it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job.workers
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_model(job.build(), path, probabilities=True)
        session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    return lambda images, labels: session.run(["probabilities"], {"images": images})[0]


@dataclass(frozen=True)
class Library:
    """A library that does the work, perhaps in one of its modes.

    Attributes:
        work: returns its step for a job.
        package: what must be installed for it.
        tasks: the tasks that it can do.
        only_float32_on_cpu: whether it is measured for no other job.
        compiled: whether it translates the model with a C++ compiler first, which takes half a minute.
    """

    work: Callable[[Job, ExitStack], Work]
    package: str
    tasks: Sequence[str] = ("train", "infer")
    only_float32_on_cpu: bool = False
    compiled: bool = False

    def can_do(self, job: Job) -> bool:
        """Return whether it is measured on a job."""
        return job.task in self.tasks and (job.is_plain or not self.only_float32_on_cpu)

    def is_installed(self) -> bool:
        """Return whether its package is installed."""
        return importlib.util.find_spec(self.package) is not None


_in_bfloat16 = {"half_precision": "bfloat16"}
LIBRARIES = {
    "minivit": Library(minivit_work, "minivit"),
    "torch": Library(torch_work, "torch"),
    "torch-compiled": Library(partial(torch_work, compiled=True), "torch", compiled=True),
    "torch-bfloat16": Library(partial(torch_work, **_in_bfloat16), "torch", only_float32_on_cpu=True),
    "torch-compiled-bfloat16": Library(
        partial(torch_work, compiled=True, **_in_bfloat16), "torch", only_float32_on_cpu=True, compiled=True
    ),
    "onnxruntime": Library(onnx_work, "onnxruntime", tasks=("infer",), only_float32_on_cpu=True),
    "jax": Library(jax_work, "jax", only_float32_on_cpu=True),
}
PEERS = [name for name in LIBRARIES if name != "minivit"]


def usual_peers(job: Job, quick: bool = False) -> list[str]:
    """Return the installed peers that a job is measured beside by default.

    On a GPU and in half precision, that is eager PyTorch alone; if it should be quick, none that compiles first.
    """
    names = PEERS if job.is_plain else ["torch"]
    may_compile = has_compiler() and not quick
    libraries = {name: LIBRARIES[name] for name in names}
    return [
        name
        for name, library in libraries.items()
        if library.is_installed() and library.can_do(job) and (may_compile or not library.compiled)
    ]


def has_compiler() -> bool:
    """Return whether `torch.compile` finds a C++ compiler."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "c++", "clang++", "cl"))


def check_peer(name: str, job: Job) -> None:
    """Raise an error if a peer cannot be measured here beside minivit's job; its task is not looked at.

    Raises:
        ConfigError: if there is no peer of this name, or it is not measured on the job's device and precision.
        MissingExtraError: if its package, or a compiler, is missing.
    """
    if name not in PEERS:
        raise ConfigError(f"--against takes {', '.join(PEERS)}, several separated by commas, or none, not {name!r}")
    library = LIBRARIES[name]
    if library.only_float32_on_cpu and not job.is_plain:
        raise ConfigError(f"{name} is measured only on the processor beside float32: remove it from --against")
    if not library.is_installed():
        raise MissingExtraError(f"{name} is not installed: pip install 'minivit[bench]'")
    if library.compiled and not has_compiler():
        raise MissingExtraError(f"{name} needs a C++ compiler: install g++ or clang++")


def torch_with_gpu() -> str:
    """Return why PyTorch cannot be measured on a GPU, or "" if it can."""
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed"
    import torch

    return "" if torch.cuda.is_available() else f"PyTorch {torch.__version__} finds no GPU"
