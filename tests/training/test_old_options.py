"""Old names of a run's options: they mean the same as the new ones, which a notice says once."""

import json
import warnings
from dataclasses import asdict, fields, replace

import pytest

from minivit import cli
from minivit.errors import ConfigError, Notice
from minivit.training import TrainConfig
from minivit.training.config import config_from_json
from minivit.training.folder import read_config
from minivit.training.old_options import NEW_NAMES
from minivit.training.repeat import command_of_run
from minivit.weights import read_arrays, write_arrays

from .test_run import Killed, assert_same_bits, kill_after, run, weights

OLD = {
    "accumulate": 2, "checkpoint_blocks": True, "classifier": "gap", "clip": 0.5, "decay": "linear", "ema": 0.9,
    "smoothing": 0.2, "workers": 1,
}  # fmt: skip
NEW = {
    "grad_accum_steps": 2, "grad_checkpointing": True, "pool": "avg", "clip_grad": 0.5, "lr_schedule": "linear",
    "ema_decay": 0.9, "label_smoothing": 0.2, "num_threads": 1,
}  # fmt: skip


def in_old_names(options):
    """Options as an older minivit saved them."""
    old_names = {new: old for old, new in NEW_NAMES.items()}
    options = {old_names.get(name, name): value for name, value in options.items()}
    return options | {"classifier": {"avg": "gap"}.get(options["classifier"], options["classifier"])}


def test_old_and_new_names_are_as_settled():
    assert dict(zip(OLD, NEW, strict=True)) == NEW_NAMES
    assert set(NEW) <= {field.name for field in fields(TrainConfig)}


@pytest.mark.parametrize("old", OLD)
def test_a_keyword_and_an_attribute_say_the_new_name_once(old):
    new = NEW_NAMES[old]
    with pytest.warns(Notice) as said:
        config = TrainConfig(**{old: OLD[old]})
    assert [str(notice.message) for notice in said] == [f"the option {old} is called {new} now"]
    assert said[0].filename == __file__
    assert config == TrainConfig(**{new: NEW[new]})
    with pytest.warns(Notice, match=f"^the option {old} is called {new} now$"):
        assert getattr(config, old) == NEW[new]


def test_new_names_and_files_give_no_notice():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = TrainConfig(**NEW)
        assert config_from_json(in_old_names(asdict(config))) == config
        assert replace(config, lr=1.0).lr == 1.0


def test_gap_is_the_old_value_avg():
    assert TrainConfig(pool="gap").pool == TrainConfig(pool="avg").pool == "avg"
    assert TrainConfig(pool="avg").model_changes == {"classifier": "gap"}
    assert TrainConfig(pool="token").model_changes == {"classifier": "token"}
    with pytest.raises(ConfigError, match="pool must be one of token, avg, map, token_gap, not 'mean'"):
        TrainConfig(pool="mean")


@pytest.mark.filterwarnings("ignore::minivit.errors.Notice")
@pytest.mark.parametrize("read", [lambda values: TrainConfig(**values), config_from_json])
def test_an_option_under_both_names_is_refused(read):
    with pytest.raises(ConfigError, match="clip is the old name of clip_grad: give only clip_grad"):
        read({"dataset": "shapes", "model": "ViT-XS_4-CIFAR", "seed": 0, "clip": 1.0, "clip_grad": 0.5})


@pytest.mark.slow
@pytest.mark.usefixtures("tiny", "undrawn")
def test_a_run_begun_under_old_names_ends_with_the_same_bits(tmp_path, monkeypatch):
    options = {"dropout": 0.1, "save_every": 0.0, "epochs": 4, **NEW}
    run(tmp_path / "whole", **options)
    folder = tmp_path / "killed"
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 4)
        run(folder, **options)
    values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(in_old_names(values)), encoding="utf-8")
    header, arrays = read_arrays(folder / "checkpoint.npz")
    assert header["step"] == 4
    write_arrays(folder / "checkpoint.npz", header | {"train": in_old_names(header["train"])}, arrays)

    config = read_config(folder)
    assert (config.pool, config.ema_decay, config.lr_schedule) == ("avg", 0.9, "linear")
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        assert run(folder, resume=True, **asdict(config)).finished

    assert_same_bits(weights(tmp_path / "whole"), weights(folder))
    assert set(NEW) <= set(json.loads((folder / "config.json").read_text(encoding="utf-8")))


def test_the_command_that_repeats_an_old_run_has_new_names():
    old = {"train": {"dataset": "shapes", "model": "ViT-XS_4-CIFAR", "seed": 0, "smoothing": 0.3, "ema": 0.0}}
    assert command_of_run(old) == (
        "minivit train --recipe none --dataset shapes --model ViT-XS_4-CIFAR --label-smoothing 0.3"
    )


def test_a_misspelled_option_is_answered_with_its_name():
    with pytest.raises(ConfigError, match=r"^TrainConfig has no option 'label_smothing': did you mean label_smoothing"):
        TrainConfig(label_smothing=0.1)
    values = {"dataset": "shapes", "model": "ViT-XS_4-CIFAR", "seed": 0, "ema_deca": 8}
    with pytest.raises(ConfigError, match=r"does not know: ema_deca; did you mean ema_decay\?$"):
        config_from_json(values)


# -- on the command line ---------------------------------------------------------------------------


def parsed(command, *words):
    return vars(cli.build_parser().parse_args([command, *words]))


@pytest.mark.parametrize("old", OLD)
def test_an_old_option_says_the_new_one(old, capsys):
    new, dashed = NEW_NAMES[old], old.replace("_", "-")
    value = [] if old == "checkpoint_blocks" else [str(OLD[old])]
    for words in ([f"--{dashed}", *value], [f"--{dashed}={value[0]}"] if value else [f"--{old}"]):
        with pytest.warns(Notice) as said:
            found = parsed("train", *words)
        assert [str(notice.message) for notice in said] == [
            f"{words[0].partition('=')[0]} is called --{new.replace('_', '-')} now"
        ]
        assert TrainConfig(**{new: found[new]}) == TrainConfig(**{new: NEW[new]})


@pytest.mark.parametrize("command", ["predict", "evaluate", "fewshot", "inspect", "bench", "experiment"])
def test_other_commands_take_threads_under_both_names(command):
    needed = {
        "predict": ["a.png", "--weights", "w"], "evaluate": ["--weights", "w"], "fewshot": ["--weights", "w"],
        "inspect": ["w", "a.png"], "bench": ["ViT-XS_4-CIFAR"], "experiment": ["pooling"],
    }[command]  # fmt: skip
    assert parsed(command, *needed, "--num-threads", "3")["num_threads"] == 3
    with pytest.warns(Notice, match="^--workers is called --num-threads now$"):
        assert parsed(command, *needed, "--workers", "3")["num_threads"] == 3


def test_underscores_are_understood_in_silence():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = parsed("train", "--batch_size", "8", "--lr_schedule=linear", "--grad_checkpointing")
        assert (found["batch_size"], found["lr_schedule"], found["grad_checkpointing"]) == (8, "linear", True)
        assert parsed("finetune", "--train-batch-size", "8", "--img_size", "16")["batch_size"] == 8


def test_what_follows_two_dashes_is_left_alone():
    found = parsed("predict", "--weights", "w", "--", "--num_threads", "--workers")
    assert (found["images"], found["num_threads"]) == (["--num_threads", "--workers"], None)


def test_a_notice_of_the_command_line_is_one_line(capsys):
    assert cli.main(["predict", "missing.png", "--weights", "missing.npz", "--workers", "1"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "minivit: note: --workers is called --num-threads now"
    assert len(lines) == 2 and lines[1].startswith("minivit: error: ")
