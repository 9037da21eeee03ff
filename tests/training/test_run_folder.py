"""A run's folder: one process has it, nobody's files are overwritten, and it is found again after a move."""

import json
import os
import re
import shlex
import shutil
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minivit import cli
from minivit.cli.train import _make_first_free
from minivit.errors import CheckpointError, ConfigError, FolderInUseError, NonFiniteLossError, Notice, SaveError
from minivit.training import AdamW, ExponentialAverage, TrainConfig, folder, loop
from minivit.training.callbacks.progress import speed_text
from minivit.training.checkpoint import load_checkpoint
from minivit.training.folder import anchored, path_now, read_config, run_notes
from minivit.utils.files import locked
from minivit.weights import read_arrays, write_arrays

from ..data.images_on_disk import write_folder
from ..test_cli import refused
from .conftest import tiny_model
from .test_run import Killed, assert_same_bits, kill_after, run, weights

pytestmark = pytest.mark.usefixtures("undrawn")

SMALL = ["--model", "ViT-XS_4-CIFAR", "--image-size", "8", "--steps", "2", "--batch-size", "4", "--num-threads", "1",
         "--eval-every", "0"]  # fmt: skip


# -- claiming ------------------------------------------------------------------------------------


def test_a_second_process_on_the_folder_is_refused_and_changes_nothing(tiny, tmp_path):
    with locked(tmp_path), pytest.raises(FolderInUseError, match="in use by another minivit process"):
        run(tmp_path)
    assert list(tmp_path.iterdir()) == []
    run(tmp_path, steps=1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with locked(tmp_path), pytest.raises(FolderInUseError):
        run(tmp_path, steps=1, resume=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_runs_started_at_the_same_time_get_folders_of_their_own(tmp_path):
    got, start = [], threading.Barrier(8)

    def claim():
        start.wait()
        got.append(_make_first_free(tmp_path / "runs" / "shapes"))

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path.name for path in got) == sorted(f"shapes-{number}" for number in range(1, 9))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.json", '{"name": "their-app"}', "holds config.json already, but no run that can be resumed"),
        ("curve.png", "theirs", "holds curve.png already"),
        ("predictions.png", "theirs", "holds predictions.png already"),
        ("metrics.jsonl", "", "holds metrics.jsonl already"),
    ],
)
def test_files_of_others_are_not_overwritten(tiny, tmp_path, name, content, words):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=words):
        run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text(encoding="utf-8") == content


def test_a_run_that_was_killed_before_its_first_checkpoint_is_resumed_and_not_begun_anew(tiny, tmp_path):
    run(tmp_path, steps=1)
    for name in ("checkpoint.npz", "metrics.jsonl", "curve.png"):
        (tmp_path / name).unlink()
    with pytest.raises(ConfigError, match=r"holds a run already: resume it \(minivit train --resume .*resume=True"):
        run(tmp_path, steps=1)
    assert run(tmp_path, steps=1, resume=True).finished


def test_a_file_in_place_of_the_folder_is_said(tiny, tmp_path):
    (tmp_path / "out").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="out is a file"):
        run(tmp_path / "out")
    with pytest.raises(SaveError, match="could not make the folder"):
        run(tmp_path / "out" / "run")
    with pytest.raises(SaveError, match="too long"):
        run(tmp_path / ("x" * 300))
    assert (tmp_path / "out").read_text(encoding="utf-8") == "mine"


def test_a_disk_that_cannot_be_written_to_is_said(tiny, tmp_path, monkeypatch):
    def refuse(self, *_, **__):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse)
        with pytest.raises(SaveError, match=r"could not make the folder .*: Permission denied"):
            run(tmp_path / "run")
    monkeypatch.setattr(os, "open", lambda *_, **__: (_ for _ in ()).throw(OSError(30, "Read-only file system")))
    with pytest.raises(SaveError, match=r"could not write .*: Read-only file system"):
        run(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_was_writing_is_removed(tiny, tmp_path):
    run(tmp_path, steps=1)
    (tmp_path / ".minivit-77-abc.part").write_bytes(b"half a checkpoint")
    run(tmp_path, steps=1, resume=True)
    assert not list(tmp_path.glob(".*"))


def test_long_names_of_data_and_weights_make_a_folder_that_can_be_made(tmp_path, monkeypatch):
    from argparse import Namespace

    monkeypatch.chdir(tmp_path)
    config = TrainConfig(dataset="folder:" + "é" * 120)
    with cli.train._run_folder(Namespace(), config) as made:
        assert made.is_dir() and len(os.fsencode(made.name)) <= 210
    assert list(tmp_path.iterdir()) == []  # it stayed empty


# -- moved ---------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with pictures, and a run on them that was started there."""
    place = tmp_path / "project"
    write_folder(place / "pics", {"cat": 5, "dog": 5})
    monkeypatch.chdir(place)
    assert cli.main(["train", "--dataset", "folder:pics", *SMALL, "--out", "run"]) == 0
    monkeypatch.chdir(tmp_path)
    return place


def main(*arguments):
    return cli.main([str(argument) for argument in arguments])


def test_a_run_is_resumed_and_evaluated_from_elsewhere(project, capsys):
    assert main("train", "--resume", "project/run") == 0
    assert main("evaluate", "--weights", "project/run") == 0
    assert "accuracy" in capsys.readouterr().out


def test_a_run_finds_pictures_that_moved_with_it(project, tmp_path):
    project.rename(tmp_path / "elsewhere")
    assert main("train", "--resume", "elsewhere/run") == 0
    assert main("evaluate", "--weights", "elsewhere/run") == 0
    config = json.loads((tmp_path / "elsewhere" / "run" / "config.json").read_text(encoding="utf-8"))
    assert config["dataset"] == f"folder:{tmp_path / 'elsewhere' / 'pics'}"


def test_a_run_whose_pictures_moved_alone_can_be_told_where_they_are(project, tmp_path, capsys):
    (project / "pics").rename(tmp_path / "photos")
    assert "pics" in refused(capsys, "train", "--resume", project / "run")
    assert main("train", "--resume", project / "run", "--dataset", f"folder:{tmp_path / 'photos'}") == 0
    write_folder(tmp_path / "photos", {"emu": 4})
    assert "had 2 classes and has 3 now" in refused(capsys, "train", "--resume", project / "run")


def test_a_run_of_before_paths_were_absolute_is_found_beside_its_folder(project, tmp_path):
    path = project / "run" / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    del config["run"]
    path.write_text(json.dumps(config | {"dataset": "folder:pics", "data_dir": ""}), encoding="utf-8")
    assert read_config(project / "run").dataset == f"folder:{project / 'pics'}"


def test_all_paths_are_kept_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("pics/a", "teacher", "cache/flat"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "w.npz").touch()
    config = anchored(TrainConfig(dataset="folder:pics", data_dir="cache", weights="w.npz", teacher="teacher"))
    assert config.dataset == f"folder:{tmp_path / 'pics'}"
    assert config.data_dir == str(tmp_path / "cache")
    assert (config.weights, config.teacher) == (str(tmp_path / "w.npz"), str(tmp_path / "teacher"))
    assert anchored(config) == config
    assert anchored(TrainConfig(dataset="folder:flat", data_dir="cache")).dataset == f"folder:{tmp_path / 'cache/flat'}"
    assert anchored(TrainConfig(weights="ViT-B_16-imagenet21k")).weights == "ViT-B_16-imagenet21k"
    assert anchored(TrainConfig(weights="w" * 300)).weights == "w" * 300
    monkeypatch.setenv("MINIVIT_DATA", "cache")
    assert anchored(TrainConfig()).data_dir == str(tmp_path / "cache")


def test_a_path_that_still_leads_somewhere_is_kept(tmp_path):
    for name in ("old/pics", "old/run", "new/pics", "new/run"):
        (tmp_path / name).mkdir(parents=True)
    notes = run_notes(tmp_path / "old" / "run", "cpu")
    here = str(tmp_path / "old" / "pics")
    assert path_now(here, notes, tmp_path / "new" / "run") == here
    shutil.rmtree(here)
    assert path_now(here, notes, tmp_path / "new" / "run") == str(tmp_path / "new" / "pics")
    shutil.rmtree(tmp_path / "new" / "pics")
    assert path_now(here, notes, tmp_path / "new" / "run") == here


@pytest.mark.slow
def test_a_fine_tuning_run_goes_on_without_the_weights_that_it_began_with(tmp_path, monkeypatch, capsys):
    pictures = write_folder(tmp_path / "pics", {"cat": 5, "dog": 5})
    data = ["--dataset", f"folder:{pictures}"]
    assert main("train", *data, *SMALL, "--out", tmp_path / "first") == 0
    tune = ["finetune", "--weights", tmp_path / "first", *data, "--image-size", "12", *SMALL[4:], "--save-every", "0"]
    assert main(*tune, "--out", tmp_path / "whole") == 0
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 1)
        main(*tune, "--out", tmp_path / "tuned")
    shutil.rmtree(tmp_path / "first")
    assert main("train", "--resume", tmp_path / "tuned") == 0
    assert_same_bits(weights(tmp_path / "whole"), weights(tmp_path / "tuned"))

    (tmp_path / "tuned" / "checkpoint.npz").unlink()  # now nothing but the starting weights could help
    capsys.readouterr()
    assert main("train", "--resume", tmp_path / "tuned") == 2
    (error,) = capsys.readouterr().err.strip().splitlines()
    assert "the run's starting weights are no longer at" in error
    assert "--weights PATH" in error


@pytest.mark.slow
def test_another_teacher_at_the_same_place_is_noticed(tmp_path, capsys):
    pictures = write_folder(tmp_path / "pics", {"cat": 5, "dog": 5})
    data = ["--dataset", f"folder:{pictures}"]
    for seed in (0, 1):
        more = ["--seed", seed, "--lr", 0.01, "--out", tmp_path / f"teacher{seed}"]
        assert main("train", *data, *SMALL, *more) == 0
    tune = ["finetune", "--weights", tmp_path / "teacher0", "--teacher", tmp_path / "teacher1", *data, *SMALL[4:]]
    assert main(*tune, "--out", tmp_path / "run") == 0
    assert main("train", "--resume", tmp_path / "run") == 0
    shutil.copy(tmp_path / "teacher0" / "checkpoint.npz", tmp_path / "teacher1" / "checkpoint.npz")
    assert "another teacher" in refused(capsys, "train", "--resume", tmp_path / "run")


# -- what is saved -------------------------------------------------------------------------------


def test_weights_that_are_not_finite_are_never_saved(tiny, tmp_path):
    with (
        np.errstate(all="ignore"),
        pytest.raises(NonFiniteLossError, match=r"(nan|infinite|inf) .*at step \d+ .*checkpoint") as caught,
    ):
        run(tmp_path, weight_decay=1e308, save_every=0.0)
    assert len(str(caught.value)) < 350
    if (tmp_path / "checkpoint.npz").exists():
        _, arrays = read_arrays(tmp_path / "checkpoint.npz")
        assert all(np.isfinite(array).all() for array in arrays.values())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"precision": []}, "is damaged: its header does not fit: list index out of range; restore it, or start a new"),
        ({"window": None}, "is damaged: its header does not fit: "),
        ({"best": [1]}, "is damaged: its header does not fit: "),
        ({"seconds": ...}, "is damaged: its header lacks 'seconds'; restore it, or start a new run"),
        ({"train": {"newer": 1}}, "has options that this minivit does not know: newer; go on with the version that"),
    ],
    ids=str,
)
def test_a_header_that_does_not_fit_is_refused_in_one_sentence(tiny, tmp_path, changes, words):
    options = {"steps": 2, "precision": "float16"}
    run(tmp_path, **options)
    header, arrays = read_arrays(tmp_path / "checkpoint.npz")
    for name, value in changes.items():
        if value is ...:
            del header[name]
        else:
            header[name] = header[name] | value if isinstance(value, dict) else value
    write_arrays(tmp_path / "checkpoint.npz", header, arrays)
    with pytest.raises(CheckpointError, match=re.escape(words)):
        run(tmp_path, **options, resume=True)


def test_counts_that_this_version_does_not_know_are_left_aside(tiny, tmp_path):
    run(tmp_path, steps=2)
    header, arrays = read_arrays(tmp_path / "checkpoint.npz")
    header["window"]["newer"] = 1
    write_arrays(tmp_path / "checkpoint.npz", header, arrays)
    assert run(tmp_path, steps=2, resume=True).finished


def test_of_many_other_options_three_are_named(tiny, tmp_path):
    run(tmp_path, steps=2)
    others = {"batch_size": 5, "clip_grad": 0.0, "label_smoothing": 0.0, "lr": 1.0, "mixup": 0.1, "seed": 9}
    words = r"other options: batch_size was 20, now 5, clip_grad was 1.0, now 0.0, label_.* and 3 more; go on with what"
    with pytest.raises(CheckpointError, match=words):
        run(tmp_path, steps=2, resume=True, **others)


@pytest.mark.parametrize("part", ["optimizer/mean/head.weight", "ema/head.weight"])
@pytest.mark.parametrize("damage", ["missing", "smaller"])
def test_a_checkpoint_that_does_not_fit_changes_nothing(tiny, tmp_path, part, damage):
    run(tmp_path, steps=2, ema_decay=0.9)
    path = tmp_path / "checkpoint.npz"
    header, arrays = read_arrays(path)
    if damage == "missing":
        del arrays[part]
    else:
        arrays[part] = arrays[part][:1, :1]
    write_arrays(path, header, arrays)
    model = tiny_model(seed=3)
    before = {name: array.copy() for name, array in model.state().items()}
    optimizer, average = AdamW(model.named_parameters()), ExponentialAverage(model.named_parameters(), 0.9)
    with pytest.raises(CheckpointError, match=f"checkpoint.npz: the saved .*'{part.partition('/')[2]}'"):
        load_checkpoint(path, model=model, network=model, optimizer=optimizer, average=average)
    assert all(np.array_equal(array, before[name]) for name, array in model.state().items())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_becomes_nan_stops_the_run_and_the_good_checkpoint_stays(tiny, tmp_path, monkeypatch, value):
    original = loop.train_step

    def spoil(run, batch):
        result = original(run, batch)
        if run.step == 3:
            run.model.head.weight.data[0, 0] = value
        return result

    monkeypatch.setattr(loop, "train_step", spoil)
    with pytest.raises(NonFiniteLossError, match=r"model/head\.weight holds .* at step 3 .*last good checkpoint"):
        run(tmp_path, save_every=0.0)
    header, arrays = read_arrays(tmp_path / "checkpoint.npz")
    assert header["step"] == 2 and all(np.isfinite(array).all() for array in arrays.values())


def test_a_resume_under_another_numpy_says_so_once(tiny, tmp_path, monkeypatch):
    run(tmp_path, steps=2)
    run(tmp_path, steps=2, resume=True)  # the same versions: no notice, which would be an error here
    header, arrays = read_arrays(tmp_path / "checkpoint.npz")
    assert header["run"]["versions"]["NumPy"] == np.__version__
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))["run"]["versions"]["BLAS"]
    header["run"]["versions"] |= {"NumPy": "1.0", "BLAS": "openblas 0.1 Z80"}
    write_arrays(tmp_path / "checkpoint.npz", header, arrays)
    changes = r"saved with NumPy 1\.0, now .*; BLAS openblas 0\.1 Z80, now .*last bits may differ"
    with pytest.warns(Notice, match=changes):
        run(tmp_path, steps=2, resume=True)


def test_the_command_to_go_on_is_quoted_for_the_shell(tmp_path, monkeypatch, capsys):
    pictures = write_folder(tmp_path / "my pics", {"cat": 5, "dog": 5})
    original = loop.train_step

    def stopped(run, batch):
        run.stop.handle(signal.SIGTERM, None)
        return original(run, batch)

    monkeypatch.setattr(loop, "train_step", stopped)
    out = tmp_path / "a run's $folder"
    assert main("train", "--dataset", f"folder:{pictures}", *SMALL, "--out", out) == 143
    said = capsys.readouterr().out.splitlines()[-1].partition("--resume ")[2]
    if os.name == "posix":
        assert shlex.split(said) == [str(out)]


@pytest.mark.drawn
def test_a_short_run_has_a_training_line_in_its_curve(tiny, tmp_path):
    run(tmp_path, steps=1, eval_every=0.0)
    with Image.open(tmp_path / "curve.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    blue = (np.abs(pixels - (0x00, 0x72, 0xB2)).sum(axis=2) < 30).sum(axis=0)  # by column
    left, right = blue[: blue.size // 2], blue[blue.size // 2 :]
    # The legend's line has two or three pixels in each column; a point is higher.
    assert left.max() > 3 and right.max() > 3


def test_slow_steps_have_a_speed_that_is_not_zero():
    assert [speed_text(speed) for speed in (0.0314, 0.4, 3.21, 12.6, 1234.5)] == ["0.031", "0.4", "3.2", "13", "1,234"]


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_a_pre_trained_model_names_no_classes_and_says_so(tmp_path, capsys, command):
    pictures = write_folder(tmp_path / "pics", {"cat": 5, "dog": 5})
    small = [*SMALL, "--objective", "masked-patch"]
    assert main("pretrain", "--dataset", f"folder:{pictures}", *small, "--out", tmp_path / "pre") == 0
    picture = [next(pictures.rglob("*.png"))] if command == "predict" else []
    assert "minivit finetune" in refused(capsys, command, *picture, "--weights", tmp_path / "pre")


def test_only_one_of_the_two_lengths_has_a_default(capsys):
    with pytest.raises(SystemExit):
        cli.main(["finetune", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "N may be a fraction [default: by the number of images]" in text


def test_the_folder_module_knows_the_files_by_the_names_that_the_commands_use():
    assert (folder.CONFIG, folder.METRICS, folder.CHECKPOINT) == ("config.json", "metrics.jsonl", "checkpoint.npz")
