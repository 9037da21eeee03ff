"""The whole model: its parameters by name, its forward pass against plain NumPy, dropout, and predicting."""

import math
import tracemalloc

import numpy as np
import pytest

from minivit import (
    BackwardError,
    ConfigError,
    DTypeError,
    ShapeError,
    Tensor,
    ViT,
    cross_entropy,
    preprocess,
    value_and_grad,
)
from minivit.backend.workers import Workers
from minivit.engine.tensor import Node
from minivit.models import vit
from minivit.models.variants import LayerScale
from minivit.nn import LayerNorm
from tests.models import plain_vit
from tests.support import random_images, tiny_config, tiny_vit

NAMES_AND_SHAPES = [
    ("embedding.weight", (48, 12)),
    ("embedding.bias", (12,)),
    ("cls", (1, 1, 12)),
    ("positions.embedding", (1, 5, 12)),
    ("blocks.0.norm1.weight", (12,)),
    ("blocks.0.norm1.bias", (12,)),
    ("blocks.0.attention.qkv.weight", (12, 36)),
    ("blocks.0.attention.qkv.bias", (36,)),
    ("blocks.0.attention.out.weight", (12, 12)),
    ("blocks.0.attention.out.bias", (12,)),
    ("blocks.0.norm2.weight", (12,)),
    ("blocks.0.norm2.bias", (12,)),
    ("blocks.0.mlp.fc1.weight", (12, 20)),
    ("blocks.0.mlp.fc1.bias", (20,)),
    ("blocks.0.mlp.fc2.weight", (20, 12)),
    ("blocks.0.mlp.fc2.bias", (12,)),
    ("blocks.1.norm1.weight", (12,)),
    ("blocks.1.norm1.bias", (12,)),
    ("blocks.1.attention.qkv.weight", (12, 36)),
    ("blocks.1.attention.qkv.bias", (36,)),
    ("blocks.1.attention.out.weight", (12, 12)),
    ("blocks.1.attention.out.bias", (12,)),
    ("blocks.1.norm2.weight", (12,)),
    ("blocks.1.norm2.bias", (12,)),
    ("blocks.1.mlp.fc1.weight", (12, 20)),
    ("blocks.1.mlp.fc1.bias", (20,)),
    ("blocks.1.mlp.fc2.weight", (20, 12)),
    ("blocks.1.mlp.fc2.bias", (12,)),
    ("encoder_norm.weight", (12,)),
    ("encoder_norm.bias", (12,)),
    ("pre_logits.weight", (12, 6)),
    ("pre_logits.bias", (6,)),
    ("head.weight", (6, 5)),
    ("head.bias", (5,)),
]


def test_parameters_have_these_names_and_shapes():
    model = ViT(tiny_config(representation=6))

    assert {name: tensor.shape for name, tensor in model.named_parameters()} == dict(NAMES_AND_SHAPES)


def test_parameters_come_in_the_order_of_definition():
    model = ViT(tiny_config(representation=6))

    assert [name for name, _ in model.named_parameters()] == [name for name, _ in NAMES_AND_SHAPES]


def test_fine_tuning_has_no_pre_logits():
    names = [name for name, _ in ViT(tiny_config()).named_parameters()]

    assert sorted(names) == sorted(name for name, _ in NAMES_AND_SHAPES if not name.startswith("pre_logits"))


# -- the forward pass ----------------------------------------------------------------------------

VARIANTS = [
    {},
    {"representation": 6},
    {"gelu": "erf"},
    {"image_size": (12, 8)},
    {"image_size": (4, 16)},
    {"channels": 1, "heads": 1},
    {"heads": 12, "patch_size": 2},
    {"depth": 0},
    {"norm_eps": 0.1},
    {"mlp_dim": 1, "num_classes": 1},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_the_logits_equal_plain_numpys_from_the_papers_equations(changes):
    model = tiny_vit(**changes)
    images = random_images(model.config)

    expected = plain_vit.forward(images, model.state(), model.config)

    np.testing.assert_allclose(model(images).data, expected, rtol=0, atol=1e-10)


def test_single_precision_agrees_to_single_precision():
    model = tiny_vit(dtype=np.float32)
    images = random_images(model.config, dtype=np.float32)

    logits = model(images).data

    state = {name: array.astype(np.float64) for name, array in model.state().items()}
    expected = plain_vit.forward(images.astype(np.float64), state, model.config)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_the_images_of_a_batch_do_not_see_each_other():
    model = tiny_vit()
    images = random_images(model.config, batch=4)

    together = model(images).data

    for image, logits in zip(images, together, strict=True):
        np.testing.assert_allclose(model(image[None]).data[0], logits, rtol=0, atol=1e-12)


def test_the_class_token_has_index_0():
    """With no positions and no blocks the logits depend on the class token, and on no patch."""
    model = tiny_vit(depth=0)
    model.positions.embedding.data[...] = 0.0
    images = random_images(model.config, batch=2)

    logits = model(images).data
    np.testing.assert_array_equal(logits[0], logits[1])

    model.cls.data += np.arange(12.0)
    assert np.abs(model(images).data - logits).max() > 0.1

    model.positions.embedding.data[:, 1:] = 5.0  # of patches
    moved = model(images).data
    model.positions.embedding.data[:, 0] = np.arange(12.0)[::-1]  # of the class token
    assert np.abs(model(images).data - moved).max() > 0.1


def test_without_positions_the_order_of_patches_does_not_matter_and_with_them_it_does():
    model = tiny_vit()
    image = random_images(model.config, batch=1)
    swapped = np.concatenate([image[:, 4:], image[:, :4]], axis=1)  # the two rows of patches

    assert np.abs(model(image).data - model(swapped).data).max() > 1e-3
    model.positions.embedding.data[...] = 0.0
    np.testing.assert_allclose(model(image).data, model(swapped).data, rtol=0, atol=1e-12)


@pytest.mark.parametrize("representation", [None, 6], ids=["fine-tuning head", "pre-training head"])
@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_a_new_model_knows_nothing_and_its_loss_is_the_logarithm_of_k(representation, classes):
    model = ViT(tiny_config(num_classes=classes, representation=representation), seed=4)
    images = random_images(model.config, dtype=np.float32)

    logits = model(images)

    np.testing.assert_array_equal(logits.data, np.zeros((3, classes)))
    loss = cross_entropy(logits, np.array([0, 1, classes - 1])).item()
    assert loss == pytest.approx(math.log(classes), rel=1e-6)


def test_a_tensor_of_images_gets_a_gradient():
    model = tiny_vit()
    images = Tensor(random_images(model.config), requires_grad=True)

    model(images).sum().backward()

    assert images.grad.shape == images.shape
    assert np.abs(images.grad).min(axis=(1, 2, 3)).all()


def test_double_precision_images_adapt_to_a_single_precision_model():
    model = tiny_vit(dtype=np.float32)
    images = random_images(model.config)

    logits = model(images)

    assert logits.dtype == np.float32
    np.testing.assert_array_equal(logits.data, model(images.astype(np.float32)).data)


def test_a_tensor_of_another_type_is_refused():
    model = tiny_vit(dtype=np.float32)

    with pytest.raises(DTypeError, match=r"float32.*float64|float64.*float32"):
        model(Tensor(random_images(model.config)))


# -- images that do not fit ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(8, 8, 3), (2, 8, 12, 3), (2, 12, 8, 3), (2, 3, 8, 8), (2, 8, 8, 1), (1, 2, 8, 8, 3), (2, 192), ()]
)
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(ShapeError, match=r"\(B, H, W, C\) = \(B, 8, 8, 3\)"):
        tiny_vit()(np.zeros(shape))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool, complex])
def test_images_that_are_no_floats_are_refused(dtype):
    with pytest.raises(DTypeError, match="preprocess"):
        tiny_vit()(np.zeros((2, 8, 8, 3), dtype))


@pytest.mark.parametrize("images", [[[1.0]], None, "image.png", 3.0], ids=repr)
def test_what_is_no_array_is_refused(images):
    with pytest.raises(DTypeError, match="array"):
        tiny_vit()(images)


# -- dropout -------------------------------------------------------------------------------------


class WatchedGenerator:
    """Draws as NumPy's generator does, and remembers the keys of the masks that it drew."""

    def __init__(self, seed=0):
        self.generator = np.random.default_rng(seed)
        self.keys = []

    def integers(self, low, high, size):
        assert (low, high, size) == (0, 2**32, 4)
        self.keys.append(self.generator.integers(low, high, size=size))
        return self.keys[-1]


def uniform(key, shape):
    """The numbers from 0 to 1 that a key is for: the low and the high half of each number of NumPy's Philox."""
    first, second, third, fourth = (int(word) for word in key)
    philox = np.random.Philox(key=np.array([first + 2**32 * second, third + 2**32 * fourth], np.uint64))
    count = math.prod(shape)
    raw = philox.random_raw(count)
    return np.stack([raw % 2**32, raw // 2**32], axis=-1).ravel()[:count].reshape(shape) / 2**32


def places(config):
    """Where the paper drops out (appendix B.1): after positions, attention, GELU and the second layer."""
    yield "positions", config.dim
    for layer in range(config.depth):
        yield f"{layer} attention", config.dim
        yield f"{layer} hidden", config.mlp_dim
        yield f"{layer} mlp", config.dim


def test_dropout_draws_one_mask_for_each_place_and_no_other():
    model = tiny_vit(dropout=0.25)
    rng = WatchedGenerator()

    model(random_images(model.config, batch=2), rng=rng)

    assert len(rng.keys) == len(list(places(model.config)))
    assert len({tuple(key) for key in rng.keys}) == len(rng.keys)


def test_dropout_acts_at_the_papers_places():
    """Plain NumPy with the same masks, put where the paper has them, finds the same logits."""
    model = tiny_vit(dropout=0.25)
    images = random_images(model.config, batch=2)
    rng = WatchedGenerator()

    logits = model(images, rng=rng).data

    masks = {
        place: uniform(key, (2, 5, width)) >= 0.25
        for (place, width), key in zip(places(model.config), rng.keys, strict=True)
    }
    drops = [lambda x, place, b=b: x * masks[place][b] / 0.75 for b in range(2)]
    expected = plain_vit.forward(images, model.state(), model.config, drops)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-10)
    assert np.abs(expected - plain_vit.forward(images, model.state(), model.config)).max() > 1e-3


def test_attention_weights_are_dropped_after_the_softmax():
    """Rows of dropped weights no longer sum to 1: with values all equal, a query's output is its row's sum."""
    layer = vit.MultiHeadSelfAttention(tiny_config(attention_dropout=0.5), np.random.default_rng(0))
    layer.qkv.bias.data[24:] = 1.0  # values
    layer.qkv.weight.data[:, 24:] = 0.0
    layer.out.weight.data[...] = np.eye(12)
    rng = WatchedGenerator()
    z = Tensor(np.zeros((1, 4, 12), np.float32))

    out = layer(z, rng).data

    (key,) = rng.keys
    rows = (uniform(key, (1, 3, 4, 4)) >= 0.5).mean(axis=-1) / 0.5  # equal scores: each weight is a quarter
    expected = np.repeat(rows.transpose(0, 2, 1), 4, axis=-1)  # (1, tokens, heads · D_h)
    np.testing.assert_allclose(out, expected, rtol=1e-5)


def sums_on_the_tape(z):
    """How many additions the tape of a Tensor holds."""
    nodes, new = set(), [z._node]
    while new:
        node = new.pop()
        if isinstance(node, Node) and node not in nodes:
            nodes.add(node)
            new.extend(node.parents)
    return sum(node.vjp.__qualname__ == "add.<locals>.vjp" for node in nodes)


def dropped(part):
    def change(block):
        getattr(block, part).dropout.rate = 0.3

    return change


def left_out(block):
    block.depth.rate = 0.3


def scaled(part):
    def change(block):
        setattr(block, part, LayerScale(12, 0.5))

    return change


@pytest.mark.parametrize("change", [dropped("attention"), dropped("mlp"), left_out, scaled("scale1"), scaled("scale2")])
def test_the_last_layer_of_a_branch_adds_the_tokens_unless_something_is_computed_in_between(change):
    block = vit.EncoderBlock(tiny_config(), np.random.default_rng(0))
    z, rng = Tensor(np.ones((2, 5, 12), np.float32), requires_grad=True), np.random.default_rng(0)
    assert sums_on_the_tape(block(z, rng)) == 0

    change(block)
    assert sums_on_the_tape(block(z, rng)) == 2
    block.eval()
    assert sums_on_the_tape(block(z)) == (2 if change.__qualname__.startswith("scaled") else 0)


@pytest.mark.parametrize("queries", [None, 1])
def test_a_block_that_adds_in_its_last_layers_computes_the_same_bits(queries, monkeypatch):
    block = vit.EncoderBlock(tiny_config(), np.random.default_rng(0))
    values = np.random.default_rng(1).standard_normal((2, 5, 12), dtype=np.float32)

    def found():
        z = Tensor(values, requires_grad=True)
        out = block(z, queries=queries)
        block.zero_grad()
        out.backward(np.cos(out.data))
        return out.data, z.grad, *(parameter.grad for parameter in block.parameters())

    fast = found()
    monkeypatch.setattr(vit.EncoderBlock, "_adds_at_once", lambda self: False)
    for mine, other in zip(fast, found(), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_no_mask_is_drawn_in_evaluation():
    model = tiny_vit(dropout=0.25, attention_dropout=0.25).eval()
    images = random_images(model.config)
    rng = WatchedGenerator()

    logits = model(images, rng=rng).data

    assert rng.keys == []
    np.testing.assert_allclose(logits, plain_vit.forward(images, model.state(), model.config), rtol=0, atol=1e-10)


def test_no_mask_is_drawn_where_the_rate_is_zero():
    rng = WatchedGenerator()
    model = tiny_vit()

    model(random_images(model.config), rng=rng)

    assert rng.keys == []


def test_dropout_depends_on_the_generator_alone():
    model = tiny_vit(dropout=0.25, attention_dropout=0.1)
    images = random_images(model.config)

    first, second, other = (model(images, rng=np.random.default_rng(seed)).data for seed in (1, 1, 2))

    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 1e-3


def test_a_models_own_generator_is_seeded_and_moves_on():
    images = random_images(tiny_config())
    one, other = (tiny_vit(dropout=0.25) for _ in range(2))

    first, second = one(images).data, one(images).data

    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_array_equal(other(images).data, first)


# -- intermediates -------------------------------------------------------------------------------


@pytest.mark.parametrize("representation", [None, 6])
def test_intermediates_have_these_names_and_shapes(representation):
    model = tiny_vit(representation=representation)

    _, seen = model(random_images(model.config, batch=2), return_intermediates=True)

    assert {name: array.shape for name, array in seen.items()} == {
        "embedding": (2, 4, 12),
        "blocks.0.attention.weights": (2, 3, 5, 5),
        "blocks.0.tokens": (2, 5, 12),
        "blocks.1.attention.weights": (2, 3, 5, 5),
        "blocks.1.tokens": (2, 5, 12),
        "representation": (2, representation or 12),
    }
    assert all(isinstance(array, np.ndarray) for array in seen.values())


def test_intermediates_are_what_they_say():
    model = tiny_vit()
    images = random_images(model.config)

    logits, seen = model(images, return_intermediates=True)
    w = model.state()

    corner = images[1, 4:8, 0:4].reshape(-1)  # the third patch in raster order
    np.testing.assert_allclose(
        seen["embedding"][1, 2], corner @ w["embedding.weight"] + w["embedding.bias"], atol=1e-12
    )
    last = plain_vit.layer_norm(
        seen["blocks.1.tokens"][:, 0], w["encoder_norm.weight"], w["encoder_norm.bias"], model.config.norm_eps
    )
    np.testing.assert_allclose(seen["representation"], last, rtol=0, atol=1e-12)
    np.testing.assert_allclose(logits.data, last @ w["head.weight"] + w["head.bias"], rtol=0, atol=1e-12)


def test_each_row_of_attention_weights_sums_to_1():
    model = tiny_vit()

    _, seen = model(random_images(model.config), return_intermediates=True)

    for name in ("blocks.0.attention.weights", "blocks.1.attention.weights"):
        assert (seen[name] > 0).all()
        np.testing.assert_allclose(seen[name].sum(axis=-1), 1.0, rtol=1e-12)
        assert np.ptp(seen[name]) > 0.01  # and it is not constant


@pytest.mark.parametrize(
    "changes", [{}, {"representation": 6}, {"positions": "relative"}, {"distillation": True}], ids=str
)
@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_intermediates_cannot_be_changed_before_backward_reads_them(changes, dtype):
    model = tiny_vit(dtype=dtype, **changes)
    logits, seen = model(random_images(model.config, dtype=dtype), return_intermediates=True)

    for array in seen.values():
        with pytest.raises(ValueError, match="read-only"):
            array *= 2.0

    cross_entropy(logits, np.arange(3)).backward()
    for parameter in model.parameters():
        parameter.data -= 0.1 * parameter.grad  # the model's own arrays can be changed


def test_asking_for_intermediates_changes_no_logits():
    model = tiny_vit(dropout=0.2)
    images = random_images(model.config)

    plain = model(images, rng=np.random.default_rng(0))
    asked, _ = model(images, rng=np.random.default_rng(0), return_intermediates=True)

    np.testing.assert_array_equal(asked.data, plain.data)


# -- predicting ----------------------------------------------------------------------------------


def softmax(x):
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def test_predict_is_the_softmax_of_the_logits_in_evaluation():
    model = tiny_vit(dropout=0.5)
    images = random_images(model.config, batch=7)

    probabilities = model.predict(images, batch_size=3)

    expected = softmax(plain_vit.forward(images, model.state(), model.config))
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, expected, rtol=1e-5)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-6)


def test_predict_takes_pixels_as_they_are():
    model = tiny_vit(dtype=np.float32)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)

    np.testing.assert_array_equal(model.predict(pixels), model.predict(preprocess(pixels)))
    np.testing.assert_allclose(
        model.predict(pixels), model.predict(((pixels - 127.5) / 127.5).astype(np.float32)), rtol=1e-5
    )


@pytest.mark.parametrize("training", [True, False])
def test_predict_restores_the_mode_even_after_an_error(training):
    model = tiny_vit().train(training)

    model.predict(random_images(model.config))
    assert model.training is training and model.blocks[1].mlp.dropout.training is training

    with pytest.raises(DTypeError):
        model.predict(np.zeros((2, 9, 9, 3)))
    assert model.training is training and model.blocks[1].mlp.dropout.training is training


def test_predict_leaves_parts_that_were_in_evaluation_there():
    """A frozen backbone stays frozen."""
    model = tiny_vit().train()
    model.blocks[0].eval()

    model.predict(random_images(model.config))

    assert model.training and model.blocks[1].training
    assert not model.blocks[0].training and not model.blocks[0].mlp.dropout.training


def test_predict_keeps_no_tape(monkeypatch):
    model = tiny_vit()
    recorded = []
    monkeypatch.setattr("minivit.engine.tensor.Node", lambda *arguments: recorded.append(arguments))

    model.predict(random_images(model.config))
    assert recorded == []

    model(random_images(model.config))
    assert recorded  # the watch itself works


def test_predicting_nothing_gives_nothing():
    model = tiny_vit()

    assert model.predict(np.zeros((0, 8, 8, 3), np.float32)).shape == (0, 5)


def test_checkpointed_blocks_give_the_same_gradients_bit_for_bit():
    model = tiny_vit(dropout=0.2, depth=3)
    images, labels = random_images(model.config), np.arange(3)

    def gradients():
        def loss():
            return cross_entropy(model(images, rng=np.random.default_rng(5)), labels)

        value, found = value_and_grad(loss, model.parameters())
        return [value, *found]

    plain = gradients()
    model.checkpoint_blocks = True
    for one, other in zip(plain, gradients(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("changes", [{"dropout": 0.2}, {"attention_dropout": 0.2}, {"stochastic_depth": 0.2}], ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_checkpointed_blocks_are_not_recomputed_in_another_mode(changes, training):
    """The gradients would be those of another network."""
    model = tiny_vit(depth=2, **changes).train(training)
    model.checkpoint_blocks = True
    loss = cross_entropy(model(random_images(model.config), rng=np.random.default_rng(5)), np.arange(3))

    model.train(not training)

    with pytest.raises(BackwardError, match=r"^dropout was switched .* call backward\(\) before") as raised:
        loss.backward()
    assert len(str(raised.value)) < 200
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_mode_of_a_model_without_dropout_does_not_matter_to_checkpointed_blocks():
    model = tiny_vit()
    model.checkpoint_blocks = True
    images, labels = random_images(model.config), np.arange(3)

    def gradients():
        model.zero_grad()
        loss = cross_entropy(model(images), labels)
        model.train(not model.training)
        loss.backward()
        return [parameter.grad for parameter in model.parameters()]

    for one, other in zip(gradients(), gradients(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_checkpointed_blocks_may_be_evaluated_between_forward_and_backward_pass():
    model = tiny_vit(dropout=0.2)
    model.checkpoint_blocks = True
    images = random_images(model.config)
    loss = cross_entropy(model(images, rng=np.random.default_rng(5)), np.arange(3))

    model.predict(images)
    loss.backward()

    assert model.head.weight.grad is not None


def test_checkpointed_blocks_keep_much_less():
    model = tiny_vit(depth=8, image_size=32, dim=24, dtype=np.float32)
    images = random_images(model.config, batch=8, dtype=np.float32)

    def peak():
        tracemalloc.start()
        cross_entropy(model(images), np.zeros(8, int)).backward()
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    plain = peak()
    model.checkpoint_blocks = True
    assert peak() < 0.4 * plain


def test_by_default_each_block_is_computed_once(monkeypatch):
    model = tiny_vit(depth=3)
    calls = []
    original = vit.EncoderBlock.forward
    monkeypatch.setattr(
        vit.EncoderBlock, "forward", lambda self, *args, **options: calls.append(1) or original(self, *args, **options)
    )
    cross_entropy(model(random_images(model.config)), np.arange(3)).backward()
    assert len(calls) == 3
    model.checkpoint_blocks = True
    cross_entropy(model(random_images(model.config)), np.arange(3)).backward()
    assert len(calls) == 3 + 6


@pytest.mark.parametrize("depth", [1, 3])
def test_skipping_what_nobody_reads_changes_neither_logits_nor_gradients(depth):
    model = tiny_vit(depth=depth)
    images, labels = random_images(model.config), np.arange(3)

    def found():
        logits = model(images).data
        return [logits, *value_and_grad(lambda: cross_entropy(model(images), labels), model.parameters())[1]]

    fast = found()
    model.skip_unused = False
    for one, other in zip(fast, found(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


def test_the_last_block_computes_the_class_token_alone(monkeypatch):
    model = tiny_vit(depth=2)
    rows = []
    original = vit.MLP.forward

    def forward(self, z, *others, **named):
        rows.append(z.shape)
        return original(self, z, *others, **named)

    monkeypatch.setattr(vit.MLP, "forward", forward)
    model(random_images(model.config))
    assert rows == [(3, 5, 12), (3, 1, 12)]
    rows.clear()
    model.checkpoint_blocks = True
    model(random_images(model.config))
    assert rows == [(3, 5, 12), (3, 1, 12)]
    rows.clear()
    model(random_images(model.config), return_intermediates=True)
    assert rows == [(3, 5, 12), (3, 5, 12)]
    rows.clear()
    model.skip_unused = False
    model(random_images(model.config))
    assert rows == [(3, 5, 12), (3, 5, 12)]


@pytest.mark.parametrize("changes", [{"dropout": 0.3}, {"attention_dropout": 0.3}], ids=str)
def test_dropout_keeps_the_last_block_from_skipping_in_training_alone(changes, monkeypatch):
    """It draws for all tokens, so that the draws do not depend on what is skipped."""
    model = tiny_vit(**changes)
    rows = []
    original = vit.MLP.forward

    def forward(self, z, *others, **named):
        rows.append(z.shape[1])
        return original(self, z, *others, **named)

    monkeypatch.setattr(vit.MLP, "forward", forward)
    model(random_images(model.config), rng=np.random.default_rng(0))
    model.eval()
    model(random_images(model.config))
    assert rows == [5, 5, 5, 1]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_predicting_with_threads_gives_the_same_probabilities(count):
    model = tiny_vit()
    images = random_images(model.config, batch=count)
    with Workers(2) as workers:
        found = model.predict(images, batch_size=2, workers=workers)
    np.testing.assert_allclose(found, model.predict(images, batch_size=2), rtol=1e-6)


def test_a_single_piece_has_every_blas_thread(monkeypatch):
    from threadpoolctl import threadpool_info, threadpool_limits

    model = tiny_vit()
    seen = []
    original = ViT.forward

    def forward(self, images, **options):
        seen.append({pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"})
        return original(self, images, **options)

    monkeypatch.setattr(ViT, "forward", forward)
    with threadpool_limits(2, user_api="blas"), Workers(2) as workers:
        model.predict(random_images(model.config, batch=1), workers=workers)
        model.predict(random_images(model.config), batch_size=2, workers=workers)
    assert seen == [{2}, {1}, {1}]


def test_intermediates_are_of_all_tokens_whatever_is_skipped():
    model = tiny_vit()
    images = random_images(model.config)
    _, found = model(images, return_intermediates=True)
    model.skip_unused = False
    _, expected = model(images, return_intermediates=True)
    assert found.keys() == expected.keys()
    for name in found:
        np.testing.assert_array_equal(found[name], expected[name])


def test_average_pooling_leaves_a_class_token_out():
    model = tiny_vit(classifier="gap", class_token=True)
    images = random_images(model.config)

    _, seen = model(images, return_intermediates=True)

    tokens = seen["blocks.1.tokens"]  # (B, N + 1, D)
    centred = tokens - tokens.mean(axis=-1, keepdims=True)
    normal = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-6)
    normal = normal * model.encoder_norm.weight.data + model.encoder_norm.bias.data
    np.testing.assert_allclose(seen["representation"], normal[:, 1:].mean(axis=1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("changes", [{}, {"classifier": "gap"}, {"classifier": "map"}], ids=str)
def test_features_lie_where_their_patches_do(changes):
    """Change one patch's pixels in a model whose tokens do not mix: one feature changes, in its row and column."""
    model = tiny_vit(image_size=(8, 12), **changes)
    for block in model.blocks:
        block.attention.out.weight.data[...] = 0.0
    images = random_images(model.config, batch=1)
    changed = images.copy()
    changed[0, 4:8, 8:12] += 0.5  # row 1, column 2

    difference = np.abs(model.features(changed).data - model.features(images).data).max(axis=-1)[0]

    assert model.features(images).shape == (1, 2, 3, 12)
    assert difference[1, 2] > 1e-3
    difference[1, 2] = 0.0
    assert not difference.any()


POOLED_BY_HAND = {
    "token": ({}, lambda model, z: z[:, 0]),
    "map": ({"classifier": "map"}, lambda model, z: model.pooling(Tensor(z)).data),
    "mean": ({"classifier": "gap"}, lambda model, z: z.mean(axis=1)),
    "mean beside a class token": ({"classifier": "gap", "class_token": True}, lambda model, z: z[:, 1:].mean(axis=1)),
    "registers": ({"classifier": "gap", "registers": 2}, lambda model, z: z[:, 2:].mean(axis=1)),
    "two tokens": ({"distillation": True}, lambda model, z: z[:, :2].mean(axis=1)),
    "before the norm": (
        {"classifier": "gap", "pool_before_norm": True},
        lambda model, z: by_hand(z.mean(axis=1), model.encoder_norm),
    ),
    "no norm": ({"final_norm": False}, lambda model, z: z[:, 0]),
}


@pytest.mark.parametrize("kind", POOLED_BY_HAND)
def test_forward_features_are_the_tokens_that_are_pooled(kind):
    changes, pool = POOLED_BY_HAND[kind]
    model = tiny_vit(image_size=(8, 12), **changes)
    if kind != "no norm":
        model.encoder_norm.bias.data[...] = 0.3
    images = random_images(model.config)

    found = model.forward_features(images)

    assert found.shape == (3, 6 + model.config.num_front_tokens, 12)
    np.testing.assert_allclose(pool(model, found.data), model.represent(images).data, atol=1e-12)
    if kind != "before the norm":
        grid = model.patches(found).data.reshape(3, 2, 3, 12)
        np.testing.assert_allclose(grid, model.features(images).data, atol=1e-12)


def test_forward_features_draw_dropout_from_the_generator_that_is_given():
    model = tiny_vit(dropout=0.5).train()
    images = random_images(model.config)

    first, again, other = (model.forward_features(images, rng=np.random.default_rng(s)).data for s in (1, 1, 2))

    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    pooled = model.pool(model.encode(model.embed(images), rng=np.random.default_rng(1)))
    np.testing.assert_allclose(pooled.data, first[:, 0], atol=1e-12)


def test_what_patches_do_not_divide_of_a_feature_map_is_left_out_below_and_to_the_right():
    model = tiny_vit(image_size=(24, 40), patch_size=4, backbone=(), backbone_width=32)
    images = random_images(model.config)
    map_ = model.backbone(Tensor(images)).data  # (3, 6, 10, 32): a patch is 4 x 4, so 1 x 2 of them fit

    expected = [
        [
            image[:4, left : left + 4].reshape(-1) @ model.embedding.weight.data + model.embedding.bias.data
            for left in (0, 4)
        ]
        for image in map_
    ]
    np.testing.assert_allclose(model.embed(images).data, expected, rtol=1e-10)


def test_checkpointed_blocks_give_the_same_intermediates():
    model = tiny_vit()
    images = random_images(model.config)
    _, plain = model(images, return_intermediates=True)
    model.checkpoint_blocks = True
    _, found = model(images, return_intermediates=True)
    assert found.keys() == plain.keys()


# -- other ways to pool, and to place the positions, by hand -------------------------------------


def by_hand(x, module):
    """A Linear or a LayerNorm of the model, in plain NumPy."""
    if isinstance(module, LayerNorm):
        return plain_vit.layer_norm(x, module.weight.data, module.bias.data, 1e-6)
    return x @ module.weight.data + module.bias.data


def test_average_pooling_may_come_before_the_norm():
    model = tiny_vit(classifier="gap", pool_before_norm=True)
    images = random_images(model.config)

    _, seen = model(images, return_intermediates=True)

    expected = by_hand(seen["blocks.1.tokens"].mean(axis=1), model.encoder_norm)
    np.testing.assert_allclose(seen["representation"], expected, atol=1e-12)


def test_attention_pooling_asks_all_tokens_with_one_learned_query():
    model = tiny_vit(classifier="map")
    images = random_images(model.config)
    pooling = model.pooling

    _, seen = model(images, return_intermediates=True)

    z = by_hand(seen["blocks.1.tokens"], model.encoder_norm)
    (query,) = by_hand(pooling.probe.data[0], pooling.qkv)[:, :12]
    for tokens, found in zip(z, seen["representation"], strict=True):
        keys, values = np.split(by_hand(tokens, pooling.qkv)[:, 12:], 2, axis=1)
        heads = []
        for h in range(3):
            own = slice(4 * h, 4 * h + 4)
            scores = np.exp(keys[:, own] @ query[own] / 2.0)  # √4
            heads.append(scores / scores.sum() @ values[:, own])
        y = by_hand(np.concatenate(heads), pooling.out)
        hidden = plain_vit.gelu(by_hand(by_hand(y, pooling.norm), pooling.mlp.fc1), "tanh")
        np.testing.assert_allclose(found, y + by_hand(hidden, pooling.mlp.fc2), atol=1e-12)


def test_attention_pooling_has_these_parameters_and_no_dropout():
    model = ViT(tiny_config(classifier="map", dropout=0.5))
    shapes = {name: tensor.shape for name, tensor in model.pooling.named_parameters()}

    assert shapes == {
        "probe": (1, 1, 12), "qkv.weight": (12, 36), "qkv.bias": (36,), "out.weight": (12, 12), "out.bias": (12,),
        "norm.weight": (12,), "norm.bias": (12,), "mlp.fc1.weight": (12, 20), "mlp.fc1.bias": (20,),
        "mlp.fc2.weight": (20, 12), "mlp.fc2.bias": (12,),
    }  # fmt: skip
    z = Tensor(np.random.default_rng(0).standard_normal((3, 4, 12)).astype(np.float32))
    np.testing.assert_array_equal(model.pooling(z).data, model.pooling(z).data)


def test_positions_at_every_block_are_each_blocks_own():
    model = tiny_vit(positions_at="every", depth=4)
    images = random_images(model.config)
    _, seen = model(images, return_intermediates=True)

    for i in range(1, 4):
        before = seen[f"blocks.{i - 1}.tokens"] + model.later_positions[i - 1].embedding.data
        np.testing.assert_allclose(model.blocks[i](Tensor(before)).data, seen[f"blocks.{i}.tokens"], atol=1e-12)


def test_relative_positions_have_an_offset_for_each_distance():
    model = ViT(tiny_config(positions="relative"))
    assert [block.attention.offsets.shape for block in model.blocks] == [(9, 4), (9, 4)]  # -4 to 4; D / heads


# -- which op computes the attention, and which numbers dropout draws ----------------------------


@pytest.mark.parametrize(("rate", "training", "composed"), [(0.0, True, 0), (0.3, False, 0), (0.3, True, 2)])
def test_attention_is_composed_only_where_its_weights_are_dropped(rate, training, composed, monkeypatch):
    model = tiny_vit(attention_dropout=rate)
    calls = []
    original = vit.reference.attention_with_weights
    monkeypatch.setattr(
        vit.reference, "attention_with_weights", lambda *args, **more: calls.append(1) or original(*args, **more)
    )
    if not training:
        model.eval()
    model(random_images(model.config))
    assert len(calls) == composed


def test_relative_attention_drops_no_weights_in_evaluation():
    model, dropping = tiny_vit(positions="relative"), tiny_vit(positions="relative", attention_dropout=0.5)
    images = random_images(model.config)
    assert np.abs(dropping(images, rng=np.random.default_rng(0)).data - model(images).data).max() > 1e-3
    dropping.eval()
    np.testing.assert_array_equal(dropping(images, rng=np.random.default_rng(0)).data, model(images).data)


def test_the_default_seed_is_0():
    for name, array in ViT(tiny_config()).state().items():
        np.testing.assert_array_equal(array, ViT(tiny_config(), seed=0).state()[name])


@pytest.mark.parametrize("seed", [-1, 1.5, True, "7"], ids=repr)
def test_a_seed_that_is_no_integer_of_0_or_more_is_refused(seed):
    with pytest.raises(ConfigError, match=f"^the seed must be an integer of 0 or more, not {seed!r}$"):
        ViT(tiny_config(), seed=seed)


def test_dropout_of_a_model_has_a_stream_of_its_own_for_each_seed():
    models = [ViT(tiny_config(), seed=seed) for seed in (None, 0, 1, 7)]
    draws = [model._rng.random() for model in models]
    assert draws[0] == draws[1] and len(set(draws)) == 3
    assert not {np.random.default_rng(seed).random() for seed in (0, 1, 7)} & set(draws)  # the weights' streams


def test_without_classes_there_is_no_head():
    model = ViT(tiny_config(num_classes=0))
    assert not any(name.startswith("head") for name, _ in model.named_parameters())
    assert model(random_images(model.config, dtype=np.float32)).shape == (3, 12)


@pytest.mark.parametrize("classifier", ["gap", "map"])
def test_where_all_tokens_are_read_none_is_skipped(classifier):
    model = tiny_vit(classifier=classifier)
    images = random_images(model.config)
    logits = model(images).data
    model.skip_unused = False
    np.testing.assert_array_equal(model(images).data, logits)
