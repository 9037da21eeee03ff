"""Names of published PyTorch files: files in the form that the sources' own code writes are downloaded and load."""

import hashlib
import warnings
from dataclasses import replace

import pytest

from minivit import Notice
from minivit.errors import DataError
from minivit.weights import load_for_pixels
from minivit.weights.published import TABLE, pretrained_weights
from tests.weights.local_server import serving

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")
pytest.importorskip("tests.parity.vision")  # before timm, which imports torchvision

timm = pytest.importorskip("timm")

# the published name, timm's name of the network, and whether the file holds {"model": arrays}
FILES = (
    ("DeiT-Ti_16-224", "deit_tiny_patch16_224", {}, True),
    ("DeiT-S_16-224", "deit_small_patch16_224", {}, True),
    ("DINO-S_16", "vit_small_patch16_224", {"num_classes": 0}, False),
    ("DINO-S_8", "vit_small_patch8_224", {"num_classes": 0}, False),
    ("DINOv2-S_14", "vit_small_patch14_dinov2", {"num_classes": 0}, False),
)  # fmt: skip


@pytest.mark.parametrize(("name", "network", "changes", "wrapped"), FILES)
def test_a_published_pytorch_file_is_downloaded_and_loads(name, network, changes, wrapped, monkeypatch, tmp_path):
    state = timm.create_model(network, **changes).state_dict()
    if name == "DINOv2-S_14":
        state["mask_token"] = torch.zeros(1, 384)
    torch.save({"model": state} if wrapped else state, tmp_path / "file.pth")
    row = TABLE[name]
    content = (tmp_path / "file.pth").read_bytes()
    assert len(content) == pytest.approx(row.size, rel=0.01)
    digits = hashlib.sha256(content).hexdigest()[: len(row.sha256)]
    with serving(tmp_path) as address:
        monkeypatch.setitem(TABLE, name, replace(row, address=f"{address}/file.pth", sha256=digits))
        path = pretrained_weights(name, tmp_path / "data", progress=False)
    assert path.name == f"{name}.pth"
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*assumed", category=Notice)
        model, header = load_for_pixels(path)
    assert header["folded"]["mean"] == [0.485, 0.456, 0.406]  # timm's models do not say that by their arrays
    assert (header["preprocessing"]["crop_share"], header["preprocessing"]["resize"]) == (0.875, "shortest")
    assert model.config.image_shape == (row.image_size, row.image_size, 3)
    assert model.config.num_classes == row.classes
    assert model.num_parameters() == row.parameters


def test_a_pytorch_file_that_was_cut_is_refused(monkeypatch, tmp_path):
    torch.save({"a": torch.zeros(1000)}, tmp_path / "file.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "file.pth").read_bytes()[:2000])
    with serving(tmp_path) as address:
        row = replace(TABLE["DINO-S_16"], address=f"{address}/cut.pth")
        monkeypatch.setitem(TABLE, "DINO-S_16", row)
        with pytest.raises(DataError, match="is not a whole weights file and was removed; try again"):
            pretrained_weights("DINO-S_16", tmp_path / "data", progress=False)
    assert not (tmp_path / "data" / "weights" / "DINO-S_16.pth").exists()
