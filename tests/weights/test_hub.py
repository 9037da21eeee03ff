"""Weights of the Hugging Face Hub by name, with a stand-in for `huggingface_hub`."""

import json
import sys
import types

import numpy as np
import pytest
from safetensors.numpy import save_file

from minivit import CheckpointNotFoundError, cli, load_model
from minivit.errors import DownloadError, MissingExtraError
from minivit.weights import hub
from minivit.weights.find import find_weights

from .files import timm_arrays


class Stand:
    """The part of `huggingface_hub` that is used: repositories, and what was asked for."""

    def __init__(self, cache):
        self.cache, self.repositories, self.asked = cache, {}, []
        self.problem = None

    def snapshot_download(self, repo_id, *, revision=None, allow_patterns=None):
        """Copy the files of a repository that match the patterns into the cache."""
        self.asked.append((repo_id, revision, allow_patterns))
        if self.problem is not None:
            raise self.problem
        folder = self.cache / repo_id.replace("/", "--")
        folder.mkdir(parents=True, exist_ok=True)
        for name, write in self.repositories[repo_id].items():
            if any(hub.Path(name).match(pattern) for pattern in allow_patterns):
                write(folder / name)
        return str(folder)


@pytest.fixture
def stand(monkeypatch, tmp_path):
    found = Stand(tmp_path / "cache")
    library, errors = types.ModuleType("huggingface_hub"), types.ModuleType("huggingface_hub.errors")

    class HfHubHTTPError(OSError): ...

    class RepositoryNotFoundError(HfHubHTTPError): ...

    class GatedRepoError(RepositoryNotFoundError): ...

    class RevisionNotFoundError(HfHubHTTPError): ...

    class LocalEntryNotFoundError(FileNotFoundError): ...

    class HFValidationError(ValueError): ...

    for error in (
        HfHubHTTPError, RepositoryNotFoundError, GatedRepoError, RevisionNotFoundError, LocalEntryNotFoundError,
        HFValidationError,
    ):  # fmt: skip
        setattr(errors, error.__name__, error)
    library.snapshot_download, library.errors = found.snapshot_download, errors
    monkeypatch.setitem(sys.modules, "huggingface_hub", library)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", errors)
    found.errors = errors
    return found


def config(path):
    path.write_text('{"architecture": "vit_tiny_patch16_224", "num_features": 8}')


def weights(path):
    save_file(timm_arrays(), path)


def test_a_model_of_the_hub_is_downloaded_and_loads(stand):
    stand.repositories["timm/tiny"] = {"model.safetensors": weights, "README.md": config, "pytorch_model.bin": config}
    path = find_weights("hf-hub:timm/tiny@v1.0")
    assert path == stand.cache / "timm--tiny" / "model.safetensors"
    assert [(name, revision) for name, revision, _ in stand.asked] == [("timm/tiny", "v1.0")]
    assert [each.name for each in path.parent.iterdir()] == ["model.safetensors"]  # nothing that is not needed
    assert load_model("hf-hub:timm/tiny", heads=2).config.dim == 8
    assert np.isfinite(load_model("hf-hub:timm/tiny", heads=2).head.weight.data).all()


def test_the_files_beside_the_weights_come_too(stand):
    def said(path):
        path.write_text(f'{{"architecture": "vit", "num_features": 8, "pretrained_cfg": {{}}, "file": "{path.name}"}}')

    stand.repositories["a/b"] = {
        "model.safetensors": weights, "config.json": said, "preprocessor_config.json": said, "optimizer.pt": said,
    }  # fmt: skip
    folder = hub.hub_folder("hf-hub:a/b")
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "config.json", "preprocessor_config.json"}


def test_the_pickled_file_is_downloaded_only_if_there_is_no_other(stand):
    stand.repositories["a/old"] = {"config.json": config, "pytorch_model.bin": config}
    folder = hub.hub_folder("hf-hub:a/old")
    assert {path.name for path in folder.iterdir()} == {"config.json", "pytorch_model.bin"}
    assert "pytorch_model.bin" not in stand.asked[0][2]
    assert "pytorch_model.bin" in stand.asked[1][2]


def test_a_model_of_open_clip_alone_comes_with_its_config(stand):
    stand.repositories["timm/clip"] = {
        "open_clip_model.safetensors": weights, "open_clip_config.json": config, "open_clip_pytorch_model.bin": config,
    }  # fmt: skip
    path = find_weights("hf-hub:timm/clip")
    assert path.name == "open_clip_model.safetensors"
    assert {each.name for each in path.parent.iterdir()} == {"open_clip_model.safetensors", "open_clip_config.json"}


def test_shards_are_downloaded(stand):
    names = ("model.safetensors.index.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    stand.repositories["a/large"] = dict.fromkeys(names, config)
    assert {path.name for path in hub.hub_folder("hf-hub:a/large").iterdir()} == set(names)


def test_shards_load(stand):
    arrays = timm_arrays()
    shards = {
        "model-00001-of-00002.safetensors": sorted(arrays)[:5],
        "model-00002-of-00002.safetensors": sorted(arrays)[5:],
    }

    def write(path):
        save_file({name: arrays[name] for name in shards[path.name]}, path)

    def index(path):
        path.write_text(json.dumps({"weight_map": {name: file for file, names in shards.items() for name in names}}))

    stand.repositories["a/large"] = {"model.safetensors.index.json": index, **dict.fromkeys(shards, write)}
    whole = load_model("hf-hub:a/large", heads=2)
    assert np.array_equal(whole.head.weight.data, arrays["head.weight"].T)


@pytest.mark.parametrize(
    ("problem", "error", "words"),
    [
        ("GatedRepoError", DownloadError, "asks for consent first: accept its conditions on https://huggingface.co/a/b"),
        ("RepositoryNotFoundError", CheckpointNotFoundError, "has no model a/b, or it is private"),
        ("RevisionNotFoundError", CheckpointNotFoundError, "has no revision 'v9'"),
        ("LocalEntryNotFoundError", DownloadError, "is not in the cache of huggingface_hub, and the Hub cannot"),
        ("HfHubHTTPError", DownloadError, "could not be downloaded: 503"),
        ("ValueError", DownloadError, "could not be downloaded: 503"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_one_sentence(stand, problem, error, words):
    stand.problem = getattr(stand.errors, problem, ValueError)("503")
    with pytest.raises(error) as raised:
        find_weights("hf-hub:a/b@v9")
    assert words in str(raised.value)
    assert len(str(raised.value)) < 200


def test_a_model_without_weights_of_pytorch_is_named(stand):
    stand.repositories["a/flax"] = {"config.json": config, "flax_model.msgpack": config}
    with pytest.raises(CheckpointNotFoundError, match=r"hf-hub:a/flax has neither model\.safetensors nor"):
        find_weights("hf-hub:a/flax")


@pytest.mark.parametrize(
    "name", ["hf-hub:", "hf-hub:bert", "hf-hub:a/b/c", "hf-hub:a/../b", "hf-hub:a/b@", "hf-hub:a b/c"]
)
def test_a_name_that_is_none_asks_nobody(stand, name):
    with pytest.raises(CheckpointNotFoundError, match="is not a name of the Hugging Face Hub: write hf-hub:OWNER/NAME"):
        find_weights(name)
    assert stand.asked == []


def test_without_the_library_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"hf-hub:a/b needs huggingface_hub: pip install 'minivit\[hub\]'"):
        find_weights("hf-hub:a/b")
    assert cli.main(["verify", "hf-hub:a/b"]) == 2
    assert "minivit[hub]" in capsys.readouterr().err
