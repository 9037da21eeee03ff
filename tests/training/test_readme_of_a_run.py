"""A run's README.md says what was run, how it ended and how to repeat it, and nothing of who ran it."""

import getpass
import platform
import re
import shlex

import pytest

from minivit import cli
from minivit.errors import ConfigError, Notice
from minivit.training import TrainConfig, Trainer, folder
from minivit.training.callbacks import readme
from minivit.training.distributed.ranks import ALONE
from minivit.training.folder import options_that_affect_weights, read_config

from ..data.images_on_disk import write_folder
from .conftest import tiny_dataset, tiny_model
from .test_best import answering
from .test_run import Killed, kill_after, run

pytestmark = pytest.mark.usefixtures("undrawn")


def text_of(place):
    return (place / "README.md").read_text(encoding="utf-8")


def rows(place):
    return dict(re.findall(r"^\| ([a-z ]+) \| (.*) \|$", text_of(place), re.MULTILINE))


def test_it_says_what_was_run_and_how_it_ended(tiny, tmp_path, monkeypatch):
    answering(monkeypatch, 0.25, 0.875, 0.5)
    run(tmp_path, epochs=3)
    found = rows(tmp_path)
    assert found["last"] == "test accuracy 50.00%, test loss 0.5000, at epoch 3.00: `checkpoint.npz`"
    assert found["best"].startswith("test accuracy 87.50%, test loss 0.1250, at epoch 2.00: `best.npz` (chosen on the")
    assert found["data"].endswith("90 training images, 40 test images; 3 classes: left, middle, right")
    parameters = sum(parameter.size for parameter in tiny_model().parameters())
    assert f"{parameters:,} parameters, images of 8 x 8 pixels" in found["model"]
    assert f"Python {platform.python_version()}" in found["versions"] and "NumPy" in found["versions"]
    assert "cores" in found["machine"] and "not finished" not in found
    assert "![Learning curve](curve.png)" in text_of(tmp_path) and "- `log_every`: 2" in text_of(tmp_path)


def test_its_command_repeats_the_run(tiny, tmp_path):
    run(tmp_path, label_smoothing=0.0, mixup=0.2, patience=3, ema_decay=0.9, seed=7)
    (command,) = re.findall(r"## Repeat\n\n```sh\n(.*)\n```", text_of(tmp_path))
    options = cli.build_parser().parse_args(shlex.split(command)[1:])
    given = {name: value for name, value in vars(options).items() if name not in cli.train.NOT_OF_THE_RUN}
    again = cli.train.options_of_new_run(options, given, "train", ALONE)
    assert options_that_affect_weights(again) == options_that_affect_weights(read_config(tmp_path))


def test_integers_have_no_decimal_point(tiny, tmp_path):
    run(tmp_path, epochs=3.0, lr=0.25)
    text = text_of(tmp_path)
    assert " --epochs 3 " in text and "\n- `epochs`: 3\n" in text and "\n- `lr`: 0.25\n" in text


def test_it_names_no_person_machine_or_place(tmp_path):
    photos = write_folder(tmp_path / "home" / "secret" / "photos", {"cat|a": 5, "dog": 5})
    options = ["--dataset", f"folder:{photos}", "--model", "ViT-XS_4-CIFAR", "--image-size", 8, "--steps", 1]
    assert cli.main(["train", *map(str, options), "--data-dir", str(tmp_path), "--out", str(tmp_path / "run")]) == 0
    text = text_of(tmp_path / "run")
    assert "secret" not in text and str(tmp_path) not in text and platform.node() not in text
    assert getpass.getuser() not in re.findall(r"\w+", text)
    assert "folder:photos" in text and r"cat\|a" in text
    assert "![Images with the model's answers](predictions.png)" in text


def test_a_run_that_was_killed_or_stopped_says_so_and_keeps_when_it_was_begun(tiny, tmp_path, monkeypatch):
    times = iter(f"2026-01-01 00:0{minute}" for minute in range(9))
    for module in (folder, readme):
        monkeypatch.setattr(module, "now", lambda: next(times))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 7)
        run(tmp_path, save_every=0.0)
    assert rows(tmp_path)["not finished"].startswith("step 0 of 10: `minivit train --resume`")
    assert rows(tmp_path)["time"].startswith("begun 2026-01-01 00:00 UTC; ")
    run(tmp_path, resume=True)
    assert rows(tmp_path)["time"].startswith("begun 2026-01-01 00:00 UTC, ended 2026-01-01 00:01 UTC; ")
    assert "not finished" not in rows(tmp_path)
    before = text_of(tmp_path)
    run(tmp_path, resume=True)  # nothing is left to do
    assert text_of(tmp_path) == before


@pytest.mark.parametrize("mine", [b"mine", b"caf\xe9"], ids=["UTF-8", "Latin-1"])
def test_a_readme_that_was_edited_stays(tiny, tmp_path, monkeypatch, mine):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 1)
        run(tmp_path)
    (tmp_path / "README.md").write_bytes(mine)
    with pytest.warns(Notice, match=r"README\.md is left alone"):
        run(tmp_path, resume=True)
    readme.show_pictures(tmp_path)
    assert (tmp_path / "README.md").read_bytes() == mine


def test_somebody_elses_readme_is_not_overwritten(tiny, tmp_path):
    (tmp_path / "README.md").write_text("theirs", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"holds README\.md already"):
        run(tmp_path)


def test_the_predictions_are_shown_once(tiny, tmp_path):
    run(tmp_path)
    assert "predictions.png" not in text_of(tmp_path)
    (tmp_path / "predictions.png").touch()
    readme.show_pictures(tmp_path)
    readme.show_pictures(tmp_path)
    assert text_of(tmp_path).count("predictions.png") == 1


def test_a_run_of_a_script_names_no_command(tmp_path):
    images = tiny_dataset(40, 1)
    data = (images.images, images.labels)
    Trainer(tiny_model(), data, data, TrainConfig(steps=2, batch_size=20), out=tmp_path, show=False).fit()
    assert "A script made this run with `minivit.training.Trainer` and its own data, own model." in text_of(tmp_path)


def figures_in(place):
    """The files of a run's figures, and those that its README.md shows or links."""
    files = {path.name for path in place.iterdir() if path.stem in ("curve", "predictions", "confusion")}
    return files, re.findall(r"^(!?)\[[\w' ]+\]\((\w+\.\w+)\)$", text_of(place), re.MULTILINE)


@pytest.mark.slow
@pytest.mark.drawn
def test_figures_come_in_the_formats_asked_for_and_a_resumed_run_may_change_them(tmp_path, capsys):
    place = tmp_path / "run"
    photos = write_folder(tmp_path / "photos", {"cat": 5, "dog": 5})
    data = ["--dataset", f"folder:{photos}", "--model", "ViT-XS_4-CIFAR", "--image-size", "8"]

    assert cli.main(["train", *data, "--steps", "1", "--out", str(place), "--format", "pdf,SVG"]) == 0
    names = ["curve", "predictions", "confusion"]
    files, shown = figures_in(place)
    assert files == {f"{name}.{ending}" for name in names for ending in ("svg", "pdf")}
    assert shown == [("!", f"{name}.svg") for name in names]
    assert (place / "curve.pdf").read_bytes().startswith(b"%PDF")
    assert "<svg" in (place / "confusion.svg").read_text(encoding="utf-8")

    assert cli.main(["train", "--resume", str(place), "--steps", "2", "--format", "pdf"]) == 0
    files, shown = figures_in(place)  # those of step 1 are gone
    assert files == {f"{name}.pdf" for name in names}
    assert shown == [("", f"{name}.pdf") for name in names]

    capsys.readouterr()
    assert cli.main(["train", "--resume", str(place), "--format", "png"]) == 0  # finished: it is not evaluated again
    files, shown = figures_in(place)
    assert files == {"curve.png", "predictions.png", "confusion.pdf"}
    assert shown == [("!", "curve.png"), ("!", "predictions.png"), ("", "confusion.pdf")]
    assert str(place / "confusion.pdf") in capsys.readouterr().out


def test_an_unknown_format_of_figures_is_refused(tmp_path, capsys):
    assert cli.main(["train", "--steps", "1", "--out", str(tmp_path / "run"), "--format", "png,gif"]) == 2
    assert "--format takes png, svg or pdf, or several separated by commas, not 'gif'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["train", "finetune", "pretrain"])
def test_each_command_that_trains_takes_formats(command):
    options = cli.build_parser().parse_args([command, "--format", "svg"])
    assert options.format == "svg"


def test_it_says_what_was_left_out_and_how_many_test_images_are_left(tmp_path):
    photos = write_folder(tmp_path / "photos", {"cat": 10, "dog": 10})
    (photos / "cat" / "x.png").write_bytes(b"")
    (photos / "notes.doc").touch()
    (photos / "dog" / "notes.doc").touch()
    options = ["--model", "ViT-XS_4-CIFAR", "--image-size", 8, "--steps", 1, "--skip-broken", "--validation", 4]
    words = ["train", "--dataset", f"folder:{photos}", *options, "--out", tmp_path / "run"]
    assert cli.main(list(map(str, words))) == 0
    assert (
        "photos: 12 training images, 4 validation images, 4 test images; 2 classes: cat, dog; "
        in rows(tmp_path / "run")["data"]
    )
    assert rows(tmp_path / "run")["data"].endswith("skipped: 1 .doc; left out: 1 that cannot be read")
