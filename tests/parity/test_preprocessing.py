"""Photographs reach a model as its source's own code prepares them: probabilities and pixels are the same."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from minivit import cli, export_model, load_model, save_weights
from minivit.images.fitting import fit_image, read_fitted
from minivit.preprocessing import Preprocessing, preprocessing_in
from minivit.weights import load_for_pixels
from minivit.weights.images import ImageOptions
from minivit.weights.sources.sidecar import Sidecar
from minivit.weights.sources.torchvision import TorchVision
from tests.support import tiny_vit

torch = pytest.importorskip("torch")
pytest.importorskip("tests.parity.vision")  # before timm and transformers, which import torchvision
pytestmark = pytest.mark.parity

SIZES = [(375, 500), (251, 250), (31, 32), (100, 122)]  # the last: a crop 3.5 pixels off


def photograph(height, width, seed=0):
    """An image with smooth areas, edges and noise, in the colours of a photograph."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    image = np.stack([128 + 90 * np.sin(x / (9 + 5 * c) + c) * np.cos(y / (17 - 3 * c)) for c in range(3)], axis=-1)
    image[height // 4 : height // 2, width // 3 : width // 2] = (220, 40, 60)
    image += rng.normal(0, 12, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def photo(request, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(photograph(*request.param)).save(path)
    return path


def predicted(capsys, photo, weights, *options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert cli.main(["predict", str(photo), "--weights", str(weights), "--json", "--top", "7", *options]) == 0
    return {each["class"]: each["probability"] for each in json.loads(capsys.readouterr().out)["top"]}


# -- transformers --------------------------------------------------------------------------------

HF_SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}


def hf_folder(folder, image_size=32):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    names = {k: f"kind {k}" for k in range(7)}
    config = transformers.ViTConfig(
        **HF_SIZES, image_size=image_size, patch_size=8, id2label=names, label2id={v: k for k, v in names.items()},
        initializer_range=0.05,
    )  # fmt: skip
    transformers.ViTForImageClassification(config).save_pretrained(folder)


def processors():
    return [
        ("ViTImageProcessor", {"size": {"height": 32, "width": 32}}),
        ("ViTImageProcessor", {"size": {"height": 32, "width": 32}, "image_mean": [0.485, 0.456, 0.406],
                               "image_std": [0.229, 0.224, 0.225], "resample": 3}),
        ("ViTImageProcessor", {"size": {"height": 32, "width": 32}, "do_normalize": False}),
        ("ViTImageProcessor", {"size": {"height": 32, "width": 32}, "rescale_factor": 1 / 127.5}),
        ("DeiTImageProcessor", {"size": {"height": 37, "width": 37}, "crop_size": {"height": 32, "width": 32}}),
        ("CLIPImageProcessor", {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}),
        ("BitImageProcessor", {"size": {"shortest_edge": 37}, "crop_size": {"height": 32, "width": 32}}),
        ("ConvNextImageProcessor", {"size": {"shortest_edge": 32}, "crop_pct": 0.875}),
        ("SiglipImageProcessor", {"size": {"height": 32, "width": 32}}),
    ]  # fmt: skip


@pytest.mark.parametrize(("kind", "options"), processors(), ids=lambda value: value if isinstance(value, str) else "")
def test_transformers_processors(tmp_path, capsys, photo, kind, options):
    transformers = pytest.importorskip("transformers")
    hf_folder(tmp_path / "hf")
    processor = getattr(transformers, kind)(**options)
    processor.save_pretrained(tmp_path / "hf")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = transformers.pipeline("image-classification", model=str(tmp_path / "hf"), top_k=7)
        expected = {each["label"]: each["score"] for each in pipeline(str(photo))}

        wanted = processor(images=Image.open(photo), return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
        model = load_model(tmp_path / "hf")

    found = predicted(capsys, photo, tmp_path / "hf")

    assert found.keys() == expected.keys()
    assert max(abs(found[name] - expected[name]) for name in expected) < 1e-4
    # PyTorch resizes with weights of 16 bits, Pillow with 22: few pixels differ, by one level of 255.
    preprocessing = preprocessing_in(model.header)
    levels = wanted * np.array(preprocessing.std) * 255 + np.array(preprocessing.mean) * 255
    difference = np.abs(read_fitted(photo, 32, 32, preprocessing) - levels)
    assert difference.max() < 1.01 and difference.mean() < 0.06


@pytest.mark.parametrize("also_alone", [False, True])
def test_a_processor_inside_of_one_for_images_and_texts(tmp_path, capsys, photo, also_alone):
    """transformers 5 saves a CLIPProcessor so; beside an older `preprocessor_config.json` it counts."""
    transformers = pytest.importorskip("transformers")
    hf_folder(tmp_path / "hf")
    if also_alone:
        transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "hf")
    inner = transformers.CLIPImageProcessor(size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32})
    content = {"image_processor": json.loads(inner.to_json_string()), "processor_class": "CLIPProcessor"}
    (tmp_path / "hf" / "processor_config.json").write_text(json.dumps(content), encoding="utf-8")
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / "hf")
    network = transformers.ViTForImageClassification.from_pretrained(tmp_path / "hf").eval()
    with torch.no_grad():
        logits = network(processor(images=Image.open(photo), return_tensors="pt")["pixel_values"]).logits
    expected = torch.softmax(logits, -1)[0].numpy()

    found = predicted(capsys, photo, tmp_path / "hf")

    assert type(processor).__name__.startswith("CLIP")
    assert max(abs(found[f"kind {k}"] - expected[k]) for k in range(7)) < 1e-4


# -- timm ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [32, (24, 40)], ids=str)
@pytest.mark.parametrize(
    "cfg",
    [
        {},
        {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "crop_pct": 0.875, "interpolation": "bilinear"},
        {"crop_pct": 1.0, "crop_mode": "squash"},
        {"crop_pct": 0.95, "crop_mode": "squash", "interpolation": "lanczos"},
    ],
    ids=["default", "ImageNet", "squash", "squash and crop"],
)
def test_timms_transforms(tmp_path, capsys, photo, cfg, size):
    timm = pytest.importorskip("timm")
    from timm.data import create_transform, resolve_data_config
    from timm.models import save_for_hf

    torch.manual_seed(0)
    height, width = size if isinstance(size, tuple) else (size, size)
    model = timm.create_model(
        "vit_tiny_patch16_224", img_size=size, patch_size=8, depth=2, num_classes=7,
        pretrained_cfg_overlay={"input_size": (3, height, width), **cfg},
    ).eval()  # fmt: skip
    torch.nn.init.normal_(model.head.weight)
    save_for_hf(model, str(tmp_path / "timm"), model_args={"img_size": size, "patch_size": 8, "depth": 2})
    transform = create_transform(**resolve_data_config({}, model=model))
    with torch.no_grad():
        logits = model(transform(Image.open(photo).convert("RGB"))[None])
    expected = logits.softmax(-1)[0].numpy()

    found = predicted(capsys, photo, tmp_path / "timm")

    np.testing.assert_allclose([found[f"class {k}"] for k in range(7)], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("resize", "size", "pixels"), [("shortest", 28, 50), ("exact", 28, 51), ("cover", (28, 40), 50)]
)
def test_timm_prepares_images_for_an_exported_folder_as_minivit_does(tmp_path, photo, resize, size, pixels):
    """28 / (28 / 50) is 49.99999999999999: timm would resize to 49 pixels."""
    timm = pytest.importorskip("timm")
    from timm.data import create_transform, resolve_data_config

    model = tiny_vit(dtype=np.float32, gelu="erf", image_size=size)
    preprocessing = Preprocessing(resize=resize, crop_share=28 / pixels, interpolation="bicubic")
    model.header = {"preprocessing": preprocessing.to_json()}
    export_model(model, tmp_path / "folder", to="timm")

    network = timm.create_model(f"local-dir:{tmp_path / 'folder'}", pretrained=True)
    transform = create_transform(**resolve_data_config({}, model=network))
    expected = transform(Image.open(photo).convert("RGB")).permute(1, 2, 0).numpy() * 127.5 + 127.5

    found = read_fitted(photo, *model.config.image_shape[:2], preprocessing)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


# -- torchvision ---------------------------------------------------------------------------------


SIZES_OF_TORCHVISION = {"B": (768, 12, 12), "L": (1024, 24, 16), "H": (1280, 32, 16)}  # D, L and heads


@pytest.mark.parametrize(
    "name",
    [
        "ViT_B_16", "ViT_L_16", "ViT_L_32", "ViT_B_16 IMAGENET1K_SWAG_E2E_V1", "ViT_H_14 IMAGENET1K_SWAG_E2E_V1",
        "ViT_B_16 IMAGENET1K_SWAG_LINEAR_V1", "ViT_L_16 IMAGENET1K_SWAG_LINEAR_V1",
        "ViT_H_14 IMAGENET1K_SWAG_LINEAR_V1",
    ],
)  # fmt: skip
def test_torchvisions_transforms(photo, name):
    models = pytest.importorskip("torchvision").models
    from minivit.models.configs import ViTConfig

    name, _, which = name.partition(" ")
    weights = getattr(models, f"{name}_Weights")[which or "IMAGENET1K_V1"]
    side = weights.meta["min_size"][0]
    dim, depth, heads = SIZES_OF_TORCHVISION[name[4]]
    config = ViTConfig(image_size=side, patch_size=int(name[-2:]), dim=dim, depth=depth, heads=heads)
    preprocessing, doubt = TorchVision().convention(config, Sidecar())
    assert ('resize=224 resampling="bicubic"' in doubt) == (side == 224 and name in ("ViT_B_16", "ViT_L_16"))
    if "LINEAR" in which and name != "ViT_H_14":  # weights of the other kind have the same arrays
        said = ImageOptions(resize=224, resampling="bicubic")
        preprocessing = replace(preprocessing, **said.fields(config))

    expected = weights.transforms()(Image.open(photo).convert("RGB")).permute(1, 2, 0).numpy()  # (H, W, 3)
    pixels = read_fitted(photo, side, side, preprocessing)
    found = (pixels / 255.0 - np.array(preprocessing.mean)) / np.array(preprocessing.std)

    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


# -- in Python -----------------------------------------------------------------------------------


def test_a_saved_model_takes_its_preprocessing_along(tmp_path):
    transformers = pytest.importorskip("transformers")
    hf_folder(tmp_path / "hf")
    transformers.BitImageProcessor(size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32}).save_pretrained(
        tmp_path / "hf"
    )
    pixels = photograph(60, 81)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, header = load_for_pixels(tmp_path / "hf")
        plain = load_model(tmp_path / "hf")
    expected = model.predict(fit_image(pixels, 32, 32, preprocessing_in(header)))
    assert preprocessing_in(header).is_neutral and not preprocessing_in(plain.header).is_neutral
    for number, each in enumerate((model, plain)):
        save_weights(each, tmp_path / f"{number}.npz")
        again, noted = load_for_pixels(tmp_path / f"{number}.npz")
        fitted = fit_image(pixels, 32, 32, preprocessing_in(noted))
        np.testing.assert_allclose(again.predict(fitted), expected, atol=1e-6)
