"""Published weights by name: addresses, the cache, and what an unknown name is told."""

import re

import numpy as np
import pytest

from minivit import CheckpointNotFoundError, load_model
from minivit.errors import CheckpointError, DataError
from minivit.models import MODEL_NAMES
from minivit.weights import published as pretrained
from minivit.weights.find import find_weights
from minivit.weights.published import PRETRAINED, pretrained_weights
from minivit.weights.sources.google import google_state
from tests.support import tiny_vit


@pytest.fixture
def publisher(monkeypatch, tmp_path):
    """Answers every download with a small model, and writes down the addresses."""
    asked = []

    def fetch(url, destination, md5, progress, check):
        asked.append((url, md5))
        destination.parent.mkdir(parents=True, exist_ok=True)
        np.savez(destination, **google_state(tiny_vit(dtype=np.float32)))
        check(destination)
        return destination

    monkeypatch.setattr(pretrained, "fetch", fetch)
    monkeypatch.setenv("MINIVIT_DATA", str(tmp_path / "cache"))
    return asked


def test_addresses_are_the_published_ones():
    assert len(PRETRAINED) == 6 + 7 + 12
    assert PRETRAINED["ViT-H_14-imagenet21k"] == "https://storage.googleapis.com/vit_models/imagenet21k/ViT-H_14.npz"
    assert PRETRAINED["ViT-L_16-224-imagenet21k+imagenet2012"].endswith("/imagenet21k+imagenet2012/ViT-L_16-224.npz")
    assert PRETRAINED["BiT-M-R50x1"] == "https://storage.googleapis.com/bit_models/BiT-M-R50x1.npz"


def test_every_name_begins_with_a_model_that_can_be_built():
    for name in PRETRAINED:
        model = re.sub(r"(-224)?-imagenet21k.*", "", name).replace("BiT-S-", "BiT-").replace("BiT-M-", "BiT-")
        assert model in MODEL_NAMES


def test_a_name_is_downloaded_into_the_cache_and_loads(publisher, tmp_path):
    path = pretrained_weights("ViT-B_16-imagenet21k")

    assert path == tmp_path / "cache" / "weights" / "ViT-B_16-imagenet21k.npz"
    assert publisher == [(PRETRAINED["ViT-B_16-imagenet21k"], None)]
    assert load_model(path).config.dim == 12


def test_the_command_line_takes_names_files_and_folders(publisher, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (tmp_path / "BiT-M-R50x1").write_bytes(b"")  # a file of that name is meant before the name

    assert find_weights("ViT-B_16-imagenet21k").name == "ViT-B_16-imagenet21k.npz"
    assert find_weights(str(run)) == run / "checkpoint.npz"
    assert find_weights(str(tmp_path / "BiT-M-R50x1")) == tmp_path / "BiT-M-R50x1"
    assert find_weights("missing.npz").name == "missing.npz"
    assert len(publisher) == 1


def test_an_unknown_name_is_told_the_nearest(publisher):
    with pytest.raises(CheckpointNotFoundError, match=r"ViT-B_16-imagenet22k.*ViT-B_16-imagenet21k"):
        find_weights("ViT-B_16-imagenet22k")
    with pytest.raises(CheckpointNotFoundError, match="there are 25, from ViT-B_16-imagenet21k to BiT-M-R152x4"):
        pretrained_weights("zzz")
    assert publisher == []


# -- what is in the cache can be opened ---------------------------------------------------------------------


def archive(tmp_path) -> bytes:
    np.savez(tmp_path / "whole.npz", **google_state(tiny_vit(dtype=np.float32)))
    return (tmp_path / "whole.npz").read_bytes()


@pytest.mark.parametrize("change", ["page", "half", "flipped"])
def test_what_was_sent_and_cannot_be_opened_is_refused(tmp_path, change):
    content = archive(tmp_path)
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    sent = {"page": b"<html>Please sign in</html>", "half": content[:middle], "flipped": flipped}[change]
    path = tmp_path / "ViT-B_16-imagenet21k.npz.part"
    path.write_bytes(sent)
    with pytest.raises(DataError, match=r"the download of .* was removed; try again"):
        pretrained._check_whole(path)
    path.write_bytes(content)
    pretrained._check_whole(path)


def test_a_page_is_called_a_page(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"<!DOCTYPE html><html>Please sign in</html>")
    with pytest.raises(DataError, match="not a whole weights file but a web page and was removed"):
        pretrained._check_whole(tmp_path / "a.npz")


def test_a_bad_file_that_is_in_the_cache_already_is_named(publisher, tmp_path):
    cached = tmp_path / "cache" / "weights" / "ViT-B_16-imagenet21k.npz"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"<html>Please sign in</html>")
    with pytest.raises(CheckpointError, match=r"ViT-B_16-imagenet21k\.npz .*web page; delete it"):
        pretrained_weights("ViT-B_16-imagenet21k")
    assert publisher == []
