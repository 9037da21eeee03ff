"""Files of ours carry a SHA-256 of every array: whatever was changed after they were written is refused by name."""

import hashlib
import json
import re
from dataclasses import asdict

import numpy as np
import pytest
from safetensors import safe_open

from minivit import CheckpointError, SaveError, cli, load_model, save_weights
from minivit.weights import read_arrays, read_header, verify_weights, write_arrays
from minivit.weights.formats.archive import write_archive
from tests.support import tiny_vit
from tests.weights.files import timm_arrays, write_safetensors

SUFFIXES = [".npz", ".safetensors"]
suffixes = pytest.mark.parametrize("suffix", SUFFIXES)


def saved(tmp_path, suffix):
    model = tiny_vit(dtype=np.float32, depth=1)
    path = tmp_path / f"model{suffix}"
    save_weights(model, path, header={"classes": list("abcde"), "dataset": "shapes"})
    return model, path


def raw_header(path):
    if path.suffix == ".npz":
        return json.loads(str(np.load(path)["minivit"]))
    with safe_open(path, framework="numpy") as file:
        return json.loads(file.metadata()["minivit"])


@suffixes
def test_the_header_has_the_sha_256_of_every_arrays_bytes(tmp_path, suffix):
    model, path = saved(tmp_path, suffix)

    found = raw_header(path)["sha256"]

    assert found == {
        f"model/{name}": hashlib.sha256(array.tobytes()).hexdigest() for name, array in model.state().items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [pytest.param(".npz", marks=pytest.mark.slow), ".safetensors"])
def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(tmp_path, suffix):
    """In numbers, names, types, shapes, offsets, the header: each place is tried that differs from its neighbours."""
    model, path = saved(tmp_path, suffix)
    whole, header = path.read_bytes(), read_header(path)
    rng = np.random.default_rng(1)
    refusals = 0

    for place in [*range(0, 3000, 7), *rng.integers(0, len(whole), 400).tolist()]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            loaded = load_model(path)
        except CheckpointError as error:
            assert path.name in str(error) and len(str(error)) < 600
            refusals += 1
        else:
            assert loaded.config == model.config and loaded.header == {k: header[k] for k in ("classes", "dataset")}
            assert all(np.array_equal(loaded.state()[name], array) for name, array in model.state().items())

    assert refusals > (700 if suffix == ".safetensors" else 400)


@suffixes
def test_a_changed_number_is_refused_by_its_arrays_name(tmp_path, suffix):
    model, path = saved(tmp_path, suffix)
    whole = path.read_bytes()
    place = whole.find(model.blocks[0].mlp.fc1.weight.data.tobytes())
    path.write_bytes(whole[: place + 9] + bytes([whole[place + 9] ^ 1]) + whole[place + 10 :])

    for read in (load_model, read_arrays, verify_weights):
        with pytest.raises(
            CheckpointError, match=r"'model/blocks\.0\.mlp\.fc1\.weight' was changed|CRC-32 .*mlp\.fc1\.weight\.npy"
        ):
            read(path)


@suffixes
@pytest.mark.parametrize("change", ["config", "classes", "sha256", "checksum", "version", "more"])
def test_a_header_that_was_edited_is_refused(tmp_path, suffix, change):
    model, path = saved(tmp_path, suffix)
    header = raw_header(path)
    if change == "config":
        header["config"]["norm_eps"] = 1e-5
    elif change == "classes":
        header["classes"] = list("edcba")
    elif change == "more":
        header["more"] = 1
    else:
        del header[change]
    arrays = {f"model/{name}": array for name, array in model.state().items()}

    write_archive(path, arrays, {"minivit": json.dumps(header)})

    with pytest.raises(CheckpointError, match="header was changed"):
        load_model(path)


@suffixes
def test_an_array_that_was_added_or_taken_away_is_missed(tmp_path, suffix):
    model, path = saved(tmp_path, suffix)
    header = raw_header(path)
    arrays = {f"model/{name}": array for name, array in model.state().items()}

    for changed in (arrays | {"model/more": np.ones(3, np.float32)}, {k: arrays[k] for k in list(arrays)[1:]}):
        write_archive(path, changed, {"minivit": json.dumps(header)})
        with pytest.raises(CheckpointError, match="header was changed"):
            load_model(path)


@suffixes
def test_a_file_from_before_there_were_hashes_still_loads(tmp_path, suffix):
    model = tiny_vit(dtype=np.float32, depth=1)
    arrays = {f"model/{name}": array for name, array in model.state().items()}
    header = {"format": "minivit", "config": asdict(model.config), "classes": list("abcde")}
    write_archive(tmp_path / f"old{suffix}", arrays, {"minivit": json.dumps(header)})

    loaded = load_model(tmp_path / f"old{suffix}")

    assert loaded.header["classes"] == list("abcde")
    assert all(np.array_equal(loaded.state()[name], array) for name, array in model.state().items())


def test_a_file_of_a_newer_minivit_is_said_to_be_one(tmp_path):
    model = tiny_vit(dtype=np.float32, depth=1)
    header = {"format": "minivit", "version": 3, "config": asdict(model.config), "sha256": {}, "checksum": ""}
    write_archive(tmp_path / "new.npz", {}, {"minivit": json.dumps(header)})

    with pytest.raises(CheckpointError, match=r"newer minivit \(version 3\)"):
        load_model(tmp_path / "new.npz")


@suffixes
def test_what_was_read_can_be_written_again(tmp_path, suffix):
    _, path = saved(tmp_path, suffix)
    header, arrays = read_arrays(path)
    assert not {"sha256", "checksum", "version"} & header.keys()

    arrays["model/head.bias"] = arrays["model/head.bias"] + 1
    write_arrays(path, header, arrays)

    assert np.array_equal(load_model(path).head.bias.data, arrays["model/head.bias"])


@suffixes
@pytest.mark.parametrize("make", [np.asfortranarray, lambda a: a.astype(">f4"), lambda a: a[::-1]], ids="FBR")
def test_arrays_in_any_order_of_memory_have_their_hash(tmp_path, suffix, make):
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    write_arrays(tmp_path / f"a{suffix}", {}, {"a": make(array), "empty": np.zeros((0, 3)), "one": np.array(2.0)})

    _, found = read_arrays(tmp_path / f"a{suffix}")

    np.testing.assert_array_equal(found["a"], make(array))
    assert found["empty"].shape == (0, 3) and found["one"].shape == ()


@pytest.mark.parametrize("name", ["allow_pickle", "file", "arr_0", "compress"])
def test_an_array_may_have_the_name_of_an_argument_of_numpys(tmp_path, name):
    write_archive(tmp_path / "a.npz", {name: np.arange(3.0)})

    with np.load(tmp_path / "a.npz", allow_pickle=False) as found:
        assert found.files == [name]
        np.testing.assert_array_equal(found[name], np.arange(3.0))


def test_googles_layout_holds_the_published_names_alone(tmp_path):
    from minivit.weights.sources.google import google_state

    model = tiny_vit(dtype=np.float32)
    save_weights(model, tmp_path / "google.npz", layout="google")

    with np.load(tmp_path / "google.npz") as found:
        assert set(found.files) == set(google_state(model))


@suffixes
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_neither_written_nor_loaded(tmp_path, suffix, value):
    model, path = saved(tmp_path, suffix)
    before = path.read_bytes()
    model.blocks[0].mlp.fc1.weight.data[1, 2] = value

    with pytest.raises(SaveError, match=r"'model/blocks\.0\.mlp\.fc1\.weight' holds 1 numbers"):
        save_weights(model, path)
    assert path.read_bytes() == before

    arrays = {f"model/{name}": array for name, array in model.state().items()}
    write_archive(path, arrays, {"minivit": json.dumps({"format": "minivit", "config": asdict(model.config)})})
    for read in (load_model, read_arrays, verify_weights):
        with pytest.raises(CheckpointError, match=r"'model/blocks\.0\.mlp\.fc1\.weight' holds 1 numbers"):
            read(path)


def test_codes_of_a_quantised_model_are_refused_in_our_own_files_too(tmp_path):
    model = tiny_vit(dtype=np.float32, depth=1)
    arrays = {f"model/{name}": array for name, array in model.state().items()}
    arrays["model/head.weight"] = np.ones(arrays["model/head.weight"].shape, np.int8)
    write_arrays(tmp_path / "codes.npz", {"config": asdict(model.config)}, arrays)

    with pytest.raises(CheckpointError, match=r"head\.weight holds int8"):
        load_model(tmp_path / "codes.npz")


# -- what is kept beside the weights -------------------------------------------------------------


@suffixes
def test_saving_what_was_loaded_keeps_the_classes_and_all_else(tmp_path, suffix):
    _, path = saved(tmp_path, suffix)

    save_weights(load_model(path), tmp_path / f"again{suffix}")

    assert read_header(tmp_path / f"again{suffix}") == read_header(path)


def test_another_head_forgets_the_classes(tmp_path):
    _, path = saved(tmp_path, ".npz")

    model = load_model(path, num_classes=7)

    assert "classes" not in model.header and model.header["dataset"] == "shapes"
    assert load_model(path, image_size=16).header["classes"] == list("abcde")


def test_a_folder_stands_for_the_weights_in_it(tmp_path):
    model, _ = saved(tmp_path, ".npz")
    for name in ("checkpoint.npz", "model.safetensors", "anything.safetensors"):
        folder = tmp_path / name.replace(".", "-")
        folder.mkdir()
        save_weights(model, folder / name)
        assert np.array_equal(load_model(folder).head.weight.data, model.head.weight.data)

    save_weights(model, folder / "other.npz")
    with pytest.raises(FileNotFoundError, match=r"several weights files.*anything\.safetensors, other\.npz"):
        load_model(folder)


# -- minivit verify ------------------------------------------------------------------------------


def test_verify_says_what_a_file_is_and_what_was_checked(tmp_path, capsys):
    model, path = saved(tmp_path, ".npz")
    theirs = write_safetensors(tmp_path / "timm.safetensors", timm_arrays())
    np.savez(tmp_path / "timm.npz", **timm_arrays())

    assert cli.main(["verify", str(path), str(theirs), str(tmp_path / "timm.npz")]) == 0

    ours, safe, zipped = capsys.readouterr().out.splitlines()
    count = len(model.state())
    assert re.search(rf"minivit \(\.npz\), {count} arrays, {model.num_parameters():,} numbers.*SHA-256.*{count}", ours)
    assert re.search(r"timm \(\.safetensors\).*no checksums", safe)
    assert re.search(r"timm \(\.npz\).*CRC-32", zipped)


def test_verify_prints_json(tmp_path, capsys):
    _, path = saved(tmp_path, ".safetensors")

    assert cli.main(["verify", "--json", str(path)]) == 0

    found = json.loads(capsys.readouterr().out)
    assert (found["layout"], found["format"]) == ("minivit", ".safetensors")
    assert any("SHA-256" in phrase for phrase in found["checked"])


def test_verify_names_damage_and_exits_with_2(tmp_path, capsys):
    model, path = saved(tmp_path, ".npz")
    content = path.read_bytes().replace(model.cls.data.tobytes(), bytes(model.cls.data.nbytes))
    path.write_bytes(content)

    assert cli.main(["verify", str(path)]) == 2
    assert "'model/cls" in capsys.readouterr().err

    np.savez(tmp_path / "theirs.npz", **timm_arrays())
    content = bytearray((tmp_path / "theirs.npz").read_bytes())
    place = bytes(content).find(timm_arrays()["head.weight"].tobytes())
    content[place + 2] ^= 4
    (tmp_path / "theirs.npz").write_bytes(content)

    assert cli.main(["verify", str(tmp_path / "theirs.npz")]) == 2
    assert re.search(r"(CRC-32|checksum) .*'head\.weight\.npy'", capsys.readouterr().err)


def test_verify_goes_on_after_a_file_that_is_damaged_or_missing(tmp_path, capsys):
    _, path = saved(tmp_path, ".npz")
    (tmp_path / "cat.jpg").write_bytes(b"\xff\xd8\xff\xe0 an image")
    files = [str(tmp_path / "cat.jpg"), str(path), str(tmp_path / "nowhere.npz"), str(path)]

    assert cli.main(["verify", *files]) == 2
    said = capsys.readouterr()
    assert [line.partition(":")[0] for line in said.out.splitlines()] == [str(path)] * 2
    assert [name in line for name, line in zip(("cat.jpg", "nowhere.npz"), said.err.splitlines(), strict=True)] == [
        True,
        True,
    ]

    assert cli.main(["verify", "--json", *files]) == 2
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["file"] for line in lines] == files
    assert ["error" in line for line in lines] == [True, False, True, False]


def test_a_large_array_is_compared_with_its_hash_alone(tmp_path):
    """Its zip member's own checksum could be right: whoever changes a number may write a whole new archive."""
    arrays = {"a": np.zeros((300, 300), np.float32)}
    write_arrays(tmp_path / "a.npz", {}, arrays)
    text = str(np.load(tmp_path / "a.npz")["minivit"])
    arrays["a"][299, 299] = 1.0
    write_archive(tmp_path / "a.npz", arrays, {"minivit": text})

    with pytest.raises(CheckpointError, match="'a' was changed after it was written"):
        read_arrays(tmp_path / "a.npz")
