"""What torch.save writes, read without PyTorch: the same names and, bit for bit, the same numbers as torch.load's."""

import argparse
import pathlib
import re
from collections import OrderedDict

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from minivit import CheckpointError, Notice, load_model  # noqa: E402
from minivit.weights import verify_weights  # noqa: E402
from minivit.weights.formats.archive import open_archive  # noqa: E402
from tests.weights.files import timm_arrays, write_safetensors  # noqa: E402
from tests.weights.no_code import nothing_is_run  # noqa: E402

pytestmark = pytest.mark.parity

FORMATS = {
    "zip": {}, "legacy": {"_use_new_zipfile_serialization": False}, "zip, protocol 4": {"pickle_protocol": 4},
    "zip, protocol 5": {"pickle_protocol": 5}, "zip, protocol 3": {"pickle_protocol": 3},
    "legacy, protocol 4": {"_use_new_zipfile_serialization": False, "pickle_protocol": 4},
}  # fmt: skip
TYPES = [
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64",
    "complex128",
]  # fmt: skip


def flattened(value, prefix=""):
    """The tensors in nested containers, by their names."""
    if isinstance(value, torch.Tensor):
        return {prefix[:-1]: value}
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    return {name: tensor for key, each in entries for name, tensor in flattened(each, f"{prefix}{key}.").items()}


def numbers(tensor):
    """A tensor's numbers; those of bfloat16 as float32."""
    tensor = tensor.detach().resolve_neg().resolve_conj()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def check(value, folder, **options):
    path = folder / "weights.pth"
    torch.save(value, path, **options)
    expected = flattened(torch.load(path, weights_only=False))
    with nothing_is_run() as run, open_archive(path) as archive:
        found = {name: archive.read(name) for name in archive.shapes}
    assert run == []
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        right = numbers(tensor)
        assert (found[name].dtype, found[name].shape) == (right.dtype, right.shape), name
        assert found[name].tobytes() == np.ascontiguousarray(right).tobytes(), name


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 2)
        self.norm = torch.nn.BatchNorm2d(4)
        self.tied = self.conv
        self.register_buffer("mask", torch.ones(1, 4).expand(3, 4))
        self.register_buffer("step", torch.tensor(3))


def views():
    base = torch.arange(120, dtype=torch.float32)
    return {
        "all": base, "part": base[7:31], "steps": base[5::9], "turned": base.view(10, 12).t(), "flipped": base.flip(0),
        "permuted": base.view(2, 3, 4, 5).permute(3, 1, 0, 2), "window": base.as_strided((4, 3), (2, 5), 11),
        "expanded": base[:3].view(3, 1).expand(3, 4), "one": base[5], "none": base[:0], "empty": torch.zeros(0, 3),
        "no axes": torch.tensor(2.5), "channels last": base.view(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "diagonal": base[:100].view(10, 10).diagonal(),
    }  # fmt: skip


def with_attributes():
    tensor = torch.arange(3.0)
    tensor.note = "kept by PyTorch"
    return {"x": tensor, "neg": torch._neg_view(torch.arange(3.0)), "conj": torch.tensor([1 + 2j]).conj()}


def trained():
    model = Small()
    optimizer = torch.optim.AdamW(model.parameters())
    model.conv(torch.ones(1, 3, 4, 4)).sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    return {
        "state_dict": model.state_dict(), "state_dict_ema": model.state_dict(), "optimizer": optimizer.state_dict(),
        "lr_schedulers": [schedule.state_dict()], "epoch": 3, "arch": "vit_tiny", "best": np.float64(0.5),
        "args": argparse.Namespace(lr=0.1, out=pathlib.PurePosixPath("runs"), betas=(0.9, 0.999)),
        "rng_state": torch.get_rng_state(), "pytorch-lightning_version": "2.0", "callbacks": {}, "loops": None,
        "device": torch.device("cpu"), "dtype": torch.float16, "size": torch.Size([2, 3]), "scaler": {},
        "classes": {"cat", "dog"}, "numpy_rng": np.random.RandomState(0).get_state(),
    }  # fmt: skip


VALUES = {
    "a state dict": lambda: Small().state_dict(),
    "a state dict with metadata": lambda: torch.nn.Sequential(Small(), torch.nn.LayerNorm(3)).state_dict(),
    "a plain dictionary": lambda: dict(Small().state_dict()),
    "half": lambda: Small().half().state_dict(),
    "bfloat16": lambda: Small().bfloat16().state_dict(),
    "float64": lambda: Small().double().state_dict(),
    "parameters": lambda: OrderedDict(Small().named_parameters()),
    "views": views,
    "attributes": with_attributes,
    "wrapped": lambda: {"model": torch.nn.DataParallel(Small()).state_dict()},
    "an average": lambda: torch.optim.swa_utils.AveragedModel(Small()).state_dict(),
    "a long list": lambda: [torch.full((2,), float(n)) for n in range(300)],
    "many": lambda: {str(n): torch.full((n % 3,), n) for n in range(2000)},
    **{name: lambda name=name: {"x": torch.arange(-3, 9).to(getattr(torch, name)).view(3, 4)} for name in TYPES},
}  # fmt: skip


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("value", VALUES)
def test_the_numbers_are_those_of_torch_load(tmp_path, value, kind):
    check(VALUES[value](), tmp_path, **FORMATS[kind])


@pytest.mark.parametrize("name", ["uint16", "uint32", "uint64"])
def test_unsigned_integers(tmp_path, name):
    check({"x": torch.arange(5).to(getattr(torch, name))}, tmp_path)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_training_checkpoint(tmp_path, kind):
    value = trained()
    path = tmp_path / "last.ckpt"
    torch.save(value, path, **FORMATS[kind])
    state = numbers_of(value["numpy_rng"])

    with open_archive(path) as archive:
        names = set(archive.shapes)
        found = {name: archive.read(name) for name in names}
    expected = flattened({key: each for key, each in value.items() if key != "numpy_rng"})
    steps = [name for name in expected if re.fullmatch(r"optimizer\.state\.\d+\.step", name)]
    assert steps and all(expected.pop(name).ndim == 0 for name in steps)  # single numbers beside a state dict

    assert names == {*expected, "numpy_rng.1"}
    assert np.array_equal(found["numpy_rng.1"], state)
    assert all(
        found[name].tobytes() == np.ascontiguousarray(numbers(each)).tobytes() for name, each in expected.items()
    )


def numbers_of(state):
    return state[1]


def test_a_checkpoint_without_checksums(tmp_path):
    """`set_crc32_options(False)` writes other numbers in their place."""
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        check(Small().state_dict(), tmp_path)
    finally:
        torch.serialization.set_crc32_options(before)


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2"])
def test_floats_of_eight_bits_are_refused_by_name(tmp_path, name):
    torch.save({"x": torch.ones(3).to(getattr(torch, name))}, tmp_path / "x.pth")

    with open_archive(tmp_path / "x.pth") as archive, pytest.raises(CheckpointError, match=f"'x' holds {name} values"):
        archive.read("x")


@pytest.mark.parametrize(
    ("make", "word"),
    [(lambda: torch.eye(2).to_sparse(), "to_dense"), (lambda: torch.eye(2).to_sparse_csr(), "to_dense"),
     (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "dequantize"),
     (lambda: torch.empty(2, device="meta"), "without numbers")],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_other_tensors_are_refused_by_name(tmp_path, make, word):
    torch.save({"good": torch.ones(2), "odd": make()}, tmp_path / "x.pth")

    with open_archive(tmp_path / "x.pth") as archive:
        assert np.array_equal(archive.read("good"), np.ones(2))
        with pytest.raises(CheckpointError, match=f"'odd' is .*{word}"):
            archive.read("odd")


@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_a_whole_module_is_refused_with_the_line_that_saves_its_weights(tmp_path, kind):
    torch.save(Small(), tmp_path / "x.pth", **FORMATS[kind])

    with pytest.raises(CheckpointError, match=r"whole pickled module \(.*Small\).*torch.save\(model.state_dict"):
        load_model(tmp_path / "x.pth")


@pytest.mark.filterwarnings("ignore")
def test_a_torchscript_program_is_called_one(tmp_path):
    torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)).save(tmp_path / "x.pt")

    with pytest.raises(CheckpointError, match="TorchScript"):
        load_model(tmp_path / "x.pt")


@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_a_model_from_a_checkpoint_is_the_one_from_safetensors(tmp_path, kind):
    state = {name: torch.from_numpy(array) for name, array in timm_arrays().items()}
    torch.save(
        {"model": {f"module.{name}": each for name, each in state.items()}, "epoch": 1},
        tmp_path / "x.pth",
        **FORMATS[kind],
    )
    write_safetensors(tmp_path / "x.safetensors", timm_arrays())

    found, expected = (
        load_model(tmp_path / name, heads=2, image_size=8).state() for name in ("x.pth", "x.safetensors")
    )

    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert verify_weights(tmp_path / "x.pth")["layout"] == "timm"


# -- trainers ------------------------------------------------------------------------------------


def test_a_checkpoint_of_timms_trainer(tmp_path):
    """Its saver writes the weights, their average, the optimiser and the arguments; the average is the one to take."""
    pytest.importorskip("tests.parity.vision", exc_type=ImportError)
    timm = pytest.importorskip("timm")
    from timm.utils import CheckpointSaver, ModelEmaV3

    torch.manual_seed(0)
    options = {"img_size": 16, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3, "num_classes": 5}
    model = timm.create_model("vit_tiny_patch16_224", **options)
    average = ModelEmaV3(model, decay=0.5)
    optimizer = torch.optim.AdamW(model.parameters())
    images = torch.randn(2, 3, 16, 16)
    for _ in range(2):
        model(images).square().sum().backward()
        optimizer.step()
        average.update(model)
    saver = CheckpointSaver(
        model, optimizer, args=argparse.Namespace(lr=0.1, model="vit"), model_ema=average, checkpoint_dir=str(tmp_path)
    )
    saver.save_checkpoint(epoch=1, metric=0.5)
    average.module.eval()
    with torch.no_grad():
        expected = average.module(images).numpy()

    with pytest.warns(Notice, match="state_dict_ema was taken"):
        loaded = load_model(tmp_path / "last.pth.tar", heads=3, image_size=16)
    logits = loaded(images.permute(0, 2, 3, 1).contiguous().numpy()).numpy()

    assert np.abs(logits - expected).max() < 1e-5


@pytest.mark.parametrize("wrap", ["module", "sequential"])
def test_a_network_of_ones_own_around_timms_backbone(tmp_path, wrap):
    """A backbone without head, a linear layer, and a measure and a loss beside them, as Lightning's modules have."""
    pytest.importorskip("tests.parity.vision", exc_type=ImportError)
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    options = {"img_size": 16, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3, "num_classes": 0}
    backbone = timm.create_model("vit_tiny_patch16_224", **options)

    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = backbone
            linear = torch.nn.Linear(24, 5)
            self.classifier = linear if wrap == "module" else torch.nn.Sequential(torch.nn.Dropout(0.5), linear)
            self.loss_fn = torch.nn.CrossEntropyLoss(weight=torch.ones(5))
            self.train_acc = torch.nn.Module()
            self.train_acc.register_buffer("tp", torch.zeros(5))

        def forward(self, images):
            return self.classifier(self.backbone(images))

    network, images = Own().eval(), torch.randn(2, 3, 16, 16)
    torch.save({"state_dict": network.state_dict(), "epoch": 3}, tmp_path / "last.ckpt")
    with torch.no_grad():
        expected = network(images).numpy()

    with pytest.warns(Notice, match="was taken for the head"):
        loaded = load_model(tmp_path / "last.ckpt", heads=3, image_size=16)
    logits = loaded(images.permute(0, 2, 3, 1).contiguous().numpy()).numpy()

    assert np.abs(logits - expected).max() < 1e-5
