"""How images are prepared for weights: who says it, what Pillow makes of it, and that it travels with the model."""

import json
import tracemalloc
import warnings
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from minivit import CheckpointError, ConfigError, Notice, cli, load_model, save_weights
from minivit.data import Dataset, Loader, load_test_folder
from minivit.data.imagenet import imagenet_classes
from minivit.evaluation.fewshot import representations
from minivit.images.decoding import resize_image
from minivit.images.fitting import fit_batch, fit_image, read_fitted
from minivit.preprocessing import CLIP_MEAN, IMAGENET_MEAN, IMAGENET_STD, Preprocessing, preprocess, preprocessing_in
from minivit.training.batches import set_augmentation
from minivit.training.options import AugmentOptions
from minivit.weights import describe_weights, load_for_pixels, read_arrays, write_arrays
from minivit.weights.images import ImageOptions
from minivit.weights.options import crop_of
from minivit.weights.sources.conventions import FACEBOOK, HUGGING_FACE, TIMM, torchvision_convention
from tests.support import tiny_config, tiny_vit
from tests.weights.files import hf_arrays, timm_arrays, write_safetensors

SHORTEST = Preprocessing(resize="shortest", crop_share=0.875, interpolation="bicubic")


def noise(height, width, channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def folder(tmp_path, arrays, **files):
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    write_safetensors(tmp_path / "model.safetensors", arrays)
    return tmp_path


def prepared(path, **options):
    """How images are prepared for weights, as the weights' owner does it."""
    return describe_weights(path, **options).preprocessing


def loaded(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_for_pixels(*arguments, **options)


# -- sizes and crops -----------------------------------------------------------------------------


def test_a_small_image_by_hand():
    """4 x 6 pixels, shorter side to 2: each pixel is the mean of 2 x 2; the crop keeps the columns 0 and 1 of 3."""
    pixels = np.zeros((4, 6, 1), np.uint8)
    pixels[:, 2:4] = 100
    pixels[:, 4:] = 200

    kept = fit_image(pixels, 2, 2, Preprocessing(resize="shortest", interpolation="box"))
    all_of_it = fit_image(pixels, 2, 3, Preprocessing(interpolation="box"))

    assert kept[..., 0].tolist() == [[0, 100], [0, 100]]
    assert all_of_it[..., 0].tolist() == [[0, 100, 200], [0, 100, 200]]


@pytest.mark.parametrize(
    ("share", "size", "resized"),
    [(0.875, 224, 256), (224 / 242, 224, 242), (0.9, 224, 248), (0.9, 384, 426), (1, 7, 7)],
)
def test_the_share_of_a_crop_says_the_size_before_it(share, size, resized):
    assert Preprocessing(crop_share=share).resized_to(size, size) == (resized, resized)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos", "nearest", "box", "hamming"])
@pytest.mark.parametrize("size", [(30, 45), (45, 30), (5, 7), (64, 64)])
def test_resize_and_crop_are_pillows(size, interpolation):
    """16 / 0.875 is 18.28..., so the shorter side gets 18 pixels and the longer one is rounded down."""
    pixels = noise(*size)
    height, width = (18 * side // min(size) for side in size)
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling[interpolation.upper()])
    top, left = round((height - 16) / 2), round((width - 16) / 2)

    expected = np.asarray(image.crop((left, top, left + 16, top + 16)))

    np.testing.assert_array_equal(fit_image(pixels, 16, 16, replace(SHORTEST, interpolation=interpolation)), expected)


def test_an_exact_resize_changes_the_ratio_and_a_cover_does_not():
    pixels = noise(30, 60)

    exact = fit_image(pixels, 8, 12, Preprocessing())
    cover = fit_image(pixels, 8, 12, Preprocessing(resize="cover"))

    np.testing.assert_array_equal(exact, np.asarray(Image.fromarray(pixels).resize((12, 8), Image.Resampling.BILINEAR)))
    whole = np.asarray(Image.fromarray(pixels).resize((16, 8), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(cover, whole[:, 2:14])


@pytest.mark.parametrize(("rounding", "first"), [("even", 2), ("down", 1)])
def test_a_crop_half_a_pixel_off_the_centre(rounding, first):
    """7 columns, 4 are kept: 1.5 are left out on each side."""
    pixels = noise(4, 7)

    kept = fit_image(pixels, 4, 4, Preprocessing(resize="none", crop_rounding=rounding))

    np.testing.assert_array_equal(kept, pixels[:, first : first + 4])


def test_an_image_that_is_too_small_gets_a_black_border():
    pixels = np.full((2, 3, 3), 9, np.uint8)

    padded = fit_image(pixels, 5, 4, Preprocessing(resize="none"))

    assert padded[1:3, 0:3].min() == 9 and padded.sum() == pixels.sum()


def test_the_default_is_what_models_trained_here_get():
    pixels, batch = noise(11, 5), np.stack([noise(6, 8), noise(6, 8)])

    np.testing.assert_array_equal(fit_image(pixels, 6, 8, Preprocessing()), resize_image(pixels, 6, 8))
    assert fit_batch(batch, 6, 8, Preprocessing()) is batch
    assert preprocessing_in({}) == Preprocessing()


def test_a_very_long_image_takes_little_memory():
    tracemalloc.start()
    kept = fit_image(noise(1, 1_000_000), 16, 16, SHORTEST)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert kept.shape == (16, 16, 3) and peak < 20_000_000


def test_a_batch_of_one_size_is_cropped_too():
    batch = np.stack([noise(16, 16)] * 2)
    np.testing.assert_array_equal(fit_batch(batch, 16, 16, SHORTEST)[1], fit_image(batch[1], 16, 16, SHORTEST))
    assert not np.array_equal(fit_batch(batch, 16, 16, SHORTEST), batch)


@pytest.mark.parametrize(
    "fields",
    [
        {"mean": ()}, {"mean": (2.0,)}, {"std": (0.0,)}, {"std": (float("nan"),)}, {"mean": 0.5}, {"resize": "half"},
        {"crop_share": 0}, {"crop_share": "1"}, {"crop_share": True}, {"interpolation": "cubic"},
        {"image_size": (0, 1)},
        {"crop_rounding": "up"}, {"image_size": 224}, {"mean": ("0.5",)},
    ],
    ids=str,
)  # fmt: skip
def test_other_values_are_refused(fields):
    with pytest.raises(ConfigError, match=next(iter(fields)).replace("_", "-")):
        Preprocessing(**fields)


def test_json_and_back():
    every = Preprocessing(IMAGENET_MEAN, IMAGENET_STD, "cover", 0.9, "lanczos", "down", (224, 160))
    assert Preprocessing.from_json(json.loads(json.dumps(every.to_json()))) == every
    for wrong in ([], None, {"colour": 1}, {"mean": 3}):
        with pytest.raises(ConfigError):
            Preprocessing.from_json(wrong)


# -- who says it ---------------------------------------------------------------------------------

IMAGENET = {"image_mean": list(IMAGENET_MEAN), "image_std": list(IMAGENET_STD)}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"image_processor_type": "ViTImageProcessor", "size": {"height": 8, "width": 8}, **IMAGENET, "resample": 3},
         Preprocessing(IMAGENET_MEAN, IMAGENET_STD, "exact", 1.0, "bicubic", "down", (8, 8))),
        ({"feature_extractor_type": "ViTFeatureExtractor", "size": 8},
         Preprocessing(crop_rounding="down", image_size=(8, 8))),
        ({"image_processor_type": "CLIPImageProcessorFast", "size": {"shortest_edge": 10}, "crop_size": 8,
          "do_center_crop": True},
         replace(HUGGING_FACE["clip"], crop_share=0.8, image_size=(8, 8))),
        ({"feature_extractor_type": "CLIPFeatureExtractor", "size": 8, "crop_size": 8},
         replace(HUGGING_FACE["clip"], image_size=(8, 8))),
        ({"image_processor_type": "DeiTImageProcessor", "size": {"height": 10, "width": 10},
          "crop_size": {"height": 8, "width": 8}, **IMAGENET},
         Preprocessing(IMAGENET_MEAN, IMAGENET_STD, "exact", 0.8, "bicubic", "down", (8, 8))),
        ({"do_resize": False, "do_normalize": False}, Preprocessing((0.0,), (1.0,), "none", crop_rounding="down")),
        ({"do_rescale": False, "image_mean": [127.5] * 3, "image_std": [127.5] * 3},
         Preprocessing(crop_rounding="down")),
        ({"rescale_factor": 1 / 127.5, "image_mean": [1.0] * 3, "image_std": [1.0] * 3},
         Preprocessing(crop_rounding="down")),
        ({"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 8}, "crop_pct": 0.8},
         Preprocessing(resize="shortest", crop_share=0.8, interpolation="bicubic", crop_rounding="down",
                       image_size=(8, 8))),
        ({"feature_extractor_type": "ConvNextFeatureExtractor", "size": 384},
         Preprocessing(interpolation="bicubic", crop_rounding="down", image_size=(384, 384))),
    ],
    ids=["ViT", "older ViT", "CLIP", "older CLIP", "DeiT", "as they are", "0 to 255", "0 to 2", "ConvNeXt",
         "ConvNeXt at 384"],
)  # fmt: skip
def test_what_a_preprocessor_config_says(tmp_path, said, expected):
    found = prepared(folder(tmp_path, hf_arrays(), preprocessor_config=said), heads=2)

    np.testing.assert_allclose(found.mean, expected.mean, atol=1e-12)
    np.testing.assert_allclose(found.std, expected.std, atol=1e-12)
    assert replace(found, mean=expected.mean, std=expected.std) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)},
         Preprocessing(IMAGENET_MEAN, IMAGENET_STD, "cover", 0.875, "bicubic")),
        ({"crop_pct": 0.9, "crop_mode": "squash", "interpolation": "bilinear"},
         Preprocessing(IMAGENET_MEAN, IMAGENET_STD, "exact", 0.9)),
        ({"crop_pct": 1.0, "crop_mode": "center", "mean": [0.5] * 3, "std": None, "test_input_size": [3, 16, 16]},
         Preprocessing(std=IMAGENET_STD, resize="cover", interpolation="bicubic")),
    ],
    ids=["defaults", "squash", "center"],
)  # fmt: skip
def test_what_timms_pretrained_cfg_says(tmp_path, said, expected):
    config = {
        "architecture": "vit_odd",
        "model_args": {"num_heads": 2},
        "pretrained_cfg": {"input_size": [3, 8, 8], **said},
    }

    assert prepared(folder(tmp_path, timm_arrays(), config=config)) == replace(expected, image_size=(8, 8))


@pytest.mark.parametrize(
    "said",
    [
        {"size": "large"}, {"size": {"shortest_edge": 8, "longest_edge": 9}}, {"size": {"height": 8}}, {"resample": 9},
        {"resample": "bicubic"}, {"resample": 2.0}, {"resample": True},
        {"image_mean": [300.0], "image_std": [1.0]}, {"rescale_factor": 0, **IMAGENET},
        {"crop_size": -1, "do_center_crop": True, "size": 8}, {"crop_pct": 0.9, "size": 8},
        {"image_processor_type": "MobileViTImageProcessor", "do_flip_channel_order": True},
        {"image_processor_type": "LevitImageProcessor", "size": {"shortest_edge": 8}},
        {"image_processor_type": "PerceiverImageProcessor", "size": {"height": 8, "width": 8}},
        {"feature_extractor_type": "PoolFormerFeatureExtractor"}, {"image_processor_type": "ViTs"},
    ],
    ids=str,
)  # fmt: skip
def test_a_preprocessor_config_that_makes_no_sense_is_one_sentence(tmp_path, said):
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json") as caught:
        load_model(folder(tmp_path, hf_arrays(), preprocessor_config=said), heads=2)

    assert len(str(caught.value).replace(str(tmp_path), "")) < 200 and "\n" not in str(caught.value)


def test_where_no_file_says_it_the_publishers_convention_holds_and_is_said(tmp_path):
    found = describe_weights(folder(tmp_path, timm_arrays()), heads=2, grid=(2, 2))

    assert found.preprocessing == TIMM and "assumed as timm's ViTs" in found.preprocessing_said_by
    said = describe_weights(
        tmp_path, heads=2, grid=(2, 2), mean=0.5, std=0.5, resize=9, resampling="bicubic"
    ).preprocessing_said_by
    assert said == "as given"


def test_the_callers_word_wins_over_the_files(tmp_path):
    said = {"size": {"height": 8, "width": 8}, **IMAGENET, "resample": 3}
    folder(tmp_path, hf_arrays(), preprocessor_config=said)

    found = prepared(tmp_path, heads=2, mean=0.4, std=(0.2, 0.2, 0.3), resize=10, resampling="lanczos")

    assert found == Preprocessing((0.4,) * 3, (0.2, 0.2, 0.3), "shortest", 0.8, "lanczos", "down", (8, 8))
    assert prepared(tmp_path, heads=2, resize=(16, 16)).crop_share == 0.5
    assert prepared(tmp_path, heads=2, resize=(10, 10), crop=8).resize == "exact"
    assert prepared(tmp_path, heads=2, crop=0.5).crop_share == 0.5


@pytest.mark.parametrize(
    "options",
    [
        {"resize": 0}, {"resize": "10"}, {"resize": (8, 16)}, {"crop": 8}, {"crop": 0.001}, {"crop": 1.5},
        {"resize": 10, "crop": 0.5}, {"resampling": "cubic"}, {"resize": True},
    ],
    ids=str,
)  # fmt: skip
def test_options_that_make_no_sense_are_refused_by_name(tmp_path, options):
    with pytest.raises(ConfigError, match=r"resize|crop|resampling"):
        describe_weights(folder(tmp_path, timm_arrays()), heads=2, **options)


def test_a_size_that_is_not_the_weights_is_said(tmp_path):
    folder(tmp_path, hf_arrays(), preprocessor_config={"size": {"height": 16, "width": 16}})

    with pytest.warns(Notice, match=r"16 x 16 pixels, but the weights take 8 x 8.*--image-size"):
        _, header = load_for_pixels(tmp_path, heads=2)
    assert loaded(tmp_path, heads=2)[0].config.image_size == 8
    assert preprocessing_in(header).resized_to(8, 8) == (8, 8)


def test_the_published_sizes_of_torchvision():
    def size_of(side, **sizes):
        found = torchvision_convention(tiny_config(image_size=side, **sizes))
        return found.resized_to(side, side)[0], found.interpolation

    assert size_of(224) == (256, "bilinear") and size_of(384, patch_size=32) == (384, "bicubic")
    assert size_of(224, patch_size=14, dim=1280, depth=32, heads=16) == (224, "bicubic")  # ViT-H/14: SWAG's alone
    assert FACEBOOK.resized_to(224, 224) == (256, 256) and HUGGING_FACE["clip"].mean == CLIP_MEAN


def test_a_crop_as_text():
    assert (crop_of("crop", "0.875"), crop_of("crop", "1.0"), crop_of("crop", "224")) == (0.875, 1.0, 224)
    assert crop_of("crop", "224x160") == (224, 160)
    for wrong in ("1.5", "-1", "a", "0.5x0.5", ""):
        with pytest.raises(ConfigError, match="crop must be"):
            crop_of("crop", wrong)


@pytest.mark.parametrize(("text", "words"), [("0", r"crop must be pixels, or \(height, width\), not 0"),
                                            ("0x8", "crop must be pixels"), ("0.0", "crop must be pixels, or a share"),
                                            ("1.0", "resize in pixels settles the share")])  # fmt: skip
def test_a_crop_of_nothing_is_refused_beside_the_resize(text, words):
    with pytest.raises(ConfigError, match=words):
        ImageOptions(resize=10, crop=crop_of("crop", text)).fields(tiny_config())


# -- it travels ----------------------------------------------------------------------------------


def test_it_travels_with_saved_weights_and_nothing_is_applied_twice(tmp_path):
    said = {"size": {"shortest_edge": 10}, "crop_size": 8, "do_center_crop": True, **IMAGENET}
    model, header = loaded(folder(tmp_path, hf_arrays(), preprocessor_config=said), heads=2)
    plain = load_model(tmp_path, heads=2)
    pixels = noise(8, 8)

    assert preprocessing_in(header).is_neutral and preprocessing_in(header).crop_share == 0.8
    assert preprocessing_in(plain.header).mean == IMAGENET_MEAN
    for each in (model, plain):
        save_weights(each, tmp_path / "again.npz")
        again, noted = loaded(tmp_path / "again.npz")
        np.testing.assert_allclose(again.predict(pixels), model.predict(pixels), atol=1e-6)
        assert preprocessing_in(noted) == preprocessing_in(header)
        assert noted["folded"]["mean"] == list(IMAGENET_MEAN)


@pytest.fixture
def photos(tmp_path):
    for number in range(12):
        where = tmp_path / "photos" / ("train" if number % 3 else "test") / ("a" if number < 6 else "b")
        where.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (20, 31, 3), np.uint8)
        Image.fromarray(pixels).save(where / f"{number}.png")
    return tmp_path / "photos"


@pytest.mark.slow
def test_every_command_prepares_images_alike(tmp_path, photos, capsys):
    """A fine-tuned run keeps it, and `evaluate` and `predict` measure what the library computes."""
    said = {"size": {"shortest_edge": 12}, "crop_size": 8, "do_center_crop": True, "resample": 3, **IMAGENET}
    folder(tmp_path, hf_arrays(), preprocessor_config=said)
    run = tmp_path / "run"
    options = ["--dataset", f"folder:{photos}", "--steps", 3, "--batch-size", 4, "--augment", "none", "--lr", 0.1]
    options += ["--num-threads", 1, "--heads", 2, "--warmup", 0]
    assert cli.main(["finetune", "--weights", str(tmp_path), *map(str, options), "--out", str(run)]) == 0

    model = load_model(run)
    wanted = preprocessing_in(model.header)
    assert (wanted.resize, wanted.interpolation, wanted.image_size) == ("shortest", "bicubic", (8, 8))
    assert wanted.is_neutral and model.header["folded"]["std"] == list(IMAGENET_STD)

    capsys.readouterr()
    files = sorted((photos / "test").rglob("*.png"))
    rows, labels = [], []
    for file in files:
        row = model.predict(read_fitted(file, 8, 8, wanted))[0]
        assert cli.main(["predict", str(file), "--weights", str(run), "--json"]) == 0
        top = json.loads(capsys.readouterr().out)["top"]
        assert {each["class"]: pytest.approx(each["probability"], abs=1e-6) for each in top} == dict(
            zip("ab", row, strict=True)
        )
        rows.append(row)
        labels.append("ab".index(file.parent.name))
    loss = -np.log(np.array(rows)[np.arange(len(rows)), labels]).mean()
    assert cli.main(["evaluate", "--weights", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["loss"] == pytest.approx(loss, abs=1e-5)
    assert model.header["last_test"]["loss"] == pytest.approx(loss, abs=1e-5)  # by the run itself

    test_set = load_test_folder(f"folder:{photos}")
    fitted = [fit_image(image, 8, 8, wanted) for image in test_set.images]
    expected = model.represent(preprocess(np.stack(fitted))).data
    np.testing.assert_allclose(representations(model, test_set), expected, atol=1e-5)


@pytest.mark.parametrize(("augment", "alike"), [("none", True), ("crop", False)])
def test_training_images_are_prepared_as_test_images(augment, alike):
    images = np.stack([noise(16, 24)] * 2)
    loader = Loader(Dataset("some", images, np.zeros(2, np.int64), ("a",)), 2, seed=0)

    set_augmentation(loader, AugmentOptions(augment=augment), "some", 1.0, (8, 8), SHORTEST)

    (batch,) = loader.batches(0, 1)
    assert np.array_equal(batch.images, preprocess(fit_batch(images, 8, 8, SHORTEST))) == alike


@pytest.mark.slow
def test_a_resumed_run_keeps_it(tmp_path, photos):
    said = {"size": {"shortest_edge": 12}, "crop_size": 8, "do_center_crop": True, **IMAGENET}
    folder(tmp_path, hf_arrays(), preprocessor_config=said)
    options = ["--dataset", f"folder:{photos}", "--batch-size", 4, "--num-threads", 1, "--heads", 2, "--eval-every", 0]
    for name, steps in (("half", 2), ("whole", 4)):
        given = [*options, "--steps", steps, "--lr-schedule", "constant", "--warmup", 0, "--out", tmp_path / name]
        assert cli.main(["finetune", "--weights", str(tmp_path), *map(str, given)]) == 0
    before = load_model(tmp_path / "half").header
    assert cli.main(["train", "--resume", str(tmp_path / "half")]) == 0
    after = load_model(tmp_path / "half").header
    assert {k: after[k] for k in ("preprocessing", "folded")} == {k: before[k] for k in ("preprocessing", "folded")}


def test_a_header_that_makes_no_sense_is_refused(tmp_path):
    for wrong in ({"mean": 3}, [], {"crop_share": -1}, "exact"):
        save_weights(tiny_vit(dtype=np.float32), tmp_path / "ours.npz")
        header, arrays = read_arrays(tmp_path / "ours.npz")
        write_arrays(tmp_path / "ours.npz", header | {"preprocessing": wrong}, arrays)
        with pytest.raises(CheckpointError, match=r"ours\.npz"):
            load_model(tmp_path / "ours.npz")


# -- names of classes ----------------------------------------------------------------------------


def test_imagenets_names_are_in_the_usual_order():
    thousand, google, fall = (imagenet_classes(count) for count in (1000, 21843, 21841))

    assert (len(thousand), len(google), len(fall)) == (1000, 21843, 21841)
    assert (thousand[0], thousand[281], thousand[999]) == ("tench", "tabby", "toilet tissue")
    assert google[:2] == fall[:2] == ("organism", "benthos")
    assert len(set(thousand)) == 1000 and all(name.strip() == name != "" for name in google)
    assert [imagenet_classes(count) for count in (0, 10, 999)] == [None] * 3


def test_predict_prints_imagenets_names_and_says_so(tmp_path, capsys):
    Image.fromarray(noise(20, 20)).save(tmp_path / "image.png")
    folder(tmp_path, timm_arrays(classes=1000))

    assert cli.main(["predict", str(tmp_path / "image.png"), "--weights", str(tmp_path), "--heads", "2"]) == 0

    said = capsys.readouterr()
    printed = [line.split("%")[1].strip() for line in said.out.splitlines()[1:]]
    assert len(printed) == 5 and set(printed) <= set(imagenet_classes(1000))
    assert "assumed ImageNet's" in said.err


# -- what a file was taken for -------------------------------------------------------------------


def test_info_says_what_a_file_was_taken_for(tmp_path, capsys):
    config = {
        "architecture": "vit_odd", "model_args": {"num_heads": 2}, "label_names": ["ant", "bee", "cat"],
        "pretrained_cfg": {"input_size": [3, 8, 8], "mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)},
    }  # fmt: skip
    folder(tmp_path, timm_arrays(), config=config)

    assert cli.main(["info", str(tmp_path)]) == 0
    words = capsys.readouterr().out
    for fact in ("timm", "2 heads", "2 x 2 of 4 pixels", "GELU (erf)", "1e-06", "ant, bee, cat", "bicubic",
                 "mean=0.485,0.456,0.406", "config.json",
                 "assumed     gelu='erf', norm_eps=1e-06, classifier='token'"):  # fmt: skip
        assert fact in words

    options = ["--heads", "4", "--gelu", "tanh", "--eps", "1e-5", "--crop", "0.5"]
    assert cli.main(["info", str(tmp_path), "--json", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["config"]["heads"], found["config"]["gelu"], found["config"]["norm_eps"]) == (4, "tanh", 1e-5)
    assert found["preprocessing"]["crop_share"] == 0.5 and found["source"] == "timm" and found["types"] == ["float32"]


@pytest.mark.slow
def test_info_reads_no_array_and_takes_a_run_too(tmp_path, capsys, monkeypatch):
    write_safetensors(tmp_path / "model.safetensors", timm_arrays())
    from minivit.weights.sources.timm import Timm

    monkeypatch.setattr(Timm, "fill", None)
    assert cli.main(["info", str(tmp_path / "model.safetensors"), "--heads", "2"]) == 0
    words = capsys.readouterr().out
    assert "gelu='erf'" in words and "grid=(2, 2)" in words  # what was assumed

    run = ["train", "--model", "ViT-XS_4-CIFAR", "--train-images", "20", "--steps", "1", "--eval-every", "0"]
    assert cli.main([*run, "--out", str(tmp_path / "run"), "--num-threads", "1"]) == 0
    capsys.readouterr()
    assert cli.main(["info", str(tmp_path / "run")]) == 0
    words = capsys.readouterr().out
    assert "minivit" in words and "dataset shapes, step 1" in words and "scaled to [-1, 1]" in words


@pytest.mark.parametrize("option", [["--heads", "0"], ["--gelu", "soft"], ["--eps", "0"], ["--pool", "all"]])
def test_arithmetic_that_no_model_has_is_refused(tmp_path, capsys, option):
    path = write_safetensors(tmp_path / "model.safetensors", timm_arrays())

    with pytest.raises((SystemExit, ConfigError)) as caught:
        if cli.main(["info", str(path), *option]) == 2:
            raise SystemExit(2)

    assert option[0].strip("-") in capsys.readouterr().err + str(caught.value)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--eps", "0"], "--eps must be above 0"), (["--resize", "100000"], "--resize must be at most 100 times"),
        (["--crop", "2"], "give --resize too"), (["--mean", "1"], "give std too (--std)"),
        (["--std", "1"], "give mean too (--mean)"), (["--mean", "0.5", "--std", "-1,1,1"], "std must be one number"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_a_wrong_option_is_called_by_its_name(tmp_path, capsys, options, sentence):
    path = write_safetensors(tmp_path / "model.safetensors", timm_arrays())

    assert cli.main(["info", str(path), "--heads", "2", *options]) == 2

    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nothing", "nothing at"),
        ("empty", "empty holds no weights file (checkpoint.npz"),
        ("", "is empty: give a path"),
    ],
)
def test_where_no_weights_are_the_place_is_said_as_given(tmp_path, capsys, name, sentence):
    (tmp_path / "empty").mkdir()

    assert cli.main(["predict", "image.png", "--weights", name and str(tmp_path / name)]) == 2

    said = capsys.readouterr().err
    assert sentence in said and ("checkpoint.npz" in said) == (name == "empty")


def test_a_model_of_several_labels_an_image_is_said_to_be_one(tmp_path):
    config = {
        "model_type": "vit",
        "num_attention_heads": 4,
        "image_size": 8,
        "patch_size": 4,
        "hidden_size": 8,
        "num_hidden_layers": 2,
        "intermediate_size": 16,
        "problem_type": "multi_label_classification",
    }

    with pytest.warns(Notice, match=r"config\.json: trained for several labels an image .* softmax"):
        load_model(folder(tmp_path, hf_arrays(), config=config))


def test_pixels_beside_the_patches_are_said(tmp_path):
    path = write_safetensors(tmp_path / "model.safetensors", timm_arrays())

    with pytest.warns(Notice, match=r"9 x 10 pixels have a rest .* reads 8 x 8"):
        assert load_model(path, heads=2, image_size=(9, 10)).config.drop_rest


def test_the_header_of_a_run_does_not_count_as_an_array(tmp_path):
    save_weights(tiny_vit(), tmp_path / "model.npz")

    found = describe_weights(tmp_path)

    assert found.types == ("float64",) and found.arrays == len(tiny_vit().state())
    assert found.numbers == sum(array.size for array in tiny_vit().state().values())


def test_what_cannot_be_loaded_cannot_be_described(tmp_path, capsys):
    arrays = timm_arrays()
    del arrays["blocks.1.norm2.bias"]
    write_safetensors(tmp_path / "model.safetensors", arrays)

    with pytest.raises(CheckpointError, match=r"blocks\.1\.norm2\.bias is missing"):
        describe_weights(tmp_path, heads=2)


def test_the_callers_arithmetic_wins_over_the_config(tmp_path):
    config = {"model_type": "vit", "num_attention_heads": 4, "image_size": 8, "patch_size": 4, "layer_norm_eps": 1e-5}
    folder(tmp_path, hf_arrays(dim=8), config=config)

    model = load_model(tmp_path, heads=2, gelu="tanh", norm_eps=1e-6, classifier="gap")

    config = model.config
    assert (config.heads, config.gelu, config.norm_eps, config.classifier) == (2, "tanh", 1e-6, "gap")
    assert config.has_class_token and load_model(tmp_path).config.norm_eps == 1e-5
