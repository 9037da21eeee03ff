"""Published weights by name: addresses, the cache, and what an unknown name is told."""

import hashlib
import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minivit import CheckpointNotFoundError, Notice, cli, load_model, save_weights
from minivit.errors import CheckpointError, DataError
from minivit.models import MODEL_NAMES, create_model, model_config
from minivit.weights import published as pretrained
from minivit.weights.find import find_weights
from minivit.weights.published import PRETRAINED, TABLE, pretrained_weights
from minivit.weights.sources.google import google_state
from tests.support import tiny_vit

from .local_server import serving


@pytest.fixture
def publisher(monkeypatch, tmp_path):
    """Answers every download with a small model, and writes down the addresses."""
    asked = []

    def fetch(url, destination, md5, progress, check):
        asked.append((url, md5))
        destination.parent.mkdir(parents=True, exist_ok=True)
        with destination.open("wb") as file:
            np.savez(file, **google_state(tiny_vit(dtype=np.float32)))
        check(destination)
        return destination

    monkeypatch.setattr(pretrained, "fetch", fetch)
    monkeypatch.setenv("MINIVIT_DATA", str(tmp_path / "cache"))
    return asked


def test_addresses_are_the_published_ones():
    assert len(PRETRAINED) == 6 + 7 + 12 + 8 + 6
    assert PRETRAINED["ViT-H_14-imagenet21k"] == "https://storage.googleapis.com/vit_models/imagenet21k/ViT-H_14.npz"
    assert PRETRAINED["ViT-L_16-224-imagenet21k+imagenet2012"].endswith("/imagenet21k+imagenet2012/ViT-L_16-224.npz")
    assert PRETRAINED["BiT-M-R50x1"] == "https://storage.googleapis.com/bit_models/BiT-M-R50x1.npz"
    assert PRETRAINED["ViT-Ti_16-224-augreg"] == (
        "https://storage.googleapis.com/vit_models/augreg/"
        "Ti_16-i21k-300ep-lr_0.001-aug_none-wd_0.03-do_0.0-sd_0.0--imagenet2012-steps_20k-lr_0.03-res_224.npz"
    )
    assert PRETRAINED["DINO-S_8"].endswith("/dino/dino_deitsmall8_pretrain/dino_deitsmall8_pretrain.pth")


# -- the table -----------------------------------------------------------------------------------


def test_names_addresses_and_files_differ_and_the_smallest_file_comes_first():
    rows = list(TABLE.values())
    assert len({row.address for row in rows}) == len({row.file for row in rows}) == len(rows)
    assert [row.size for row in rows] == sorted(row.size for row in rows)
    assert rows[0].name == "ViT-Ti_16-224-augreg"
    assert {row.file.rpartition(".")[2] for row in rows} == {"npz", "pth"}


@pytest.mark.parametrize("name", [name for name, row in TABLE.items() if row.size < 500e6])
def test_a_row_has_the_parameters_of_its_model(name):
    row = TABLE[name]
    assert row.model in MODEL_NAMES
    if name in ("DINOv2-S_14", "SigLIP-B_16-224"):  # these have parts that the named model lacks
        return
    changes = {"num_classes": row.classes, "image_size": row.image_size}
    if row.source == "Google (ViT)" and row.classes == 21843:  # the head with a hidden layer
        changes["representation"] = model_config(row.model).dim
    assert create_model(row.model, seed=None, **changes).num_parameters() == row.parameters


def test_sizes_are_those_that_the_publishers_state():
    stated = {  # MiB, the README of google-research/vision_transformer
        "ViT-Ti_16-augreg-imagenet21k": 37, "ViT-S_16-augreg-imagenet21k": 115, "ViT-S_32-augreg-imagenet21k": 118,
        "R+ViT-Ti_16-augreg-imagenet21k": 40,
    }  # fmt: skip
    for name, size in stated.items():
        assert round(TABLE[name].size / 2**20) == size


def test_the_documentation_has_a_row_for_each_small_file():
    text = (Path(__file__).parents[2] / "docs" / "weights.md").read_text(encoding="utf-8")
    section = text.partition("## Published names")[2].partition("\n## ")[0]
    found = [line for line in section.splitlines() if line.startswith("| ") and not line.startswith("| name")]
    assert found == [
        f"| {row.name} | {row.parameters / 1e6:.1f} M | {row.size / 1e6:.0f} MB | {row.image_size} px | "
        f"{f'{row.classes:,}' if row.classes else 'none'} | {row.trained_on} | {row.source} |"
        for row in TABLE.values()
        if row.size < 150e6
    ]
    assert {row.licence for row in TABLE.values()} == {"Apache-2.0"}  # as the text below the table says


# -- downloads -----------------------------------------------------------------------------------


def test_a_name_is_downloaded_into_the_cache_and_loads(publisher, tmp_path):
    path = pretrained_weights("ViT-B_16-imagenet21k")

    assert path == tmp_path / "cache" / "weights" / "ViT-B_16-imagenet21k.npz"
    assert publisher == [(PRETRAINED["ViT-B_16-imagenet21k"], None)]
    with pytest.raises(
        CheckpointError, match="do not fit 224 x 224 pixels, the size in the list of published weights:"
    ):
        load_model(path)  # the small model is not what the name says
    assert load_model(path.rename(tmp_path / "small.npz")).config.dim == 12


@pytest.mark.slow
def test_a_file_of_the_published_size_comes_from_a_server_and_loads(monkeypatch, tmp_path):
    row, published = TABLE["ViT-Ti_16-224-augreg"], tmp_path / "published"
    published.mkdir()
    model = create_model(row.model, seed=1)
    save_weights(model, published / "Ti_16.npz", layout="google")
    assert (published / "Ti_16.npz").stat().st_size == pytest.approx(row.size, rel=0.01)
    with serving(published) as address:
        monkeypatch.setitem(TABLE, row.name, replace(row, address=f"{address}/Ti_16.npz"))
        path = pretrained_weights(row.name, tmp_path / "data", progress=False)

    assert path == tmp_path / "data" / "weights" / "ViT-Ti_16-224-augreg.npz"
    assert pretrained_weights(row.name, tmp_path / "data", progress=False) == path  # without the server
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)  # nothing is assumed
        loaded = load_model(path)
    assert (loaded.config.image_size, loaded.config.num_classes) == (row.image_size, row.classes)
    assert loaded.num_parameters() == row.parameters
    assert np.array_equal(loaded.head.weight.data, model.head.weight.data)


def test_the_command_line_takes_names_files_and_folders(publisher, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "checkpoint.npz").write_bytes(b"")
    (tmp_path / "BiT-M-R50x1").write_bytes(b"")  # a file of that name is meant before the name

    assert find_weights("ViT-B_16-imagenet21k").name == "ViT-B_16-imagenet21k.npz"
    assert find_weights(str(run)) == run / "checkpoint.npz"
    assert find_weights(str(tmp_path / "BiT-M-R50x1")) == tmp_path / "BiT-M-R50x1"
    assert find_weights("missing.npz").name == "missing.npz"
    assert len(publisher) == 1


def test_an_unknown_name_is_told_the_nearest(publisher):
    with pytest.raises(CheckpointNotFoundError, match=r"ViT-B_16-imagenet22k.*ViT-B_16-imagenet21k"):
        find_weights("ViT-B_16-imagenet22k")
    with pytest.raises(CheckpointNotFoundError, match="`minivit models` lists the 39 there are"):
        pretrained_weights("zzz")
    assert publisher == []


# -- what is in the cache can be opened ---------------------------------------------------------------------


def archive(tmp_path) -> bytes:
    np.savez(tmp_path / "whole.npz", **google_state(tiny_vit(dtype=np.float32)))
    return (tmp_path / "whole.npz").read_bytes()


@pytest.mark.parametrize("change", ["page", "half", "flipped"])
def test_what_was_sent_and_cannot_be_opened_is_refused(tmp_path, change):
    np.savez(tmp_path / "large.npz", a=np.arange(100_000, dtype=np.float32))
    content = (tmp_path / "large.npz").read_bytes()
    middle = len(content) // 2  # among the numbers: only the checksum tells
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


def test_a_file_of_another_sha256_than_the_publisher_states_is_refused(tmp_path):
    content = archive(tmp_path)
    digits = hashlib.sha256(content).hexdigest()[:8]
    pretrained._check_whole(tmp_path / "whole.npz", digits)
    with pytest.raises(DataError, match=f"its SHA-256 begins with {digits}, not 00000000; it was removed"):
        pretrained._check_whole(tmp_path / "whole.npz", "00000000")


def test_the_sha256_that_the_publisher_states_is_compared_after_a_download(publisher, tmp_path):
    assert TABLE["DeiT-Ti_16-224"].sha256 == "a1311bcf"
    with pytest.raises(DataError, match=r"DeiT-Ti_16-224.* not a1311bcf"):
        pretrained_weights("DeiT-Ti_16-224")  # the publisher of these tests sends another file
    assert publisher[0][0].endswith("/deit/deit_tiny_patch16_224-a1311bcf.pth")


# -- the command that lists them -----------------------------------------------------------------


def test_models_lists_weights_and_models_by_name(capsys):
    assert cli.main(["models"]) == 0
    said = capsys.readouterr().out
    assert set(PRETRAINED) | set(MODEL_NAMES) <= set(said.split())
    line = next(line for line in said.splitlines() if line.startswith("ViT-Ti_16-224-augreg"))
    for word in ("5.7 M", "23 MB", "224 px", "1,000", "ImageNet-21k, then ImageNet", "Google (AugReg)", "Apache-2.0"):
        assert word in line


def test_models_are_filtered_by_any_column(capsys):
    assert cli.main(["models", "--filter", "dino"]) == 0
    said = capsys.readouterr().out
    assert {"DINO-S_16", "DINO-S_8", "DINOv2-S_14"} == set(said.split()) & set(PRETRAINED)
    assert "--model" not in said
    assert cli.main(["models", "--filter", "s_14"]) == 0
    assert {"DINOv2-S_14", "ViT-S_14"} <= set(capsys.readouterr().out.split())
    assert cli.main(["models", "--filter", "nothing"]) == 2
    assert "no name of weights or of a model has 'nothing' in it" in capsys.readouterr().err


def test_models_in_json_has_every_fact(capsys):
    assert cli.main(["models", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    weights = {row["name"]: row for row in found if row["kind"] == "weights"}
    assert {name: row["address"] for name, row in weights.items()} == PRETRAINED
    assert weights["DINOv2-S_14"]["image_size"] == 518
    assert [row["name"] for row in found if row["kind"] == "model"] == list(MODEL_NAMES)
