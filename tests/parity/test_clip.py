"""CLIP's image network: one written here as OpenAI's code defines it, and transformers' of the same weights."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="parity needs PyTorch: pip install 'minivit[parity]'")
pytest.importorskip("tests.parity.vision", reason="needs torchvision: pip install 'minivit[parity]'")

from minivit import load_model  # noqa: E402
from tests.support import random_images  # noqa: E402

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore::minivit.Notice")]
nn = torch.nn
D, PATCH, FEATURES = 128, 4, 7  # two heads of 64


class QuickGelu(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    def __init__(self, heads, act, scale):
        super().__init__()
        self.attn = nn.MultiheadAttention(D, heads)
        self.ln_1, self.ln_2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(D, 2 * D))
        self.mlp.add_module("gelu", act())
        self.mlp.add_module("c_proj", nn.Linear(2 * D, D))
        self.ls_1, self.ls_2 = (Scale(), Scale()) if scale else (nn.Identity(), nn.Identity())

    def forward(self, x):
        y = self.ln_1(x)
        x = x + self.ls_1(self.attn(y, y, y, need_weights=False)[0])
        return x + self.ls_2(self.mlp(self.ln_2(x)))


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(D))

    def forward(self, x):
        return x * self.gamma


class Transformer(nn.Module):
    def __init__(self, heads, act, scale):
        super().__init__()
        self.resblocks = nn.Sequential(Block(heads, act, scale), Block(heads, act, scale))


class Visual(nn.Module):
    """Patches without bias, a class token in front, positions, a norm, blocks over (T, B, D), a norm, a projection."""

    def __init__(self, grid=(3, 3), heads=2, act=QuickGelu, scale=False):
        super().__init__()
        self.conv1 = nn.Conv2d(3, D, PATCH, PATCH, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(D))
        self.positional_embedding = nn.Parameter(torch.zeros(grid[0] * grid[1] + 1, D))
        self.ln_pre, self.ln_post = nn.LayerNorm(D), nn.LayerNorm(D)
        self.transformer = Transformer(heads, act, scale)
        self.proj = nn.Parameter(torch.zeros(D, FEATURES))

    def forward(self, x):
        x = self.conv1(x).flatten(2).permute(0, 2, 1)
        first = self.class_embedding.expand(len(x), 1, -1)
        x = self.ln_pre(torch.cat([first, x], dim=1) + self.positional_embedding)
        x = self.transformer.resblocks(x.permute(1, 0, 2)).permute(1, 0, 2)
        return self.ln_post(x[:, 0]) @ self.proj


class Clip(nn.Module):
    """The image network, and enough of the one for texts to have its names."""

    def __init__(self, **options):
        super().__init__()
        self.visual = Visual(**options)
        self.transformer = Transformer(2, QuickGelu, False)
        self.token_embedding, self.ln_final = nn.Embedding(9, D), nn.LayerNorm(D)
        self.positional_embedding = nn.Parameter(torch.zeros(5, D))
        self.text_projection = nn.Parameter(torch.zeros(D, FEATURES))
        self.logit_scale = nn.Parameter(torch.ones([]))
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)


def compare(ours, theirs):
    images = random_images(ours.config, dtype=np.float32)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(ours(images).data, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("grid", [(3, 3), (2, 4)], ids=str)
@pytest.mark.parametrize("part", ["whole", "image network"])
def test_openais_code(tmp_path, part, grid):
    clip = Clip(grid=grid).eval()
    torch.save((clip if part == "whole" else clip.visual).state_dict(), tmp_path / "clip.pt")

    ours = load_model(tmp_path / "clip.pt", gelu="quick", grid=grid)

    assert ours.config.heads == 2  # one for 64 columns
    compare(ours, clip.visual)


@pytest.mark.parametrize("quick", [True, False])
def test_open_clips_file_beside_the_weights_decides(tmp_path, quick):
    clip = Clip(heads=4, act=QuickGelu if quick else nn.GELU, scale=True).eval()
    torch.save(clip.state_dict(), tmp_path / "open_clip_pytorch_model.bin")
    vision = {"image_size": 12, "layers": 2, "width": D, "patch_size": PATCH, "head_width": 32, "ls_init_value": 0.1}
    content = {"model_cfg": {"embed_dim": FEATURES, "vision_cfg": vision, "text_cfg": {}, "quick_gelu": quick}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(content))

    ours = load_model(tmp_path)

    assert (ours.config.heads, ours.config.gelu) == (4, "quick" if quick else "erf")
    compare(ours, clip.visual)


@pytest.mark.parametrize(
    ("name", "pool", "side"),
    [("test_vit", "avg", 32), ("test_vit", "token", 32), ("vit_wee_patch16_reg1_gap_256", "", 32)],
)
def test_open_clips_file_says_which_architecture_of_timm_a_trunk_is(tmp_path, name, pool, side):
    """The trunk as OpenCLIP makes it for a linear projection: the pooling is changed after it was made."""
    timm = pytest.importorskip("timm")
    trunk = timm.create_model(name, img_size=side, depth=2).eval()
    trunk.reset_classifier(0, **({"global_pool": pool} if pool else {}))
    with torch.no_grad():
        for number, parameter in enumerate(trunk.parameters()):
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    state = {f"visual.trunk.{key}": tensor for key, tensor in trunk.state_dict().items()}
    state |= {"visual.head.proj.weight": torch.ones(FEATURES, trunk.num_features), "logit_scale": torch.ones([])}
    torch.save(state, tmp_path / "open_clip_pytorch_model.bin")
    vision = {"image_size": side, "timm_model_name": name, "timm_pool": pool, "timm_proj": "linear"}
    content = {"model_cfg": {"embed_dim": FEATURES, "vision_cfg": vision, "text_cfg": {}}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(content))

    compare(load_model(tmp_path), trunk)


def test_transformers_model_of_the_same_weights(tmp_path):
    transformers = pytest.importorskip("transformers")
    clip = Clip().eval()
    torch.save(clip.state_dict(), tmp_path / "clip.pt")
    config = transformers.CLIPVisionConfig(
        hidden_size=D, intermediate_size=2 * D, num_hidden_layers=2, num_attention_heads=2, image_size=12,
        patch_size=PATCH, projection_dim=FEATURES, hidden_act="quick_gelu",
    )  # fmt: skip
    theirs = transformers.CLIPVisionModelWithProjection(config).eval()
    missing, unexpected = theirs.load_state_dict(in_transformers_names(clip.visual.state_dict()), strict=False)
    assert not unexpected and all("position_ids" in name for name in missing)

    compare(load_model(tmp_path / "clip.pt", gelu="quick"), lambda images: theirs(images).image_embeds)


def in_transformers_names(state):
    names = {
        "class_embedding": "embeddings.class_embedding", "conv1.weight": "embeddings.patch_embedding.weight",
        "positional_embedding": "embeddings.position_embedding.weight",
    }  # fmt: skip
    parts = (
        ("ln_pre.", "pre_layrnorm."), ("ln_post.", "post_layernorm."), ("transformer.resblocks.", "encoder.layers."),
        (".ln_1.", ".layer_norm1."), (".ln_2.", ".layer_norm2."), (".attn.", ".self_attn."), (".c_fc.", ".fc1."),
        (".c_proj.", ".fc2."),
    )  # fmt: skip
    found = {"visual_projection.weight": state["proj"].T}
    for name, array in state.items():
        if name == "proj":
            continue
        name = names.get(name, name)
        for theirs, hf in parts:
            name = name.replace(theirs, hf)
        if "in_proj_" in name:
            for part, third in zip("qkv", array.chunk(3), strict=True):
                found["vision_model." + name.replace("in_proj_", f"{part}_proj.")] = third
        else:
            found["vision_model." + name] = array
    return found
