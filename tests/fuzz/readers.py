"""The readers: for each a few good files, and ways to damage them."""

import importlib
import io
import json
import shutil
import zipfile
from pathlib import Path
from random import Random
from unittest import mock

import numpy as np
from PIL import Image
from safetensors.numpy import save

from minivit import ResNet, ResNetConfig, ViT, ViTConfig, load_model, save_weights
from minivit.data import archive, cifar
from minivit.images.decoding import read_image
from minivit.training.callbacks.curve import learning_curve
from minivit.training.config import TrainConfig, config_from_json
from minivit.training.logs import MetricsFile
from minivit.weights import read_arrays, write_arrays

from ..data.images_on_disk import picture_bytes, write_folder, write_tar
from ..weights.files import timm_arrays
from ..weights.no_code import nothing_is_run
from ..weights.torch_files import Call, File, Name, ordered, pickled
from .commands import run_command
from .harness import SilentlyWrong, Target
from .mutate import json_text, mutate_bytes, mutate_json, mutate_pickle, mutate_safetensors, mutate_tar, mutate_zip

SIZES = {"image_size": 8, "patch_size": 4, "dim": 12, "depth": 2, "heads": 3, "mlp_dim": 20, "num_classes": 5}


def small_model() -> ViT:
    """A model with random numbers everywhere."""
    model = ViT(ViTConfig(**SIZES))
    rng = np.random.default_rng(0)
    for _, tensor in model.named_parameters():
        tensor.data = rng.standard_normal(tensor.shape).astype(np.float32)
    return model


# -- weights -------------------------------------------------------------------------------------


class Weights(Target):
    """Files of weights: loaded whole, with what stands in their header."""

    suffix = ".npz"

    heads: int | None = 3  # what the file may not say

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.good = self.make()
        self.path = folder / f"weights{self.suffix}"
        self.path.write_bytes(self.good)
        load_model(self.path, heads=self.heads)  # without damage it is read

    def make(self) -> bytes:
        """A good file."""
        raise NotImplementedError

    def damaged(self, rng: Random) -> bytes:
        """The file after some damage."""
        inside = mutate_zip if self.suffix == ".npz" else mutate_safetensors
        return inside(self.good, rng) if rng.random() < 0.5 else mutate_bytes(self.good, rng)

    def run(self, rng: Random) -> None:
        self.path.write_bytes(self.damaged(rng))
        load_model(self.path, heads=self.heads)


class OwnNpz(Weights):
    """Our own files: what is read must be what was written."""

    name = "own-npz"

    def make(self) -> bytes:
        model = small_model()
        self.right = {name: array.copy() for name, array in model.state().items()}
        path = self.folder / f"good{self.suffix}"
        save_weights(model, path, header={"classes": list("abcde"), "dataset": "shapes", "train": {"model": "ViT"}})
        return path.read_bytes()

    def run(self, rng: Random) -> None:
        self.path.write_bytes(self.damaged(rng))
        model = load_model(self.path)
        classes = model.header.get("classes") or []
        assert all(isinstance(name, str) for name in classes), "a class that is not a name"
        state = model.state()
        for name, array in self.right.items():
            if name in state and not np.array_equal(state[name], array, equal_nan=True):
                raise SilentlyWrong(f"{name} has other numbers")


class OwnSafetensors(OwnNpz):
    """The same, packed by safetensors."""

    name, suffix = "own-safetensors", ".safetensors"


class GoogleNpz(Weights):
    """Files of the paper's authors."""

    name = "google-npz"

    def make(self) -> bytes:
        path = self.folder / "good.npz"
        save_weights(small_model(), path, layout="google")
        return path.read_bytes()


class BitNpz(Weights):
    """Files of Big Transfer's authors: residual networks."""

    name = "bit-npz"
    heads = None

    def make(self) -> bytes:
        path = self.folder / "good.npz"
        save_weights(ResNet(ResNetConfig(image_size=32, units=(1, 1, 1, 1), width=32, num_classes=3)), path, "google")
        return path.read_bytes()


def random_arrays(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """An array for each name, of normal numbers."""
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


class Timm(Weights):
    """Files of the PyTorch library timm."""

    name, suffix = "timm", ".safetensors"

    def make(self) -> bytes:
        shapes: dict[str, tuple[int, ...]] = {
            "cls_token": (1, 1, 12), "pos_embed": (1, 5, 12), "patch_embed.proj.weight": (12, 3, 4, 4),
            "patch_embed.proj.bias": (12,), "norm.weight": (12,), "norm.bias": (12,), "head.weight": (5, 12),
            "head.bias": (5,),
        }  # fmt: skip
        for i in range(2):
            block = {
                "norm1.weight": (12,), "norm1.bias": (12,), "attn.qkv.weight": (36, 12), "attn.qkv.bias": (36,),
                "attn.proj.weight": (12, 12), "attn.proj.bias": (12,), "norm2.weight": (12,), "norm2.bias": (12,),
                "mlp.fc1.weight": (20, 12), "mlp.fc1.bias": (20,), "mlp.fc2.weight": (12, 20), "mlp.fc2.bias": (12,),
            }  # fmt: skip
            shapes |= {f"blocks.{i}.{name}": shape for name, shape in block.items()}
        return save(random_arrays(shapes))


class PyTorchZip(Weights):
    """Files of PyTorch: checkpoints whose pickle is damaged, inside an archive whose checksums are right."""

    name, suffix, is_legacy = "pytorch-zip", ".pth", False

    def make(self) -> bytes:
        arrays = timm_arrays(dim=12, mlp=20, classes=5)
        self.file = File(legacy=self.is_legacy)
        model = {name: self.file.tensor(array) for name, array in arrays.items()}
        optimizer = {
            "state": {0: {"step": self.file.tensor(np.ones(()))}},
            "param_groups": [{"lr": 0.1, "params": [0]}],
        }
        arguments = Call(Name("argparse", "Namespace"), (), {"lr": 0.1})
        self.pickle = pickled({"model": ordered(model), "optimizer": optimizer, "epoch": 3, "args": arguments})
        return self.file.write(self.pickle)

    def damaged(self, rng: Random) -> bytes:
        """The file after some damage: to its pickle, to its archive, to its bytes, or packed in another way."""
        kind = rng.randrange(4)
        if kind < 2:
            method = {} if self.is_legacy else {"method": rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))}
            return self.file.write(mutate_pickle(self.pickle, rng), **method)
        if kind == 2 and not self.is_legacy:
            return mutate_zip(self.good, rng)
        return mutate_bytes(self.good, rng)

    def run(self, rng: Random) -> None:
        self.path.write_bytes(self.damaged(rng))
        with nothing_is_run() as run:
            try:
                load_model(self.path, heads=self.heads)
            finally:
                assert run == [], f"something was run: {run[0]}"
        assert not Path("CANARY").exists(), "a command was run"


class PyTorchLegacy(PyTorchZip):
    """Files of PyTorch before 1.6."""

    name, is_legacy = "pytorch-legacy", True


HUGGING_FACE = {
    "model_type": "vit", "hidden_size": 12, "num_attention_heads": 3, "num_hidden_layers": 2, "image_size": 8,
    "patch_size": 4, "intermediate_size": 20, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "num_channels": 3,
    "architectures": ["ViTForImageClassification"], "id2label": {str(i): f"class {i}" for i in range(5)},
}  # fmt: skip


class HuggingFace(Weights):
    """Files of Hugging Face's Transformers, with the config.json beside them damaged too."""

    name, suffix = "hugging-face", ".safetensors"

    def make(self) -> bytes:
        shapes: dict[str, tuple[int, ...]] = {
            "vit.embeddings.cls_token": (1, 1, 12), "vit.embeddings.position_embeddings": (1, 5, 12),
            "vit.embeddings.patch_embeddings.projection.weight": (12, 3, 4, 4),
            "vit.embeddings.patch_embeddings.projection.bias": (12,), "vit.layernorm.weight": (12,),
            "vit.layernorm.bias": (12,), "classifier.weight": (5, 12), "classifier.bias": (5,),
        }  # fmt: skip
        for i in range(2):
            block = {f"attention.attention.{part}": (12, 12) for part in ("query", "key", "value")}
            block |= {"attention.output.dense": (12, 12), "intermediate.dense": (20, 12), "output.dense": (12, 20)}
            for name, shape in block.items():
                shapes |= {
                    f"vit.encoder.layer.{i}.{name}.weight": shape,
                    f"vit.encoder.layer.{i}.{name}.bias": shape[:1],
                }
            for name in ("layernorm_before", "layernorm_after"):
                shapes |= {f"vit.encoder.layer.{i}.{name}.{part}": (12,) for part in ("weight", "bias")}
        return save(random_arrays(shapes))

    def run(self, rng: Random) -> None:
        beside = self.folder / "config.json"
        if rng.random() < 0.5:
            beside.write_bytes(json_text(mutate_json(HUGGING_FACE, rng), rng))
            self.path.write_bytes(self.good)
        else:
            beside.write_text(json.dumps(HUGGING_FACE), encoding="utf-8")
            self.path.write_bytes(self.damaged(rng))
        load_model(self.path)


# -- data sets -----------------------------------------------------------------------------------

SMALL_CIFAR = {
    "train_files": ("data_batch_1.bin",), "images_per_train_file": 20, "images_per_test_file": 10,
}  # fmt: skip


class Cifar(Target):
    """CIFAR-10's binary archive and its unpacked folder, of 30 pictures."""

    name = "cifar"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        rng = np.random.default_rng(0)
        records = rng.integers(0, 10, (30, cifar.CIFAR10.record), dtype=np.uint8)
        inner = cifar.CIFAR10.folder
        self.files = {
            f"{inner}/data_batch_1.bin": records[:20].tobytes(),
            f"{inner}/test_batch.bin": records[20:].tobytes(),
            f"{inner}/batches.meta.txt": b"\n".join(b"class%d" % i for i in range(10)),
        }
        write_tar(folder / "good.tar.gz", self.files)
        self.archive = (folder / "good.tar.gz").read_bytes()
        (folder / "good.tar.gz").unlink()

    def run(self, rng: Random) -> None:
        import dataclasses

        place = self.folder / "data"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        source = dataclasses.replace(cifar.CIFAR10, **SMALL_CIFAR)
        if rng.random() < 0.5:
            damage = mutate_tar if rng.random() < 0.6 else mutate_bytes
            (place / source.archive).write_bytes(damage(self.archive, rng))
        else:
            victim = rng.choice(list(self.files))
            for name, content in self.files.items():
                path = place / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(mutate_bytes(content, rng) if name == victim else content)
        with mock.patch.object(cifar, "CIFAR10", source), mock.patch.object(cifar, "check_md5", lambda *_: None):
            cifar.cifar10(place, download=False, progress=False)


class Pets(Target):
    """The text files of Oxford-IIIT Pet: lists of pictures with their labels."""

    name = "pets-lists"

    def run(self, rng: Random) -> None:
        lines = "".join(f"great_cat_{i} {1 + i % 37} 1 {i}\n" for i in range(74)).encode()
        path = self.folder / "list.txt"
        path.write_bytes(mutate_bytes(b"# comment\n" + lines, rng))
        pets = importlib.import_module("minivit.data.pets")  # the package has a function of this name
        entries = pets._read_list(path)
        pets._class_names(self.folder, entries)


class Tar(Target):
    """Archives of pictures: nothing may land outside their folder."""

    name = "tar"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        write_tar(folder / "good.tar.gz", {f"images/{i}.jpg": picture_bytes(i) for i in range(6)})
        self.good = (folder / "good.tar.gz").read_bytes()
        (folder / "good.tar.gz").unlink()

    def run(self, rng: Random) -> None:
        damage = mutate_tar if rng.random() < 0.6 else mutate_bytes
        path, out = self.folder / "a.tar.gz", self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        path.write_bytes(damage(self.good, rng))
        try:
            archive.unpack(path, out, "images", lambda name: name.endswith(".jpg"), progress=False)
        finally:
            strays = {p.name for p in self.folder.iterdir()} - {"a.tar.gz", "out"}
            assert not strays, f"files outside the folder: {strays}"


FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "TGA", "JPEG2000", "PCX", "SGI", "DDS")


class Picture(Target):
    """Pictures of all formats and modes that Pillow writes."""

    name = "picture"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        pixels = np.random.default_rng(0).integers(0, 256, (9, 13, 4), dtype=np.uint8)
        base = Image.fromarray(pixels, "RGBA")
        self.good: list[tuple[str, bytes]] = []
        for form in FORMATS:
            for mode in ("RGB", "RGBA", "L", "P", "1", "CMYK", "I;16", "F", "LA"):
                picture = base.convert("L").convert("I").convert(mode) if mode == "I;16" else base.convert(mode)
                buffer = io.BytesIO()
                try:
                    picture.save(buffer, format=form)
                except (OSError, KeyError, ValueError):
                    continue  # the format has no such pictures, or this Pillow no such format
                self.good.append((form.lower(), buffer.getvalue()))

    def run(self, rng: Random) -> None:
        form, content = rng.choice(self.good)
        path = self.folder / f"picture.{form}"
        path.write_bytes(mutate_bytes(content, rng, [other for _, other in self.good]))
        try:
            pixels = read_image(path, 8, 8)
        finally:
            path.unlink()
        assert pixels.shape == (8, 8, 3)
        assert pixels.dtype == np.uint8


# -- headers -------------------------------------------------------------------------------------


class RunHeader(Target):
    """A finished run whose checkpoint says odd things beside its weights, given to every command that reads one."""

    name = "run-header"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        write_folder(folder / "pictures", {"cat": 4, "dog": 4})
        self.data, self.good = folder / "pictures", folder / "good"
        options = f"--model ViT-XS_4-CIFAR --image-size 8 --steps 1 --batch-size 4 --num-threads 1 --out {self.good}"
        run_command(["train", "--dataset", f"folder:{self.data}", *options.split()])
        self.header, self.arrays = read_arrays(self.good / "checkpoint.npz")

    def run(self, rng: Random) -> None:
        run = self.folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(self.good, run)
        header = mutate_json(self.header, rng)
        if not isinstance(header, dict):
            header = {"config": header}
        arrays = dict(self.arrays)
        if rng.random() < 0.2:
            name = rng.choice(list(arrays))
            shape = arrays[name].shape
            kind = rng.choice((np.float16, np.float64, np.int8, np.complex64, np.dtype("U3"), np.bool_))
            arrays[name] = rng.choice((np.zeros(shape, kind), np.full(shape, np.nan, np.float32), np.zeros((0, 3))))
        write_arrays(run / "checkpoint.npz", header, arrays)
        picture = str(self.data / "cat" / "0.png")
        lines = (
            ["train", "--resume", str(run)],
            ["predict", picture, "--weights", str(run)],
            ["predict", picture, "--weights", str(run), "--json"],
            ["evaluate", "--weights", str(run), "--num-threads", "1"],
            ["inspect", str(run), picture, "--num-threads", "1"],
            ["fewshot", "--weights", str(run), "--dataset", f"folder:{self.data}", "--shots", "1",
             "--num-threads", "1"],
            ["finetune", "--weights", str(run), "--dataset", f"folder:{self.data}", "--steps", "1", "--batch-size", "4",
             "--num-threads", "1", "--out", str(run / "tuned")],
        )  # fmt: skip
        run_command(list(rng.choice(lines)))


# -- JSON ----------------------------------------------------------------------------------------


class RunConfig(Target):
    """The config.json of a run, as `--resume` reads it."""

    name = "config-json"

    def run(self, rng: Random) -> None:
        good = {**TrainConfig(dataset="folder:nowhere", steps=1).__dict__}
        run = self.folder / "run"
        run.mkdir(exist_ok=True)
        (run / "config.json").write_bytes(json_text(mutate_json(good, rng), rng))
        if rng.random() < 0.5:
            config_from_json(mutate_json(good, rng))
        else:
            run_command(["train", "--resume", str(run), "--num-threads", "1"])


class Metrics(Target):
    """The metrics.jsonl of a run, as its learning curve reads it."""

    name = "metrics-jsonl"

    def run(self, rng: Random) -> None:
        records = [
            {"kind": kind, "step": i, "epoch": i / 5, "loss": 1.0, "accuracy": 0.5, "lr": 1e-3,
             "images_per_second": 9.0, "seconds": 1.0}
            for i in range(1, 5)
            for kind in ("train", "test", "validation")
        ]  # fmt: skip
        lines = [json.dumps(record).encode() for record in records]
        at = rng.randrange(len(lines))
        lines[at] = json_text(mutate_json(records[at], rng), rng)
        path = self.folder / "metrics.jsonl"
        path.write_bytes(b"\n".join(lines) + b"\n" if rng.random() < 0.8 else mutate_bytes(b"\n".join(lines), rng))
        read = MetricsFile(path).read()
        if rng.random() < 0.1:
            learning_curve(read, self.folder / "curve.png", "title")
        else:
            MetricsFile(path).rewind(2, evaluated=2)


class Notebook(Target):
    """A learner's notebook, as marking reads it: not run here, since damage may turn a line into any other."""

    name = "notebook"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from minivit_lessons.notebooks import lessons_folder

        self.good = json.loads((lessons_folder() / "solutions" / "01_scalars.ipynb").read_text(encoding="utf-8"))

    def run(self, rng: Random) -> None:
        from minivit_lessons.notebooks import lesson_number, read_notebook

        path = self.folder / rng.choice(("01_scalars.ipynb", "01_scalars (1).ipynb", "Copy of 01_scalars.IPYNB"))
        path.write_bytes(json_text(mutate_json(self.good, rng), rng))
        lesson_number(path)
        read_notebook(path)
