"""Teaching code: a small ViT with the names of vit-pytorch, written here, and what is refused of its relatives."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="parity needs PyTorch: pip install 'minivit[parity]'")

from minivit import CheckpointError, load_model  # noqa: E402
from tests.support import random_images  # noqa: E402

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore::minivit.Notice")]
nn = torch.nn
D, HIDDEN, CLASSES, PATCH = 24, 40, 5, 4


class Patches(nn.Module):
    """(B, C, H, W) -> (B, N, P P C): the pixels of a patch row by row, the channels of each together."""

    def forward(self, x):
        b, c, h, w = x.shape
        x = x.reshape(b, c, h // PATCH, PATCH, w // PATCH, PATCH).permute(0, 2, 4, 3, 5, 1)
        return x.reshape(b, -1, PATCH * PATCH * c)


class PreNorm(nn.Module):
    def __init__(self, fn):
        super().__init__()
        self.norm, self.fn = nn.LayerNorm(D), fn

    def forward(self, x):
        return self.fn(self.norm(x))


class FeedForward(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(D, HIDDEN), nn.GELU(), nn.Dropout(0.1), nn.Linear(HIDDEN, D), nn.Dropout(0.1)
        )

    def forward(self, x):
        return self.net(x)


class Attention(nn.Module):
    def __init__(self, heads, width):
        super().__init__()
        self.heads, self.scale = heads, width**-0.5
        self.to_qkv = nn.Linear(D, 3 * heads * width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(heads * width, D), nn.Dropout(0.1))

    def forward(self, x):
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.to_qkv(x).chunk(3, dim=-1))
        weights = (q @ k.transpose(-1, -2) * self.scale).softmax(-1)
        return self.to_out((weights @ v).transpose(1, 2).flatten(2))


class Transformer(nn.Module):
    def __init__(self, heads, width):
        super().__init__()
        blocks = [nn.ModuleList([PreNorm(Attention(heads, width)), PreNorm(FeedForward())]) for _ in range(2)]
        self.layers = nn.ModuleList(blocks)

    def forward(self, x):
        for attention, feed_forward in self.layers:
            x = attention(x) + x
            x = feed_forward(x) + x
        return x


class Vit(nn.Module):
    def __init__(self, grid=(3, 3), channels=3, heads=3, width=8, with_norms=False):
        super().__init__()
        values = PATCH * PATCH * channels
        parts = [Patches(), nn.Linear(values, D)]
        parts = [parts[0], nn.LayerNorm(values), parts[1], nn.LayerNorm(D)] if with_norms else parts
        self.to_patch_embedding = nn.Sequential(*parts)
        self.pos_embedding = nn.Parameter(torch.randn(1, grid[0] * grid[1] + 1, D))
        self.cls_token = nn.Parameter(torch.randn(1, 1, D))
        self.transformer = Transformer(heads, width)
        self.mlp_head = nn.Sequential(nn.LayerNorm(D), nn.Linear(D, CLASSES))

    def forward(self, x):
        x = self.to_patch_embedding(x)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embedding
        return self.mlp_head(self.transformer(x)[:, 0])


def saved(folder, **options):
    torch.manual_seed(0)
    model = Vit(**options).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.2)
    torch.save(model.state_dict(), folder / "vit.pt")
    return model


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("grid", [(3, 3), (2, 4)], ids=str)
def test_vit_pytorch(tmp_path, grid, channels):
    theirs = saved(tmp_path, grid=grid, channels=channels)

    ours = load_model(tmp_path / "vit.pt", heads=3, classifier="token", grid=grid)

    images = random_images(ours.config, dtype=np.float32)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(ours(images).data, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        ({}, {}, r"give classifier='token'"),
        ({}, {"classifier": "gap"}, r"pool='mean' is not supported"),
        ({"width": 16}, {"classifier": "token"}, "its heads are together 48 wide and its tokens 24"),
        ({"with_norms": True}, {"classifier": "token"}, "LayerNorm on the patches before they are embedded"),
    ],
)
def test_what_the_arrays_do_not_say_is_asked_and_other_parts_are_refused(tmp_path, model, options, words):
    saved(tmp_path, **model)

    with pytest.raises(CheckpointError, match=words):
        load_model(tmp_path / "vit.pt", heads=3, **options)


def test_pytorchs_own_encoder_is_named(tmp_path):
    class Tutorial(nn.Module):
        def __init__(self):
            super().__init__()
            self.cls_token, self.patch_embed = nn.Parameter(torch.zeros(1, 1, D)), nn.Conv2d(3, D, PATCH, PATCH)
            layer = nn.TransformerEncoderLayer(D, 3, HIDDEN, batch_first=True, norm_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    torch.save(Tutorial().state_dict(), tmp_path / "vit.pt")

    with pytest.raises(CheckpointError, match=r"nn.TransformerEncoder, whose arrays do not say where it normalises"):
        load_model(tmp_path / "vit.pt", heads=3)
