"""The prediction of a step on many devices, held against a simulated ring, known counts and its own limits."""

import json

import pytest

from minivit.bench.plan import Devices, fits, measured_flops, plan, plan_table, rate_model, ring_seconds
from minivit.cli import main
from minivit.errors import ConfigError

H100ISH = Devices(flops=2e14, bandwidth=5e10, latency=5e-6)


def simulated_ring(size, count, devices):
    """Each device passes on the chunk that it got last: K - 1 rounds to add up, K - 1 to hand round; all at once."""
    have = [{device: {device} for device in range(count)} for _ in range(count)]  # [device][chunk]: whose parts are in
    clock = 0.0
    for turn in range(2 * (count - 1)):
        sent = []
        for device in range(count):
            chunk = (device - turn) % count
            sent.append(((device + 1) % count, chunk, set(have[device].get(chunk, {device}))))
        for receiver, chunk, parts in sent:
            own = have[receiver].get(chunk, {receiver})
            have[receiver][chunk] = parts if turn >= count - 1 else own | parts | {receiver}
        clock += size / count / devices.bandwidth + devices.latency
    assert all(len(parts) == count for device in have for parts in device.values() if len(parts) > 1)
    return clock


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_the_ring_takes_as_long_as_a_simulated_one(count):
    assert ring_seconds(10**9, count, H100ISH) == pytest.approx(simulated_ring(10**9, count, H100ISH))


def test_one_device_computes_alone():
    alone = plan("ViT-B_16", 64, 1, H100ISH)
    assert alone.exchange == alone.hidden == 0 and alone.efficiency == 1
    # 17.6 G multiplications forward (of which the last block needs fewer), and three times that for a step
    assert alone.compute == pytest.approx(3 * 2 * 17.6e9 * 64 / 2e14, rel=0.08)
    assert alone.images_per_second == pytest.approx(64 / alone.compute)


def test_efficiency_falls_with_devices_and_rises_with_the_link():
    plans = [plan("ViT-B_16", 4096, count, H100ISH, microbatch=64) for count in (1, 8, 64, 512)]
    assert [p.efficiency for p in plans] == sorted((p.efficiency for p in plans), reverse=True)
    slow, fast = (plan("ViT-B_16", 4096, 8, Devices(2e14, link, 5e-6), 64) for link in (1e9, 1e12))
    assert slow.efficiency < plans[1].efficiency < fast.efficiency <= 1
    assert all(0 <= p.hidden <= p.exchange for p in plans)


def test_only_the_last_micro_batch_hides_the_exchange():
    one, many = (plan("ViT-B_16", 1024, 2, Devices(2e14, 1e9, 0.0), size) for size in (512, 32))
    assert one.hidden == pytest.approx(min(2 / 3 * one.compute, one.exchange), rel=0.02)
    assert many.hidden == pytest.approx(2 / 3 * many.compute / 16)


def test_memory_is_four_arrays_and_the_tapes():
    small, large = (plan("ViT-B_16", 64, 1, H100ISH, size).memory for size in (1, 2))
    kept = large - small
    assert small - kept == pytest.approx(4 * 4 * 86.57e6, rel=1e-3)
    assert 30e6 < kept < 200e6
    threads = plan("ViT-B_16", 64, 1, Devices(2e11, 1e9, 0.0, workers=2), 1).memory
    assert threads - small == kept


def test_what_fits():
    images = fits("ViT-B_16", H100ISH, 80e9)
    assert plan("ViT-B_16", images, 1, H100ISH, images).memory <= 80e9
    assert plan("ViT-B_16", images + 1, 1, H100ISH, images + 1).memory > 80e9
    assert fits("ViT-H_14", H100ISH, 8e9) == 0


@pytest.mark.parametrize(
    ("batch_size", "count", "devices"),
    [(10, 3, H100ISH), (10, 0, H100ISH), (10, 1, Devices(0.0, 1.0, 0.0)), (10, 1, Devices(1.0, 1.0, -1.0))],
)
def test_what_cannot_be_is_refused(batch_size, count, devices):
    with pytest.raises(ConfigError):
        plan("ViT-Ti_4-CIFAR", batch_size, count, devices)


@pytest.mark.parametrize(
    ("devices", "problem"),
    [
        (Devices(0.0, 1.0, 0.0), "flops must be above 0, not 0"),
        (Devices(1.0, -1.0, 0.0), "bandwidth must be above 0, not -1"),
        (Devices(1.0, 1.0, -1.0), "latency must be 0 or more, not -1"),
        (Devices(1.0, 1.0, 0.0, workers=0), "workers must be above 0, not 0"),
    ],
)
def test_the_rate_that_cannot_be_is_named(devices, problem):
    with pytest.raises(ConfigError, match=f"^{problem}$"):
        plan("ViT-Ti_4-CIFAR", 10, 1, devices)


def test_the_command_writes_what_it_would_print_as_json(tmp_path, capsys):
    words = ["bench", "ViT-XS_4-CIFAR", "--plan", "1,2", "--rate", "1", "--memory", "8"]
    assert main([*words, "--json", "--out", str(tmp_path / "new" / "plan.json")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert json.loads((tmp_path / "new" / "plan.json").read_text(encoding="utf-8")) == printed
    assert len(printed["plans"]) == 2 and printed["images_that_fit"]
    assert main([*words, "--out", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and f"{tmp_path} cannot be written: " in said.err


def test_the_command_prints_a_row_for_each_and_what_fits(capsys):
    rates = ["--batch-size", "512", "--rate", "200", "--link", "50", "--memory", "80"]
    assert main(["bench", "--plan", "1,8", "ViT-B_16", "ViT-H_14", *rates]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["float32; link 50 GB/s each way, latency 20 us", "ViT-B_16 on one device: 200 TFLOP/s"]
    table = lines[3:8]
    assert [line.split()[0] for line in table[1:]] == ["ViT-B_16", "ViT-B_16", "ViT-H_14", "ViT-H_14"]
    assert len({len(line) for line in table}) == 1
    assert lines[8].startswith("ViT-B_16: ") and lines[8].endswith("images at a time fit 80 GB")


def test_a_list_that_is_none_is_refused(capsys):
    assert main(["bench", "--plan", "two"]) == 2
    assert "--plan takes integers separated by commas" in capsys.readouterr().err


def test_the_measured_rate_is_one_that_a_processor_can_have():
    assert rate_model("ViT-XS_4-CIFAR") == "ViT-XS_4-CIFAR" and rate_model("ViT-H_14") == "ViT-Ti_4-CIFAR"
    assert 1e9 < measured_flops("ViT-XS_4-CIFAR", 1, seconds=0.2) < 1e13


def test_the_table_has_its_columns():
    header, row = plan_table([plan("ViT-Ti_4-CIFAR", 128, 2, H100ISH)]).splitlines()
    assert header.split()[:3] == ["model", "batch", "devices"] and len(header) == len(row)
