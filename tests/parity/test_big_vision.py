"""big_vision's .npz files, read by timm's own loader of them and by minivit: the same logits.

The arrays are random, with the names and shapes that big_vision's ViT gives its parameters: positions for the patches
alone, parts numbered by their kind, attention pooling, a text's network beside the image's, and stacked blocks.
"""

from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="parity needs PyTorch: pip install 'minivit[parity]'")
pytest.importorskip("tests.parity.vision", reason="needs torchvision: pip install 'minivit[parity]'")
timm_vit = pytest.importorskip("timm.models.vision_transformer")

from minivit import load_model  # noqa: E402
from tests.support import random_images  # noqa: E402

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore::minivit.Notice")]
D, HEADS, HIDDEN, DEPTH, PATCH, CLASSES = 24, 3, 40, 2, 4, 5


def arrays_of(grid, pool, hidden_of_pooling=HIDDEN, classes=CLASSES):
    """The parameters of big_vision's `vit.py`, by name."""
    shapes = {
        "embedding/kernel": (PATCH, PATCH, 3, D),
        "embedding/bias": (D,),
        "pos_embedding": (1, grid[0] * grid[1], D),
    }
    if pool == "tok":
        shapes["cls"] = (1, 1, D)
    for i in range(DEPTH):
        shapes |= block_shapes(f"Transformer/encoderblock_{i}/")
    shapes |= norm_shapes("Transformer/encoder_norm")
    if pool == "map":
        shapes["MAPHead_0/probe"] = (1, 1, D)
        shapes |= attention_shapes("MAPHead_0/MultiHeadDotProductAttention_0")
        shapes |= norm_shapes("MAPHead_0/LayerNorm_0")
        shapes |= mlp_shapes("MAPHead_0/MlpBlock_0", hidden_of_pooling)
    if classes:
        shapes |= {"head/kernel": (D, classes), "head/bias": (classes,)}
    rng = np.random.default_rng(0)
    return {n: (0.3 * rng.standard_normal(s) + n.endswith("/scale")).astype(np.float32) for n, s in shapes.items()}


def block_shapes(block):
    norms = norm_shapes(f"{block}LayerNorm_0") | norm_shapes(f"{block}LayerNorm_1")
    return norms | attention_shapes(f"{block}MultiHeadDotProductAttention_0") | mlp_shapes(f"{block}MlpBlock_0", HIDDEN)


def norm_shapes(name):
    return {f"{name}/scale": (D,), f"{name}/bias": (D,)}


def attention_shapes(name):
    shapes = {f"{name}/out/kernel": (HEADS, D // HEADS, D), f"{name}/out/bias": (D,)}
    for part in ("query", "key", "value"):
        shapes |= {f"{name}/{part}/kernel": (D, HEADS, D // HEADS), f"{name}/{part}/bias": (HEADS, D // HEADS)}
    return shapes


def mlp_shapes(name, hidden):
    return {
        f"{name}/Dense_0/kernel": (D, hidden), f"{name}/Dense_0/bias": (hidden,),
        f"{name}/Dense_1/kernel": (hidden, D), f"{name}/Dense_1/bias": (D,),
    }  # fmt: skip


def stacked(arrays):
    """The arrays of all blocks in one, as `scan=True` keeps them."""
    found = {name: array for name, array in arrays.items() if "encoderblock_" not in name}
    for name in arrays:
        if "encoderblock_0" in name:
            blocks = [arrays[name.replace("encoderblock_0", f"encoderblock_{i}")] for i in range(DEPTH)]
            found[name.replace("encoderblock_0", "encoderblock")] = np.stack(blocks)
    return found


def timm_logits(path, images, grid, pool, hidden_of_pooling=HIDDEN, classes=CLASSES):
    model = timm_vit.VisionTransformer(
        img_size=(grid[0] * PATCH, grid[1] * PATCH), patch_size=PATCH, embed_dim=D, depth=DEPTH, num_heads=HEADS,
        mlp_ratio=HIDDEN / D, num_classes=classes, no_embed_class=True, class_token=pool == "tok",
        global_pool={"tok": "token", "gap": "avg", "map": "map"}[pool], fc_norm=False,
        act_layer="gelu_tanh",
    )  # fmt: skip
    if pool == "map":
        model.attn_pool = timm_vit.AttentionPoolLatent(
            D, num_heads=HEADS, mlp_ratio=hidden_of_pooling / D,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6), act_layer=partial(torch.nn.GELU, approximate="tanh"),
        )  # fmt: skip
    model.eval()
    timm_vit._load_weights(model, str(path))
    with torch.no_grad():
        return model(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()


def check(path, grid, pool, **sizes):
    ours = load_model(path, grid=grid)
    images = random_images(ours.config, dtype=np.float32)
    expected = timm_logits(path, images, grid, pool, **sizes)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(ours(images).data, expected, rtol=0, atol=1e-5)
    return ours


@pytest.mark.parametrize("layers", ["one by one", "stacked"])
@pytest.mark.parametrize("grid", [(4, 4), (3, 5)], ids=str)
@pytest.mark.parametrize("pool", ["tok", "gap", "map"])
def test_a_vit(tmp_path, pool, grid, layers):
    arrays = arrays_of(grid, pool)
    arrays = stacked(arrays) if layers == "stacked" else arrays
    np.savez(tmp_path / "vit.npz", **{f"params/{name}": array for name, array in arrays.items()})

    check(tmp_path / "vit.npz", grid, pool)


@pytest.mark.parametrize("hidden", [HIDDEN, 56])
@pytest.mark.parametrize("layers", ["one by one", "stacked"])
def test_siglips_image_tower(tmp_path, layers, hidden):
    image = arrays_of((4, 4), "map", hidden, classes=0)
    image = stacked(image) if layers == "stacked" else image
    text = {"Embed_0/embedding": (9, D), "pos_embedding": (1, 7, D), "Encoder_0/encoderblock_0/LayerNorm_0/scale": (D,)}
    arrays = {f"params/img/{name}": array for name, array in image.items()}
    arrays |= {f"params/txt/{name}": np.ones(shape, np.float32) for name, shape in text.items()}
    arrays |= {"params/t": np.ones(1, np.float32), "params/b": np.ones(1, np.float32)}
    np.savez(tmp_path / "siglip.npz", **arrays)

    ours = check(tmp_path / "siglip.npz", (4, 4), "map", hidden_of_pooling=hidden, classes=0)

    assert ours.config.pooling_mlp_dim == (None if hidden == HIDDEN else hidden)


def test_an_optimisers_state_beside_the_model(tmp_path):
    model = stacked(arrays_of((4, 4), "tok"))
    arrays = {f"opt/target/{name}": array for name, array in model.items()}
    arrays |= {f"opt/state/param_states/{name}/momentum": np.zeros_like(array) for name, array in model.items()}
    np.savez(tmp_path / "training.npz", **arrays)
    np.savez(
        tmp_path / "model.npz", **{f"opt/target/{name}": array for name, array in arrays_of((4, 4), "tok").items()}
    )

    state, expected = (load_model(tmp_path / f"{name}.npz").state() for name in ("training", "model"))

    assert all(np.array_equal(state[name], array) for name, array in expected.items())
