"""torchvision's Vision Transformer against minivit: its files in, and files for it out."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="parity needs PyTorch: pip install 'minivit[parity]'")
pytest.importorskip("tests.parity.vision", reason="needs torchvision: pip install 'minivit[parity]'")

from safetensors.torch import load_file  # noqa: E402
from torchvision.models.vision_transformer import VisionTransformer  # noqa: E402

from minivit import Adam, ViT, ViTConfig, cross_entropy, load_model, preprocess, save_weights  # noqa: E402
from minivit.data import shapes  # noqa: E402
from tests.support import random_images, randomize  # noqa: E402

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore::minivit.Notice")]
SIZES = {"image_size": 16, "patch_size": 4, "num_layers": 2, "num_heads": 3, "hidden_dim": 24, "mlp_dim": 40}


def torchvision_vit(**changes):
    model = VisionTransformer(**SIZES, **{"num_classes": 5, **changes}).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model


def logits_of(model, images):
    with torch.no_grad():
        return model(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()


def agrees(found, expected):
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"representation_size": 7}], ids=str)
def test_its_files_give_its_logits(tmp_path, changes):
    theirs = torchvision_vit(**changes)
    torch.save(theirs.state_dict(), tmp_path / "vit.pth")

    ours = load_model(tmp_path / "vit.pth", heads=3)

    images = random_images(ours.config, dtype=np.float32)
    agrees(ours(images).data, logits_of(theirs, images))


@pytest.mark.parametrize(
    "heads",
    [torch.nn.Linear(24, 7), torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(24, 7)), torch.nn.Identity()],
    ids=["linear", "dropout and linear", "none"],
)
def test_other_heads_give_the_same_too(tmp_path, heads):
    theirs = torchvision_vit()
    theirs.heads = heads.eval()
    torch.save({"epoch": 3, "model": theirs.state_dict()}, tmp_path / "checkpoint.pth")

    ours = load_model(tmp_path / "checkpoint.pth", heads=3)

    images = random_images(ours.config, dtype=np.float32)
    agrees(ours(images).data, logits_of(theirs, images))


def trained_on_shapes(config, steps=8):
    data = shapes("test", 16)
    images, labels = preprocess(data.images), data.labels
    model = ViT(config)
    optimizer = Adam(model.named_parameters(), lr=1e-3)
    for _ in range(steps):
        cross_entropy(model(images), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval(), images


def test_a_model_that_was_trained_here_goes_out_and_comes_back(tmp_path):
    config = ViTConfig(image_size=32, patch_size=8, dim=24, depth=2, heads=3, mlp_dim=40, num_classes=10, gelu="erf")
    ours, images = trained_on_shapes(config)
    save_weights(ours, tmp_path / "vit.safetensors", layout="torchvision")

    theirs = VisionTransformer(**SIZES | {"image_size": 32, "patch_size": 8}, num_classes=10).eval()
    theirs.load_state_dict(load_file(tmp_path / "vit.safetensors"), strict=True)
    torch.save(theirs.state_dict(), tmp_path / "back.pth")
    back = load_model(tmp_path / "back.pth", heads=3)

    expected = ours(images).data
    found = logits_of(theirs, images)
    agrees(found, expected)
    assert np.array_equal(np.argsort(found)[:, :-6:-1], np.argsort(expected)[:, :-6:-1])
    assert back.config == ours.config
    assert all(np.array_equal(back.state()[name], array) for name, array in ours.state().items())


def test_files_of_random_models_are_whole(tmp_path):
    config = ViTConfig(
        image_size=16, patch_size=4, dim=24, depth=2, heads=3, mlp_dim=40, num_classes=5, gelu="erf", representation=7
    )
    ours = randomize(ViT(config), dtype=np.float32)
    save_weights(ours, tmp_path / "vit.safetensors", layout="torchvision")

    theirs = VisionTransformer(**SIZES, num_classes=5, representation_size=7).eval()
    theirs.load_state_dict(load_file(tmp_path / "vit.safetensors"), strict=True)

    images = random_images(config, dtype=np.float32)
    agrees(logits_of(theirs, images), ours(images).data)
