"""Which images `evaluate` and `fewshot` measure a model on, where they look for them, and what they write."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minivit import cli, save_weights
from minivit.cli.common import check_can_write
from minivit.errors import SaveError
from minivit.evaluation import measured as evaluation_measured
from minivit.training import batches

from .data.images_on_disk import write_folder, write_picture
from .support import tiny_vit
from .test_cli import refused, small_shapes
from .test_cli_data import count_of, photos, trained

pytestmark = pytest.mark.usefixtures("undrawn")
__all__ = ["photos"]  # a fixture


# -- the images of a run ------------------------------------------------------------------------------------


def names_in(dataset):
    return {path.relative_to(dataset.root).as_posix() for path in dataset.images.paths}


@pytest.fixture
def few_shots(monkeypatch):
    """The training and test images of each call of `few_shot`, which measures nothing."""
    sets = []
    monkeypatch.setattr(cli.fewshot, "few_shot", lambda model, *data, **_: sets.append(data) or [])
    return sets


def test_few_shots_are_tested_on_the_images_that_the_run_held_out(tmp_path, monkeypatch, few_shots):
    photos = write_folder(tmp_path / "photos", {"cat": 20, "dog": 20})
    run, parts = tmp_path / "run", tmp_path / "run" / "pictures.json"
    assert trained(run, "--dataset", photos, "--split", "0.1", "--validation", "4") == 0
    manifest = json.loads(parts.read_text(encoding="utf-8"))
    held_out, known = ({name for name, _ in manifest[part]} for part in ("test", "train"))
    for number in range(30, 40):
        write_picture(photos / "cat" / f"{number}.png", number)
    monkeypatch.chdir(tmp_path)
    for name in (None, str(photos), f"folder:{photos}", "folder:./photos"):
        given = ["--dataset", name] if name else []
        assert cli.main(["fewshot", "--weights", str(run), "--shots", "1", "--seeds", "1", *given]) == 0
        drawn_from, tested = few_shots.pop()
        assert names_in(tested) == held_out and len(held_out) == 4
        assert 30 < len(names_in(drawn_from)) == len(drawn_from) <= 36 and names_in(drawn_from) <= known


def test_few_shots_of_another_folder_are_tested_on_a_fifth_of_it(photos, tmp_path, few_shots):
    other = write_folder(tmp_path / "other", {"emu": 10, "gnu": 10})
    assert trained(tmp_path / "run", "--dataset", photos, "--split", "0.5") == 0
    options = ["--weights", str(tmp_path / "run"), "--dataset", str(other), "--shots", "1", "--seeds", "1"]
    assert cli.main(["fewshot", *options]) == 0
    ((drawn_from, tested),) = few_shots
    assert (len(drawn_from), len(tested)) == (16, 4)


@pytest.mark.parametrize("command", ["evaluate", "fewshot"])
@pytest.mark.parametrize(("given", "of_the_run"), [([], True), (["--dataset", "cifar10"], False)])
def test_only_the_data_set_of_the_run_is_looked_for_where_the_run_found_it(
    tmp_path, monkeypatch, few_shots, command, given, of_the_run
):
    """Another data set would be downloaded into the run's folder, whatever MINIVIT_DATA says."""
    asked = []
    header = {"dataset": "shapes", "train": {"data_dir": str(tmp_path)}}
    save_weights(tiny_vit(dtype=np.float32, num_classes=10), tmp_path / "run" / "checkpoint.npz", header=header)
    for module in (batches, evaluation_measured):
        monkeypatch.setattr(
            module, "load_dataset", lambda _, data_dir=None, **__: asked.append(data_dir) or small_shapes("shapes")
        )
    cli.main([command, "--weights", str(tmp_path / "run"), *given])
    assert [str(folder) for folder in asked] == [str(tmp_path) if of_the_run else "None"]


def test_a_folder_beside_the_data_of_the_run_is_not_taken_for_another_one(photos, tmp_path, monkeypatch, capsys):
    """`folder:photos` names the run's own images in the run's folder of data sets, `folder:others` does not."""
    others = write_folder(tmp_path / "home" / "others", {"cat": 3, "dog": 4})
    write_folder(tmp_path / "others", {"cat": 1, "dog": 1})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("MINIVIT_DATA", str(others.parent))
    assert trained(tmp_path / "run", "--data-dir", tmp_path, "--dataset", "folder:photos") == 0
    run = ("--weights", tmp_path / "run")
    assert count_of(capsys, *run, "--dataset", "folder:photos") == count_of(capsys, *run) == 2
    assert count_of(capsys, *run, "--dataset", "folder:others") == 7


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_home_that_is_not_known_is_a_folder_that_does_not_exist(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    weights = weights_with_classes(tmp_path / "w.npz", "cat", "dog")
    options = ["--weights", weights] if command == "evaluate" else ["--out", tmp_path / "run"]
    message = refused(capsys, command, "--dataset", "folder:~no such user/x", *options)
    assert "there is no folder" in message and "no such user" in message


@pytest.mark.parametrize("place", ["here", "in the folder of data sets"])
def test_a_folder_whose_name_begins_with_a_tilde_is_that_folder(tmp_path, monkeypatch, capsys, place):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINIVIT_DATA", raising=False)  # which names another folder of data sets
    write_folder(tmp_path / ("data" if place != "here" else ".") / "~old" / "photos", {"cat": 6, "dog": 6})
    assert trained("run", "--dataset", "folder:~old/photos") == 0
    monkeypatch.chdir("run")
    assert count_of(capsys, "--weights", ".") == 2


def test_a_home_that_is_known_is_where_its_folders_are(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert trained(tmp_path / "run", "--dataset", "folder:~/photos") == 0
    assert count_of(capsys, "--weights", tmp_path / "run") == 2


# -- two classes with one name --------------------------------------------------------------------------------


def weights_with_classes(path, *classes):
    model = tiny_vit(dtype=np.float32, num_classes=len(classes))
    save_weights(model, path, header={"classes": list(classes)})
    return path


@pytest.mark.parametrize("name", ["crane", "Crane"])
def test_a_class_whose_name_two_classes_of_the_model_have_is_refused(tmp_path, capsys, name):
    """ImageNet has two: number 134 is the bird and 517 the machine."""
    weights = weights_with_classes(tmp_path / "w.npz", "hen", "crane", "owl", "crane")
    birds = write_folder(tmp_path / "birds", {"hen": 2, name: 2})
    message = refused(capsys, "evaluate", "--weights", weights, "--dataset", birds)
    assert f"class '{name}' of birds is ambiguous: the model's classes 1 and 3 have that name; leave it out" in message
    assert len(message) < 200


def test_the_longest_names_leave_that_one_sentence(tmp_path, capsys):
    weights = weights_with_classes(tmp_path / "w.npz", *[f"{k:0100}" for k in range(517)], "x" * 90, "hen", "x" * 90)
    birds = write_folder(tmp_path / ("birds" * 30), {"hen": 1, "x" * 90: 1})
    message = refused(capsys, "evaluate", "--weights", weights, "--dataset", birds)
    assert "the model's classes 517 and 519 have that name; leave it out, or rename one in" in message
    assert len(message.removeprefix("minivit: error: ")) < 200


def test_classes_with_one_name_do_not_matter_where_the_data_set_has_none_of_them(tmp_path, capsys):
    weights = weights_with_classes(tmp_path / "w.npz", "hen", "crane", "owl", "crane")
    birds = write_folder(tmp_path / "birds", {"hen": 2, "owl": 3})
    assert count_of(capsys, "--weights", weights, "--dataset", birds) == 5


# -- what is written ------------------------------------------------------------------------------------------


FEW = ["--shots", "1", "--seeds", "1"]


def measuring(command, tmp_path, photos, out):
    """The words of a command that measures weights on photos."""
    weights = weights_with_classes(tmp_path / "w.npz", "cat", "dog")
    words = [command, "--weights", weights, "--dataset", photos, "--out", out, *(FEW if command == "fewshot" else [])]
    return list(map(str, words))


def test_few_shot_results_of_other_weights_of_a_run_do_not_replace_each_other(photos, tmp_path):
    run = tmp_path / "run"
    assert trained(run, "--dataset", photos) == 0
    (run / "all.best.npz").write_bytes((run / "checkpoint.npz").read_bytes())
    before = set(run.iterdir())
    for weights in (run, run / "best.npz", run / "all.best.npz"):
        assert cli.main(["fewshot", "--weights", str(weights), *FEW]) == 0
    names = {"fewshot-photos.json", "fewshot-best-photos.json", "fewshot-all.best-photos.json"}
    assert {path.name for path in set(run.iterdir()) - before} == names


@pytest.mark.parametrize("json_too", [[], ["--json"]])
@pytest.mark.parametrize("command", ["evaluate", "fewshot"])
def test_results_are_printed_even_if_they_cannot_be_written(photos, tmp_path, monkeypatch, capsys, command, json_too):
    def fail(*_, **__):
        raise SaveError("the disk is full")

    monkeypatch.setattr(cli.fewshot, "write_json", fail)
    monkeypatch.setattr("minivit.evaluation.folder.write_report", fail)
    assert cli.main([*measuring(command, tmp_path, photos, tmp_path / "out"), *json_too]) == 2
    said = capsys.readouterr()
    assert said.err.endswith("minivit: error: the disk is full\n")
    if json_too:
        assert {"results", "accuracy"} & set(json.loads(said.out))
    else:
        assert "accuracy" in said.out and "numbers:" not in said.out and "report:" not in said.out


@pytest.mark.parametrize("place", ["under a file", "a folder"])
@pytest.mark.parametrize("command", ["evaluate", "fewshot"])
def test_a_place_that_cannot_be_written_is_told_before_the_work(photos, tmp_path, monkeypatch, capsys, command, place):
    monkeypatch.setattr(cli.fewshot, "few_shot", None)
    monkeypatch.setattr("minivit.training.evaluation.predict_dataset", None)
    out = {"under a file": photos / "cat" / "0.png" / "a" / "b", "a folder": photos}
    message = refused(capsys, *measuring(command, tmp_path, photos, out[place]))
    expected = "exists: remove it" if (command, place) == ("evaluate", "a folder") else "cannot be written: "
    assert f"{out[place]} {expected}" in message and message.endswith(" (--out)")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has other permissions")
def test_a_folder_without_permission_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)  # an administrator may write everywhere
    (tmp_path / "free").mkdir()
    check_can_write(tmp_path / "free" / "new" / "a.json")
    check_can_write(Path(os.devnull))
    with pytest.raises(SaveError, match=r"a.json cannot be written: Permission denied; name another file \(--out\)"):
        check_can_write(tmp_path / "new" / "a.json")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", ["evaluate", "fewshot"])
def test_results_are_written_even_if_they_cannot_be_printed(photos, tmp_path, command):
    out = tmp_path / "out"
    options = measuring(command, tmp_path, photos, out)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "minivit", *options], stdout=full, stderr=subprocess.PIPE, timeout=120, check=False
        )
    assert done.returncode == 1 and b"could not write standard output" in done.stderr
    assert out.is_file() if command == "fewshot" else (out / "report.md").is_file()


@pytest.mark.parametrize("command", ["evaluate", "fewshot"])
def test_a_number_of_threads_that_cannot_be_is_named_by_its_option(photos, tmp_path, capsys, command):
    message = refused(capsys, *measuring(command, tmp_path, photos, tmp_path / "out"), "--num-threads", "0")
    assert message == "minivit: error: --num-threads must be an integer of 1 or more, not 0"
