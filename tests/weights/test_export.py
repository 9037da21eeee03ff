"""What an export says and refuses without any other library."""

import contextlib
import json
import shlex
import sys
import warnings
from dataclasses import asdict, dataclass, fields

import numpy as np
import pytest

from minivit import Notice, ViTConfig, cli, export_model, load_model, save_weights
from minivit.cli import train
from minivit.errors import ConfigError, DTypeError, MissingExtraError, SaveError, ShapeError
from minivit.training import TrainConfig
from minivit.training.distributed.ranks import ALONE
from minivit.training.folder import options_that_affect_weights
from minivit.training.repeat import command_of_run
from minivit.weights.export import transformer
from minivit.weights.export.card import model_card
from minivit.weights.export.onnx import metadata, onnx_bytes
from minivit.weights.export.registry import TARGETS
from tests.support import random_images, tiny_config, tiny_vit


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The working directory, with the weights of a model."""
    monkeypatch.chdir(tmp_path)
    save_weights(tiny_vit(dtype=np.float32), "model.npz", header={"classes": list("abcde")})
    return tmp_path


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_every_option_of_a_model_is_computed_or_without_effect():
    """A new option of `ViTConfig` must be put into the graph, or be refused."""
    assert {field.name for field in fields(ViTConfig)} == transformer.COMPUTED | transformer.ONLY_IN_TRAINING
    assert not transformer.COMPUTED & transformer.ONLY_IN_TRAINING


def test_an_option_that_the_graph_does_not_know_is_refused_by_name():
    @dataclass(frozen=True, kw_only=True)
    class Newer(ViTConfig):
        spirals: int = 0

    transformer.check_known(Newer(**vars(tiny_config())))
    with pytest.raises(ConfigError, match="a model with spirals cannot be exported to ONNX"):
        transformer.check_known(Newer(**vars(tiny_config()), spirals=3))


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_a_missing_library_is_named_and_nothing_is_written(missing, place, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, missing, None)

    with pytest.raises(MissingExtraError):
        export_model(load_model("model.npz"), "model.onnx")
    assert cli.main(["export", "model.npz", "--to", "onnx"]) == 2
    said = capsys.readouterr().err
    assert said == "minivit: error: an export to ONNX needs onnx and onnxruntime: pip install 'minivit[onnx]'\n"
    assert names_in(place) == ["model.npz"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--to google --int8", "int8 means nothing for an export to google: leave it out"),
        ("--to google --with-preprocessing", "with-preprocessing means nothing for an export to google: leave it out"),
        ("--to onnx --out x.txt", "an export to onnx is a .onnx file: name it so, not 'x.txt'"),
        ("--to google --out x.onnx", "an export to google is a .npz file: name it so, not 'x.onnx'"),
        ("--to onnx --dataset shapes", "a data set is for comparing the int8 model with the float model: add int8"),
        ("--to onnx --device gpu", "unknown device 'gpu'"),
    ],
)
def test_a_bad_option_is_said_before_weights_are_looked_for(options, sentence, place, capsys):
    assert cli.main(["export", "nowhere.npz", *options.split()]) == 2
    assert sentence in capsys.readouterr().err
    assert names_in(place) == ["model.npz"]


def test_an_unknown_format_is_said_with_the_known_ones(place, capsys):
    with pytest.raises(SystemExit):
        cli.main(["export", "model.npz", "--to", "tensorflow"])
    known = ", ".join(target.name for target in TARGETS)
    assert f"--to must be one of {known}, not 'tensorflow'" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="unknown export 'tensorflow': use 'onnx', "):
        export_model("model.npz", "x", to="tensorflow")


def test_the_weights_are_not_overwritten(place, capsys):
    before = (place / "model.npz").read_bytes()
    assert cli.main(["export", "model.npz", "--to", "google", "--out", "../" + place.name + "/model.npz"]) == 2
    assert "is the file that the weights are read from: give another --out" in capsys.readouterr().err
    assert (place / "model.npz").read_bytes() == before


def test_an_export_in_a_layout_is_written_beside_the_weights_and_read_back(place, capsys):
    assert cli.main(["export", "model.npz", "--to", "google"]) == 0
    assert capsys.readouterr().out == f"model-google.npz: {(place / 'model-google.npz').stat().st_size / 1e3:.1f} kB\n"
    before, after = load_model("model.npz"), load_model("model-google.npz", heads=3)
    images = random_images(before.config, dtype=np.float32)
    np.testing.assert_array_equal(before(images).data, after(images).data)


FOLDERS = [target.name for target in TARGETS if not target.suffixes]


@pytest.mark.parametrize("to", FOLDERS)
def test_a_folder_that_holds_something_is_refused_and_unchanged(to, place):
    """A run's folder, another model's, or any other: an export would overwrite its config.json and README.md."""
    folder = place / "folder"
    folder.mkdir()
    (folder / "pytorch_model.bin").write_text("another model's")
    (folder / "README.md").write_text("mine")

    with pytest.raises(ConfigError, match="exists: remove it, or name another folder"):
        export_model("model.npz", folder, to=to)

    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "pytorch_model.bin": "another model's",
        "README.md": "mine",
    }


@pytest.mark.parametrize("to", FOLDERS)
@pytest.mark.parametrize("options", [{}, {"qkv_bias": False}], ids=str)
def test_a_model_without_blocks_comes_back(to, options, place):
    model = tiny_vit(depth=0, gelu="erf", dtype=np.float32, **options)

    export_model(model, "folder", to=to)

    images = random_images(model.config, dtype=np.float32)
    np.testing.assert_array_equal(load_model("folder")(images).data, model(images).data)


@pytest.mark.parametrize("to", FOLDERS)
@pytest.mark.parametrize("path", ["", ".", ".."])
def test_a_folder_without_a_name_is_refused(to, path, place):
    (place / "empty").mkdir()
    with pytest.raises(ConfigError, match="is not the name of a new folder"), contextlib.chdir(place / "empty"):
        export_model("../model.npz", path, to=to)
    assert names_in(place) == ["empty", "model.npz"] and names_in(place / "empty") == []


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize("path", ["model.npz/below/x", "model.npz/x", "loop/x", "x" * 300], ids=str)
def test_a_place_that_cannot_be_written_is_a_save_error(target, path, place):
    if target.name == "onnx":
        pytest.importorskip("onnxruntime")
    (place / "loop").symlink_to("loop")

    with pytest.raises(SaveError, match=r"(could not write|cannot be written)"):
        export_model(tiny_vit(gelu="erf", dtype=np.float32), path + "".join(target.suffixes[:1]), to=target.name)

    assert names_in(place) == ["loop", "model.npz"]


@pytest.mark.parametrize("to", FOLDERS)
def test_names_of_other_classes_than_the_heads_are_not_exported_and_a_notice_says_so(to, place):
    model = tiny_vit(gelu="erf", dtype=np.float32)
    model.header = {"classes": ["cat", "dog"]}

    with pytest.warns(Notice, match="header names 2 classes, but its head has 5: no name is exported") as caught:
        export_model(model, "folder", to=to)

    assert len(caught) == 1
    written = "".join((place / "folder" / name).read_text(encoding="utf-8") for name in ("config.json", "README.md"))
    assert '"cat"' not in written and "## Classes" not in written
    assert load_model("folder").config.num_classes == 5


@pytest.mark.parametrize(("names", "written"), [(["cat", "dog"], None), (list("abcde"), list("abcde")), ([], None)])
def test_an_onnx_file_has_the_names_of_its_heads_classes(names, written):
    model = tiny_vit(dtype=np.float32)
    model.header = {"classes": names}

    found = metadata(model, with_preprocessing=False).get("classes")

    assert (found and json.loads(found)) == written


def test_names_of_classes_that_are_not_text_are_exported_to_onnx(place):
    """Python reads a byte of a folder's name that is not UTF-8 as a surrogate, which UTF-8 does not have."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    names = ["caf\udce9", "猫", "c", "d", "e"]
    save_weights(tiny_vit(dtype=np.float32), "odd.npz", header={"classes": names})

    assert cli.main(["export", "odd.npz", "--to", "onnx"]) == 0

    said = {each.key: each.value for each in onnx.load("odd.onnx").metadata_props}
    assert json.loads(said["classes"]) == names


def test_notes_that_are_not_text_are_escaped_in_onnx():
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    content = onnx_bytes(tiny_vit(dtype=np.float32), notes={"command": "minivit train 'caf\udce9'", "licence": "猫"})

    said = {each.key: each.value for each in onnx.load_from_string(content).metadata_props}
    assert (said["command"], said["licence"]) == ("minivit train 'caf\\xe9'", "猫")


def test_a_path_of_weights_is_enough_in_python(place):
    (written,) = export_model("model.npz", "copy.safetensors", to="minivit")
    assert written.path.name == "copy.safetensors"
    assert written.size == (place / "copy.safetensors").stat().st_size
    assert load_model("copy.safetensors").header["classes"] == list("abcde")


@pytest.mark.parametrize(
    ("images", "error", "sentence"),
    [
        (np.zeros((1, 8, 8, 3)), DTypeError, "images must be uint8 pixels, not float64"),
        ([1, 2], DTypeError, "images must be uint8 pixels, not list"),
        (np.zeros((1, 9, 8, 3), np.uint8), ShapeError, r"images must have shape \(M, H, W, C\) = \(M, 8, 8, 3\), not"),
        (np.zeros((0, 8, 8, 3), np.uint8), ShapeError, r"not \(0, 8, 8, 3\)"),
    ],
)
def test_images_to_compare_on_are_pixels_of_the_models_size(images, error, sentence, place):
    with pytest.raises(error, match=sentence):
        export_model("model.npz", "model.onnx", images=images)


# -- model cards ---------------------------------------------------------------------------------

HEADER = {
    "classes": ["cat", "a|b `c`\n# d"],
    "dataset": "folder:/home/someone/my photos",
    "images": 1200,
    "step": 500,
    "last_test": {"loss": 0.5123, "accuracy": 0.8712},
}


def card(header=HEADER, **options):
    model = tiny_vit(dtype=np.float32, num_classes=2)
    model.header = header
    return model_card(model, "my model", **options)


def test_a_card_says_data_command_accuracy_licence_classes_and_preprocessing():
    text = card(command="minivit train --dataset 'folder:my photos'", licence="Apache-2.0", library="timm", usage="x()")

    assert text.startswith(
        "---\nlicense: apache-2.0\nlibrary_name: timm\npipeline_tag: image-classification\ntags:\n- minivit\n---\n\n"
        "# my model\n"
    )
    assert "| trained on | my photos, 1,200 images, 500 steps |" in text
    assert "| command | `minivit train --dataset 'folder:my photos'` |" in text
    assert "| accuracy | 87.12% (loss 0.5123) at the last evaluation |" in text
    assert "| licence | Apache-2.0 |" in text
    assert "| images | resized to 8 x 8 (bilinear), scaled to [-1, 1] |" in text
    assert "```python\nx()\n```" in text
    assert "2 blocks of width 12 with 3 heads, patches of 4; images of 8 x 8 pixels; 0.00 million parameters" in text


def test_a_card_tells_no_path_and_no_class_name_breaks_it():
    text = card()

    assert "someone" not in text
    (classes,) = (line for line in text.splitlines() if line.startswith("2: "))
    assert classes == r"2: cat, a\|b \`c\`\\n\# d"


def test_a_card_says_what_is_not_known():
    text = card({})

    assert text.startswith("---\npipeline_tag: image-classification\n")
    for row in ("trained on | not noted", "command | not noted", "accuracy | not measured", "licence | not stated"):
        assert f"| {row} |" in text
    assert "## Classes" not in text and "## Use" not in text


@pytest.mark.parametrize(
    "given",
    [
        "train --dataset shapes --steps 7 --lr 0.002 --seed 3 --num-threads 1 --device cuda",
        "train --model ViT-Ti_4-CIFAR --epochs 2.5 --randaugment 2,10 --positions none",
        "finetune --weights ViT-B_16-imagenet21k --dataset pets --freeze",
        "finetune --weights ViT-B_16-imagenet21k --epochs 3 --optimizer adamw",
        "pretrain --steps 20 --target pixels",
    ],
)
def test_the_command_of_a_run_repeats_it(given, monkeypatch):
    monkeypatch.setattr(train, "_count_training_images", lambda config, ranks: 3_680)
    monkeypatch.setattr(train, "check_device", lambda device: None)  # as if there were a GPU

    def config_of(words):
        options = cli.build_parser().parse_args(words)
        chosen = {name: value for name, value in vars(options).items() if name not in train.NOT_OF_THE_RUN}
        return train.options_of_new_run(options, chosen, words[0], ALONE)

    before = config_of(given.split())
    command = command_of_run({"train": asdict(before)})
    assert command.startswith("minivit ") and "cuda" not in command
    after = config_of(shlex.split(command)[1:])
    assert options_that_affect_weights(after) == options_that_affect_weights(before)


def test_the_command_of_a_run_tells_no_path():
    noted = {"train": asdict(TrainConfig(dataset="folder:/home/someone/photos", weights="/home/someone/w.npz"))}
    assert command_of_run(noted).startswith("minivit finetune --recipe none --weights w.npz --dataset folder:photos")
    assert command_of_run({}) is None


@pytest.mark.parametrize("positions", ["sincos2d", "learned2d"])
@pytest.mark.parametrize(
    ("layout", "options"),
    [
        ("timm", {"classifier": "gap"}),
        ("timm", {"registers": 2}),
        ("timm", {"registers": 2, "positions_for": "patches"}),
        ("timm", {"classifier": "gap", "class_token": True}),
        ("huggingface", {"classifier": "gap"}),
        ("huggingface", {}),
        ("torchvision", {}),
        ("google", {}),
    ],
    ids=str,
)
def test_sines_and_rows_and_columns_are_written_as_a_table(positions, layout, options, tmp_path):
    """Other programs have only learned positions; a table of the same numbers gives the same logits there."""
    model = tiny_vit(dtype=np.float32, positions=positions, image_size=(8, 12) if layout == "timm" else 8, **options)
    before = model.state()
    path = tmp_path / "model.safetensors"

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        save_weights(model, path, layout=layout)
    back = load_model(path)

    expected = "learned" if (layout, positions) != ("google", "sincos2d") else "sincos2d"
    told = [str(each.message) for each in said if "positions" in str(each.message)]
    name = {"timm": "timm", "huggingface": "Hugging Face", "torchvision": "torchvision", "google": "Google"}[layout]
    words = f"{name} has only learned position embeddings: the {positions} positions are written as such a table"
    assert told == [words] * (expected == "learned")
    assert back.config.positions == expected
    images = random_images(model.config, 3)
    np.testing.assert_allclose(back(images).data, model(images).data, atol=1e-5)
    assert model.config.positions == positions and model.state().keys() == before.keys()


def test_a_folder_of_a_model_with_sines_has_their_table(tmp_path):
    for to in ("timm", "huggingface"):
        model = tiny_vit(dtype=np.float32, positions="sincos2d", classifier="gap")
        with pytest.warns(Notice, match="the sincos2d positions are written as such a table"):
            (written,) = export_model(model, tmp_path / to, to)
        back = load_model(written.path)
        images = random_images(model.config, 3)
        np.testing.assert_allclose(back(images).data, model(images).data, atol=1e-5)


def test_nothing_is_said_of_positions_if_another_part_is_refused(tmp_path):
    model = tiny_vit(dtype=np.float32, positions="sincos2d", norm="rms")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for layout in ("timm", "huggingface", "torchvision"):
            with pytest.raises(ConfigError, match=r"RMSNorm|norm='rms'"):
                save_weights(model, tmp_path / "model.safetensors", layout=layout)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "changes", [{"positions": "relative"}, {"positions_at": "every", "positions": "sincos2d"}], ids=str
)
def test_positions_that_are_no_single_table_are_refused(changes, tmp_path):
    model = tiny_vit(dtype=np.float32, **changes)
    for layout in ("timm", "huggingface", "torchvision", "google"):
        with pytest.raises(ConfigError, match="positions"):
            save_weights(model, tmp_path / "model.safetensors", layout=layout)
    assert list(tmp_path.iterdir()) == []
