"""Grids of trainings: each cell with each seed once, summed up right, resumed, and drawn."""

import json
import math
from pathlib import Path

import pytest

from minivit import cli
from minivit.data import shapes
from minivit.errors import ConfigError, DataError
from minivit.experiments import EXPERIMENTS, Cell, Experiment, Record, Summary, run_experiment, summarise
from minivit.experiments import grid as grid_module
from minivit.training import RunResult, TrainConfig, batches


def sentence(summaries):
    return f"{len(summaries)} cells"


def experiment(**changes):
    values = {
        "name": "toy",
        "paper": "nowhere",
        "title": "a toy",
        "x_label": "steps",
        "options": {"model": "ViT-XS_4-CIFAR", "batch_size": 10},
        "cells": (Cell("a", 1, {"steps": 1}), Cell("a", 2, {"steps": 2}), Cell("b", 1, {"steps": 1, "lr": 1e-3})),
        "sentence": sentence,
    }
    return Experiment(**{**values, **changes})


@pytest.fixture
def trainings(monkeypatch):
    """Every training is noted, and its folder, and not done; its accuracy follows from its options."""

    class Noted(list):
        def __init__(self):
            self.folders = []

    noted = Noted()

    def train(config, folder, resume, show):
        assert resume
        if not folder.exists():
            noted.append(config)
            noted.folders.append(folder)
            folder.mkdir(parents=True)
        return RunResult(folder, config.steps, True, 1.0, 0.1 * config.steps + 0.01 * config.seed, 2.0)

    monkeypatch.setattr(grid_module, "train", train)
    return noted


def test_every_cell_is_trained_with_every_seed_and_its_options(trainings, tmp_path):
    summaries = run_experiment(experiment(), tmp_path, seeds=3, show=False, num_threads=1)

    assert [(c.steps, c.lr, c.seed) for c in trainings] == [
        (steps, lr, seed) for seed in range(3) for steps, lr in ((1, 5e-4), (2, 5e-4), (1, 1e-3))
    ]
    assert {c.num_threads for c in trainings} == {1}
    assert [(s.series, s.x, s.seeds) for s in summaries] == [("a", 1, 3), ("a", 2, 3), ("b", 1, 3)]
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "picture.png", "sentence.txt"}
    assert (tmp_path / "sentence.txt").read_text(encoding="utf-8") == "3 cells\n"
    assert (tmp_path / "picture.png").read_bytes()[:4] == b"\x89PNG"


def test_the_interval_is_students(trainings, tmp_path):
    """0.10, 0.11, 0.12: mean 0.11, deviation 0.01; t for 2 degrees of freedom is 4.303 at 97.5 %."""
    first = run_experiment(experiment(), tmp_path, seeds=3, show=False)[0]

    assert first.mean == pytest.approx(0.11)
    assert first.half_width == pytest.approx(4.302653 * 0.01 / math.sqrt(3), rel=1e-6)
    assert summarise(experiment(), [Record("a", 1, 0, 0.5, 1.0, 2.0)])[0].half_width == 0.0


def test_compute_is_three_forward_passes_of_every_image(trainings, tmp_path):
    """ViT-XS_4-CIFAR: 65 tokens, D 64, 4 blocks, MLP 128; a multiplication and an addition are two operations."""
    block = 65 * 64 * 4 * 64 + 2 * 65 * 65 * 64 + 2 * 65 * 64 * 128
    forward = 2 * (64 * 48 * 64 + 4 * block + 64 * 10)

    summaries = run_experiment(experiment(), tmp_path, seeds=1, show=False)

    assert [s.flops for s in summaries] == [3 * forward * 10 * steps for steps in (1, 2, 1)]


def test_a_cell_may_start_from_another_trainings_weights(trainings, tmp_path):
    first = {"objective": "masked-patch", "steps": 3}
    after = experiment(cells=(Cell("after", 1, {"steps": 2}, before=first), Cell("plain", 1, {"steps": 5})))

    summaries = run_experiment(after, tmp_path, seeds=1, show=False)

    assert [(c.objective, c.steps) for c in trainings] == [("masked-patch", 3), ("classes", 2), ("classes", 5)]
    first_ones = trainings.folders[0] / "checkpoint.npz"
    assert [c.weights for c in trainings] == ["", str(first_ones), ""]
    assert summaries[0].flops == summaries[1].flops  # five steps in all


def test_cells_that_start_from_the_same_training_share_it(trainings, tmp_path):
    first = {"steps": 3}
    cells = (Cell("first", 1, first), Cell("a", 1, {"steps": 2}, first), Cell("b", 1, {"steps": 4}, first))

    summaries = run_experiment(experiment(cells=cells), tmp_path, seeds=2, show=False)

    assert [(c.steps, c.seed) for c in trainings] == [(s, seed) for seed in (0, 1) for s in (3, 2, 4)]
    a, b = (Path(c.weights) for c in trainings[1:3])
    assert a == b and a.name == "checkpoint.npz"
    assert trainings[1].weights != trainings[0].weights
    assert Path(trainings[4].weights) != a  # another seed's
    assert [s.flops / summaries[0].flops for s in summaries] == pytest.approx([1, 5 / 3, 7 / 3])  # both cost it
    assert not (tmp_path / "running").exists()


def test_what_was_trained_is_not_trained_again(trainings, tmp_path):
    run_experiment(experiment(), tmp_path, seeds=1, show=False)
    summaries = run_experiment(experiment(), tmp_path, seeds=2, show=False)

    assert len(trainings) == 6
    assert [c.seed for c in trainings] == [0, 0, 0, 1, 1, 1]
    assert [s.seeds for s in summaries] == [2, 2, 2]


def test_a_training_that_was_stopped_counts_for_nothing(trainings, tmp_path, monkeypatch):
    run_experiment(experiment(), tmp_path, seeds=1, show=False)
    stopped = RunResult(tmp_path, 1, False, None, None, 1.0)
    monkeypatch.setattr(grid_module, "train", lambda *_, **__: stopped)

    with pytest.raises(KeyboardInterrupt):
        run_experiment(experiment(), tmp_path, seeds=2, show=False)

    assert len(json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["records"]) == 3


def test_results_of_another_experiment_are_left_alone(trainings, tmp_path):
    run_experiment(experiment(), tmp_path, seeds=1, show=False)
    before = (tmp_path / "results.json").read_bytes()

    with pytest.raises(DataError, match="another"):
        run_experiment(experiment(options={"model": "ViT-XS_4-CIFAR", "batch_size": 11}), tmp_path, show=False)
    assert (tmp_path / "results.json").read_bytes() == before
    (tmp_path / "results.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="damaged"):
        run_experiment(experiment(), tmp_path, show=False)
    with pytest.raises(ConfigError, match="seeds"):
        run_experiment(experiment(), tmp_path, seeds=0, show=False)


# -- the paper's ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_options_of_every_cell_are_a_runs(name):
    found = EXPERIMENTS[name]

    for cell in found.cells:
        TrainConfig(**{**found.options, **cell.options})
        if cell.before:
            TrainConfig(**{**found.options, **cell.before})
    assert len({(cell.series, cell.x) for cell in found.cells}) == len(found.cells)


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("half_width", [0.001, 0.5])
def test_every_sentence_names_its_numbers(name, half_width):
    cells = EXPERIMENTS[name].cells
    summaries = [Summary(c.series, c.x, 3, 0.3 + 0.01 * i, half_width, 1e12 * (i + 1)) for i, c in enumerate(cells)]

    text = EXPERIMENTS[name].sentence(summaries)

    assert text.endswith(".")
    assert f"± {half_width:.1%}" in text


def test_the_data_size_sentence_tells_where_the_lines_cross():
    def summaries(vit, resnet):
        sizes = sorted({cell.x for cell in EXPERIMENTS["data-size"].cells})
        series = {"ViT": vit, "ResNet": resnet, "hybrid": vit}
        return [
            Summary(name, x, 3, m, 0.01, 1e12)
            for name, means in series.items()
            for x, m in zip(sizes, means, strict=True)
        ]

    tell = EXPERIMENTS["data-size"].sentence

    assert "no crossover" in tell(summaries([0.1, 0.2, 0.3, 0.4], [0.2, 0.3, 0.4, 0.5]))
    assert "ahead from 8,000 images on" in tell(summaries([0.1, 0.2, 0.5, 0.6], [0.2, 0.3, 0.4, 0.5]))


def test_the_compute_sentence_compares_the_families_at_the_same_compute():
    def line(series, *points):
        return [Summary(series, i, 3, mean, width, flops) for i, (flops, mean, width) in enumerate(points)]

    text = EXPERIMENTS["compute"].sentence(
        line("ViT", (1e12, 0.1, 0.02), (2e12, 0.31, 0.02))
        + line("hybrid", (1e12, 0.5, 0.02), (2.5e12, 0.5, 0.02))
        + line("ResNet", (1e12, 0.2, 0.02), (4e12, 0.4, 0.04))  # 2e12 is half-way on a logarithmic axis
    )
    assert "With 2.0 teraFLOPs of training: hybrid 50.0% (± 2.0%), ViT 31.0% (± 2.0%), ResNet 30.0% (± 3.0%)" in text
    assert text.endswith("the first two intervals do not touch.")


@pytest.mark.slow
def test_one_from_the_command_line(tmp_path, monkeypatch, capsys):
    small = experiment(options={"model": "ViT-XS_4-CIFAR", "batch_size": 10, "dataset": "shapes"}, name="pooling")
    monkeypatch.setitem(EXPERIMENTS, "pooling", small)
    monkeypatch.setattr(batches, "load_dataset", lambda *_, **__: (shapes("train", 40), shapes("test", 20)))

    assert cli.main(["experiment", "pooling", "--seeds", "2", "--out", str(tmp_path)]) == 0

    said = capsys.readouterr().out
    assert "3 cells" in said
    assert len(json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["records"]) == 6
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "picture.png", "sentence.txt"}
