"""A patch embedding that begins by whitening."""

from typing import cast

import numpy as np
import pytest

from minivit import ConfigError, DTypeError, ShapeError, ViT, ViTConfig, create_model, load_model
from minivit.data import shapes
from minivit.models.whitening import LEAST_VARIANCE, initialise_whitened
from minivit.training import Callback, TrainConfig, Trainer, trainer
from minivit.training.options import ModelOptions


def new(**changes):
    config = {"image_size": (8, 12), "patch_size": 4, "dim": 60, "depth": 1, "heads": 2, "mlp_dim": 8, "num_classes": 3}
    return ViT(ViTConfig(**{**config, **changes}), seed=5)


def smooth_images(count=400, shape=(8, 12, 3), seed=0):
    """Images whose neighbouring pixels are alike, with a mean that is not 0."""
    noise = np.random.default_rng(seed).standard_normal((count, *shape))
    for axis in (1, 2):
        noise = (noise + np.roll(noise, 1, axis) + 0.5 * np.roll(noise, 2, axis)) / 2
    return (0.2 * noise + [0.3, -0.1, 0.0]).astype(np.float32)


def patches_by_hand(images, p):
    height, width = (side // p * p for side in images.shape[1:3])
    return np.stack([
        image[i : i + p, j : j + p].reshape(-1)
        for image in images for i in range(0, height, p) for j in range(0, width, p)
    ]).astype(np.float64)  # fmt: skip


def tokens_of(model, images):
    return patches_by_hand(images, model.config.patch_size) @ model.embedding.weight.data + model.embedding.bias.data


def test_as_many_directions_as_a_patch_has_numbers_vary_alike():
    model, images = new(), smooth_images()
    initialise_whitened(model, [images[:150], images[150:]])

    tokens = tokens_of(model, images)  # 48 numbers of a patch in 60 of a token
    np.testing.assert_allclose(tokens.mean(axis=0), 0, atol=1e-4)
    variances = np.linalg.eigvalsh(np.cov(tokens.T))[::-1]
    np.testing.assert_allclose(variances[48:], 0, atol=1e-5)
    covariance = np.cov(patches_by_hand(images, 4).T)
    own = np.linalg.eigvalsh(covariance)[::-1]
    np.testing.assert_allclose(variances[:48], own / (own + LEAST_VARIANCE), rtol=2e-3)


def test_a_narrow_token_gets_the_directions_that_vary_most():
    model, images = new(dim=12), smooth_images()
    initialise_whitened(model, [images])

    tokens = tokens_of(model, images)
    np.testing.assert_allclose(np.cov(tokens.T), np.eye(12), atol=0.02)
    patches = patches_by_hand(images, 4)
    _, vectors = np.linalg.eigh(np.cov(patches.T))
    seen = model.embedding.weight.data.astype(np.float64)
    np.testing.assert_allclose(vectors[:, :-12].T @ seen, 0, atol=1e-4)  # the others are not seen


def test_directions_that_never_vary_are_not_made_large():
    model, images = new(), smooth_images()
    images[:, ::4] = 0.25
    initialise_whitened(model, [images])

    assert np.abs(model.embedding.weight.data).max() <= LEAST_VARIANCE**-0.5
    assert np.isfinite(tokens_of(model, images)).all()


def test_a_border_that_no_patch_covers_does_not_count():
    one, other = (new(image_size=(10, 13), drop_rest=True) for _ in range(2))
    images = smooth_images(50, (10, 13, 3))
    initialise_whitened(one, [images])
    images[:, 8:], images[:, :, 12:] = 9.0, -9.0
    initialise_whitened(other, [images])
    np.testing.assert_array_equal(one.embedding.weight.data, other.embedding.weight.data)


def test_nothing_else_changes_and_the_seed_decides():
    images = smooth_images()
    plain, one, same, other = (new() for _ in range(4))
    for model, seed in ((one, 0), (same, 0), (other, 1)):
        initialise_whitened(model, [images], seed)

    for name, array in one.state().items():
        changed = name in ("embedding.weight", "embedding.bias")
        assert changed == (not np.array_equal(array, plain.state()[name])), name
        assert changed == (not np.array_equal(array, other.state()[name])), name
        np.testing.assert_array_equal(array, same.state()[name])


def test_a_run_begins_so_if_asked_to():
    data = shapes("train", 1500)

    def embedding(**options):
        model = cast(ViT, trainer.build_model(ModelOptions(**options), data, seed=3))
        return model.embedding.weight.data

    np.testing.assert_array_equal(embedding(), embedding(embedding_init="lecun"))
    found = [batch.copy() for batch in trainer.images_to_whiten(data, (32, 32), 3)]
    assert len(np.concatenate(found)) == 1000 and found[0].dtype == np.float32
    expected = create_model("ViT-XS_4-CIFAR", num_classes=len(data.classes))
    initialise_whitened(expected, found, 3)
    np.testing.assert_array_equal(embedding(embedding_init="whitened"), expected.embedding.weight.data)


def test_images_of_many_sizes_are_brought_to_the_models(tmp_path):
    import PIL.Image

    for kind, side in (("a", 20), ("b", 31)):
        (tmp_path / "images" / kind).mkdir(parents=True)
        for number in range(3):
            pixels = np.random.default_rng(number).integers(0, 256, (side, side + number, 3), np.uint8)
            PIL.Image.fromarray(pixels).save(tmp_path / "images" / kind / f"{number}.png")
    config = TrainConfig(
        dataset=f"folder:{tmp_path}/images",
        image_size=16,
        patch_size=4,
        steps=1,
        batch_size=4,
        embedding_init="whitened",
    )
    result = Trainer(config=config, out=tmp_path / "run", show=False).fit()
    assert result.steps == 1


def test_a_resumed_run_reads_no_images_for_it_and_ends_the_same(tmp_path, monkeypatch):
    config = TrainConfig(
        dataset="shapes", steps=4, batch_size=8, train_images=40, validation=20, embedding_init="whitened"
    )

    class Stop(Callback):
        def on_step_end(self, step):
            if self.run.step == 2:
                self.run.ask_to_stop()

    Trainer(config=config, out=tmp_path / "whole", show=False).fit()
    Trainer(config=config, out=tmp_path / "parts", callbacks=[Stop()], show=False).fit()
    monkeypatch.setattr(trainer, "initialise_whitened", None)
    assert Trainer(config=config, out=tmp_path / "parts", show=False).fit(resume=True).finished

    whole, parts = (load_model(tmp_path / run).state() for run in ("whole", "parts"))
    for name, array in whole.items():
        np.testing.assert_array_equal(array, parts[name], err_msg=name)


def test_batches_of_a_script_are_not_read_twice():
    batches = [(np.full((4, 32, 32, 3), -0.5, np.float32), np.arange(4))]
    with pytest.raises(ConfigError, match=r"embedding.init\b.*train_data are batches"):
        Trainer(train_data=batches, config=TrainConfig(steps=1, embedding_init="whitened")).fit()


def test_what_cannot_begin_so_is_refused():
    with pytest.raises(ConfigError, match="a whitened embedding is for Vision Transformers, not ResNet"):
        initialise_whitened(cast(ViT, create_model("BiT-R14-CIFAR")), [])
    with pytest.raises(ConfigError, match="reads pixels; in a hybrid, patches are cut from a feature map"):
        initialise_whitened(create_model("R26+ViT-S_32", image_size=64), [])
    with pytest.raises(ConfigError, match="computed from images: there are none"):
        initialise_whitened(new(), [])
    with pytest.raises(ShapeError, match=r"images of shape \(8, 12, 3\) are needed, not \(8, 8, 3\)"):
        initialise_whitened(new(), [np.zeros((2, 8, 8, 3), np.float32)])
    with pytest.raises(DTypeError, match=r"as the network reads them, in \[-1, 1\] as floats, not uint8"):
        initialise_whitened(new(), [np.zeros((2, 8, 12, 3), np.uint8)])
    with pytest.raises(ConfigError, match="without nan or infinite numbers"):
        initialise_whitened(new(), [np.full((2, 8, 12, 3), np.nan, np.float32)])
    with pytest.raises(ConfigError, match="embedding-init must be left out, not 'whitened': the run starts from"):
        TrainConfig(weights="a.npz", embedding_init="whitened")
    with pytest.raises(ConfigError, match="embedding-init must be one of lecun, whitened, not 'white'"):
        TrainConfig(embedding_init="white")
