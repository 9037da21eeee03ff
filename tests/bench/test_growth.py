"""How cost grows: each axis changes one thing, theory follows the sizes, and the results are written."""

import json
import sys
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from minivit.bench import growth
from minivit.bench.profile import step_flops
from minivit.cli import main
from minivit.models import create_model
from minivit.models.cost import costs, unread_flops


@pytest.mark.parametrize("axis", growth.AXES)
def test_an_axis_changes_what_it_names(axis, monkeypatch):
    monkeypatch.setattr(growth, "available_cores", lambda: 4)
    found = {
        "batch": lambda job: job.batch_size,
        "tokens": lambda job: job.build_config().num_patches,
        "depth": lambda job: job.build_config().depth,
        "width": lambda job: job.build_config().dim,
        "workers": lambda job: job.workers,
    }
    planned = growth.jobs(axis)
    assert [value for value, _ in planned] == [v for v in growth.AXES[axis] if axis != "workers" or v <= 4]
    for value, job in planned:
        assert found[axis](job) == value
    for other in set(found) - {axis}:
        assert len({found[other](job) for _, job in planned}) == 1


class SteadyContender:
    """Takes a second for each block and image, whatever else."""

    def __init__(self, library, job):
        self.job = job

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def run(self, steps):
        return steps * float(self.job.build_config().depth)

    def peak_memory(self):
        return 2**20 * self.job.build_config().depth


def test_measurements_stand_beside_theory(monkeypatch):
    monkeypatch.setattr(growth, "Contender", SteadyContender)
    points = growth.measure_growth("depth", rounds=2)

    assert [(p.value, p.seconds) for p in points] == [(v, float(v)) for v in growth.AXES["depth"]]
    assert points[-1].theory_seconds == pytest.approx(points[-1].seconds)  # theory is scaled to the largest
    by_depth = [step_flops(job.build(), "train") for _, job in growth.jobs("depth")]
    assert points[0].theory_seconds / points[-1].theory_seconds == pytest.approx(by_depth[0] / by_depth[-1])
    assert all(a.theory_memory < b.theory_memory for a, b in pairwise(points))
    assert "depth        16" in growth.growth_table(points)


def test_the_command_writes_table_and_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(growth, "Contender", SteadyContender)
    monkeypatch.setattr(growth, "AXES", {"depth": (1, 2), "workers": (1,)})
    assert main(["bench", "--growth", str(tmp_path / "out"), "--rounds", "1"]) == 0
    assert "peak memory" in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "growth.json").read_text(encoding="utf-8"))
    assert [p["value"] for p in report["points"]] == [1, 2, 1]
    with Image.open(tmp_path / "out" / "growth.png") as picture:
        assert np.asarray(picture).std() > 1


def test_the_figure_is_written_in_the_named_formats(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(growth, "Contender", SteadyContender)
    monkeypatch.setattr(growth, "AXES", {"depth": (1, 2)})
    assert main(["bench", "--growth", str(tmp_path), "--rounds", "1", "--format", "svg,pdf"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"growth.json", "growth.svg", "growth.pdf"}
    assert f"{tmp_path / 'growth.svg'}, {tmp_path / 'growth.pdf'}" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["ViT-XS_4-CIFAR", "ViT-Ti_4-CIFAR"])
def test_the_flops_that_are_left_out_are_those_of_the_other_tokens(name, monkeypatch):
    """Counted again by watching every matrix product of a forward pass."""
    model = create_model(name)
    images = np.zeros((1, 32, 32, 3), np.float32)

    def counted():
        total = 0
        from minivit.engine import fused

        linear, attention_with_weights = fused.linear, fused.attention_with_weights

        def count_linear(x, weight, bias=None, plus=None):
            nonlocal total
            out = linear(x, weight, bias, plus)
            total += 2 * x.shape[-1] * out.size
            return out

        def count_attention(qkv, heads, queries=None):
            nonlocal total
            out, weights = attention_with_weights(qkv, heads, queries)
            total += 2 * 2 * weights.size * (out.shape[-1] // heads)
            return out

        engine = sys.modules["minivit.engine"]
        with monkeypatch.context() as patch:
            patch.setattr(engine, "linear", count_linear)
            patch.setattr(engine, "attention", count_attention)
            model(images)
        return total

    assert counted() == costs(model)[-1].flops - unread_flops(model)
    model.skip_unused = False
    assert counted() == costs(model)[-1].flops
    assert unread_flops(model) == 0
