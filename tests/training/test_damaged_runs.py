"""A run's `config.json` and `metrics.jsonl`, edited by hand, torn or mutated: one sentence or mended, no traceback."""

import json
import math
import random
from dataclasses import asdict, fields

import numpy as np
import pytest

from minivit.errors import CheckpointNotFoundError, ConfigError, DataError, MinivitError
from minivit.training import TrainConfig
from minivit.training.callbacks.curve import learning_curve
from minivit.training.config import config_from_json
from minivit.training.folder import CONFIG, NOTES, read_config
from minivit.training.logs import MetricsFile

pytestmark = pytest.mark.usefixtures("undrawn")

ODD = [
    None, True, False, 0, -1, 1, 2.5, -0.5, 10**18, 10**400, 1e308, -1e308, float("nan"), float("inf"), "", "x", "1",
    "nan", "\0", "folder:", "\ud800", "a" * 300, "a" * 5_000, "../..", [], [1], {}, {"lr": 1},
]  # fmt: skip
NAMES = [field.name for field in fields(TrainConfig)]
VALUES = asdict(TrainConfig())


def accepted_or_said(function, *arguments):
    """What a function returns; None if it refused with one short sentence. Anything else is an error."""
    try:
        return function(*arguments)
    except MinivitError as error:
        text = str(error)
        assert text and "\n" not in text and "\x1b" not in text
        assert len(text) < 500, text
        return None


# -- config.json ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_an_option_of_an_odd_type_is_refused_by_its_name_or_is_a_value(name):
    for value in ODD:
        try:
            config = config_from_json(VALUES | {name: value})
        except ConfigError as error:
            words = str(error).replace("_", "-")
            assert name.replace("_", "-") in words or name in ("model", "positions_at", "image_size"), words
            assert len(words) < 300
        else:
            kept = getattr(config, name)
            assert kept == value and type(kept) is type(value)


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("batch_size", "16", "batch-size must be an integer, not '16'"),
        ("lr", "fast", "lr must be a number, not 'fast'"),
        ("freeze", 1, "freeze must be true or false, not 1"),
        ("weights", None, "weights must be text, not None"),
        ("num_threads", 2.0, "num-threads must be an integer, not 2.0"),
        ("epochs", 1e308, r"epochs must be above 0 and at most 1,000,000,000, not 1e\+308"),
        ("steps", 10**16, "steps must be at most 1,000,000,000,000,000, not"),
        ("lr", 10**400, "lr must be a number of 64 bits"),
    ],
)
def test_the_field_and_what_it_must_be_are_named(name, value, rule):
    with pytest.raises(ConfigError, match=rule):
        TrainConfig(**{name: value})


def test_numbers_of_numpy_are_numbers():
    config = TrainConfig(steps=np.int64(5), lr=np.float32(0.5), seed=np.uint8(3))
    assert (config.steps, config.lr, config.seed) == (5, 0.5, 3)
    json.dumps(asdict(config))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1]", "it does not hold a run's options, but [1]"),
        ("null", "it does not hold a run's options, but None"),
        ("{}", "dataset, model, seed is missing"),
        ('{"name": "my-package", "version": "1.0"}', "dataset, model, seed is missing"),
        ('{"lr": ', "is not valid JSON"),
        ("", "is not valid JSON"),
        ("\0\0\0", "is not valid JSON"),
        (json.dumps(VALUES | {"speed": 9}), "options that this minivit does not know: speed"),
    ],
)
def test_a_config_that_is_none_is_said_with_the_files_name(tmp_path, text, words):
    (tmp_path / CONFIG).write_text(text, encoding="utf-8")
    with pytest.raises(MinivitError) as caught:
        read_config(tmp_path)
    assert words in str(caught.value) and str(tmp_path / CONFIG) in str(caught.value)


def test_a_byte_order_mark_is_no_damage(tmp_path):
    (tmp_path / CONFIG).write_text(json.dumps(VALUES), encoding="utf-8-sig")
    assert read_config(tmp_path) == TrainConfig()


@pytest.mark.parametrize("notes", [None, 1, "x", [], {}, {"folder": 3}, {"folder": "../x"}, {"folder": "\0"}])
def test_odd_notes_do_no_harm(tmp_path, notes):
    options = VALUES | {"dataset": "folder:/nowhere/pics", NOTES: notes}
    (tmp_path / CONFIG).write_text(json.dumps(options), encoding="utf-8")
    assert read_config(tmp_path).dataset == "folder:/nowhere/pics"


def test_a_folder_without_a_config_is_no_run(tmp_path):
    with pytest.raises(CheckpointNotFoundError, match="there is no run in"):
        read_config(tmp_path)
    (tmp_path / CONFIG).mkdir()
    with pytest.raises(CheckpointNotFoundError, match="there is no run in"):
        read_config(tmp_path)


def mutations(data, count, seed):
    """Files with bytes changed, cut out, doubled, or cut short."""
    rng = random.Random(seed)
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(changed) or 1)
            match rng.randrange(5):
                case 0:
                    changed[place : place + 1] = bytes([rng.randrange(256)])
                case 1:
                    del changed[place : place + rng.randint(1, 30)]
                case 2:
                    changed[place:place] = changed[place : place + rng.randint(1, 30)]
                case 3:
                    changed[place:place] = rng.choice([b"\0", b'"', b"{", b"[", b"1e999", b"null", b"\xff\xfe", b"-"])
                case _:
                    del changed[place:]
        yield bytes(changed)


def test_four_hundred_mutated_configs_end_in_no_traceback(tmp_path):
    (tmp_path / CONFIG).write_text(json.dumps(VALUES, indent=2), encoding="utf-8")
    good = (tmp_path / CONFIG).read_bytes()
    for data in mutations(good, 400, seed=1):
        (tmp_path / CONFIG).write_bytes(data)
        accepted_or_said(read_config, tmp_path)


# -- metrics.jsonl -------------------------------------------------------------------------------

TRAIN = {"kind": "train", "step": 2, "epoch": 0.4, "loss": 1.5, "accuracy": 0.5, "lr": 1e-3, "images_per_second": 9.0,
         "seconds": 0.5}  # fmt: skip
LINES = [
    TRAIN,
    TRAIN | {"step": 4},
    {"kind": "overflow", "step": 5, "loss_scale": 2.0},
    TRAIN | {"kind": "test", "step": 5},
]
GOOD = "".join(json.dumps(line) + "\n" for line in LINES).encode()


@pytest.mark.parametrize(
    "tail", [b"", b"\0\0\0\0", b'{"kind": "tr\xe2', b'{"kind": "train"', b"\n\n", b"[1", b"\r\n", b"\0\0\n\0"]
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_what_a_kill_or_an_editor_leaves_is_mended(tmp_path, tail, mark):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics.path.write_bytes(mark + GOOD + tail)
    assert metrics.read() == LINES
    metrics.rewind(5, 4)
    assert metrics.read() == LINES[:3]  # the evaluation at step 5 is not one that the checkpoint knows of
    metrics.rewind(4, 4)
    metrics.write(LINES[3])
    assert metrics.read() == [*LINES[:2], LINES[3]]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "it is not JSON"),
        (b"\xff", "it is not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[1]", "it is not a record, [1]"),
        (b'{"step": 1}', "its kind is None, not one of train, test, validation, overflow"),
        (b'{"kind": ["train"], "step": 1}', "its kind is ['train']"),
        (b'{"kind": "train", "step": "1"}', "its step is '1', not an integer of 0 or more"),
        (b'{"kind": "train", "step": true}', "its step is True"),
        (b'{"kind": "train", "step": -1}', "its step is -1"),
        (b'{"kind": "overflow", "step": 1}', "its loss_scale is None, not a number"),
        (json.dumps(TRAIN | {"loss": "low"}).encode(), "its loss is 'low', not a number"),
        (json.dumps(TRAIN | {"seconds": [1]}).encode(), "its seconds is [1], not a number"),
        (json.dumps(TRAIN | {"epoch": 10**400}).encode(), "its epoch is"),
    ],
)
def test_a_damaged_line_is_said_with_its_number_and_its_field(tmp_path, line, words):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(GOOD + line + b"\n" + GOOD)
    with pytest.raises(DataError, match=r"line 5 of .*metrics\.jsonl is damaged: ") as caught:
        MetricsFile(path).read()
    assert words in str(caught.value)
    assert len(str(caught.value)) < 250 + len(str(path))


def test_a_metrics_file_that_cannot_be_read_or_written_is_said(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics.path.mkdir()
    with pytest.raises(DataError, match="could not read"):
        metrics.read()
    with pytest.raises(MinivitError, match="could not write"):
        metrics.write(TRAIN)
    with pytest.raises(MinivitError, match="could not write"):
        metrics.sync()


@pytest.mark.slow
def test_twelve_hundred_mutated_metrics_end_in_no_traceback(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    drawn = list(mutations(GOOD, 800, seed=2))
    for line in LINES:
        drawn += [(json.dumps(line | {name: value}) + "\n").encode() * 2 for name in line for value in ODD]
    assert len(drawn) > 1_200
    read = 0
    for data in drawn:
        metrics.path.write_bytes(data)
        records = accepted_or_said(metrics.read)
        if records is not None:
            read += 1
            accepted_or_said(metrics.rewind, 4, 4)
    assert 100 < read < len(drawn)


@pytest.mark.drawn
def test_the_curve_of_odd_but_true_numbers_is_drawn(tmp_path):
    odd = [
        TRAIN | {"step": step, "loss": loss} for step, loss in enumerate([1e308, float("inf"), float("nan"), -1e308])
    ]
    learning_curve(odd, tmp_path / "curve.png")
    learning_curve([], tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 1_000


def test_what_is_not_finite_is_strict_json_and_comes_back_as_nan(tmp_path):
    file = MetricsFile(tmp_path / "metrics.jsonl")
    record = dict.fromkeys(("epoch", "accuracy", "lr", "images_per_second", "seconds"), 1.0)

    file.write({"kind": "train", "step": 1, "loss": math.inf, "own": math.nan, **record})

    def refuse(token):
        pytest.fail(f"{token} is not JSON")

    (line,) = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line, parse_constant=refuse)["loss"] is None
    (back,) = file.read()
    assert math.isnan(back["loss"])
    assert math.isnan(back["own"])
    file.rewind(step=1, evaluated=0)
    assert (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines() == [line]
