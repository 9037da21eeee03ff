"""Mixup and CutMix: what is in the images is what is in the targets."""

import numpy as np
import pytest

from minivit.data import Dataset, Loader, cutmix, mixing, mixup
from minivit.engine import Tensor, cross_entropy
from minivit.errors import ConfigError
from minivit.training.objectives import count_correct

CLASSES = 10


def plain_batch(count=12, height=8, width=6, seed=0):
    """Each image is filled with its own label, so that its mean says what it is made of."""
    labels = np.random.default_rng(seed).permutation(np.arange(count) % CLASSES)
    images = np.empty((count, height, width, 3), np.float32)
    images[:] = labels.reshape(-1, 1, 1, 1)
    return images, labels


@pytest.mark.parametrize("mix", [mixup(0.4, CLASSES), cutmix(1.0, CLASSES), mixing(0.8, 1.0, CLASSES)])
def test_targets_are_the_shares_of_what_an_image_is_made_of(mix):
    images, labels = plain_batch()
    for seed in range(30):
        mixed, targets = mix(images, labels, np.random.default_rng(seed))
        assert (mixed.shape, mixed.dtype) == (images.shape, np.float32)
        assert (targets.shape, targets.dtype) == ((12, CLASSES), np.float32)
        assert (targets >= 0).all()
        assert targets.sum(axis=1) == pytest.approx(np.ones(12), abs=1e-6)
        assert mixed.mean(axis=(1, 2, 3)) == pytest.approx(targets @ np.arange(CLASSES), abs=1e-5)


def shares_of_the_first(mix, count):
    """Of many batches of two images: the share of itself in the first, where it was not its own partner."""
    images, labels = np.zeros((2, 20, 20, 1), np.float32), np.array([0, 1])
    images[1] = 1
    shares = []
    for seed in range(count):
        mixed, targets = mix(images, labels, np.random.default_rng(seed))
        if targets[0, 1]:
            shares.append(float(targets[0, 0]))
            assert mixed[0].mean() == pytest.approx(targets[0, 1], abs=1e-5)
    return np.array(shares)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixups_share_is_from_a_beta_distribution(alpha):
    shares = shares_of_the_first(mixup(alpha, 2), 3000)
    assert len(shares) == pytest.approx(1500, abs=150)  # the other half are paired with themselves
    assert shares.mean() == pytest.approx(0.5, abs=0.05)
    assert shares.var() == pytest.approx(1 / (8 * alpha + 4), rel=0.15)


def test_mixup_fades_every_pixel_by_the_same_share():
    rng = np.random.default_rng(0)
    images, labels = rng.uniform(-1, 1, (5, 4, 4, 3)).astype(np.float32), np.arange(5)
    mixed, targets = mixup(1.0, 5)(images, labels, np.random.default_rng(1))
    share = np.unique(targets[targets > 0].round(5))
    assert len(share) <= 3  # one lambda for the whole batch, its counterpart, and 1 where one is its own partner
    for i in range(5):
        expected = sum(targets[i, k] * images[k].astype(float) for k in range(5))
        assert np.abs(mixed[i] - expected).max() < 1e-6


def test_cutmix_pastes_one_box_at_the_same_place_of_all_images():
    images, labels = plain_batch(8, 20, 30)
    sizes, places = set(), set()
    for seed in range(200):
        mixed, _ = cutmix(1.0, CLASSES)(images, labels, np.random.default_rng(seed))
        changed = (mixed != images).any(axis=-1)  # (B, H, W)
        changed = changed[changed.any(axis=(1, 2))]
        if len(changed):
            assert (changed == changed[0]).all()
            rows, columns = np.flatnonzero(changed[0].any(axis=1)), np.flatnonzero(changed[0].any(axis=0))
            assert changed[0].sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)  # a full box
            sizes.add((np.ptp(rows) + 1, np.ptp(columns) + 1))
            places.add((rows[0], columns[0]))
            if rows[0] > 0 and rows[-1] < 19 and columns[0] > 0 and columns[-1] < 29:  # not cut off
                assert abs((np.ptp(columns) + 1) / 30 - (np.ptp(rows) + 1) / 20) <= 1 / 30 + 1 / 20  # a pixel each
    assert len(sizes) > 50 and len(places) > 50


def test_cutmixs_area_is_uniform_before_it_is_cut_off(monkeypatch):
    """With the box in the middle nothing is cut off, and alpha 1 makes every area equally likely."""

    class Middle(np.random.Generator):
        def random(self, *arguments, **options):
            return np.full(2, 0.5)

    images, labels = np.zeros((2, 40, 40, 1), np.float32), np.array([0, 1])
    shares = []
    for seed in range(2000):
        _, targets = cutmix(1.0, 2)(images, labels, Middle(np.random.PCG64(seed)))
        if targets[0, 1] or targets[0, 0] < 1:
            shares.append(targets[0, 0])
    counts, _ = np.histogram(shares, bins=5, range=(0, 1))
    assert np.abs(counts - len(shares) / 5).max() < 5 * np.sqrt(len(shares) / 5)


@pytest.mark.parametrize("make", [mixup, cutmix])
def test_images_of_one_class_keep_their_label(make):
    images, _ = plain_batch(4)
    _, targets = make(1.0, CLASSES)(images, np.full(4, 3), np.random.default_rng(0))
    assert targets == pytest.approx(np.eye(CLASSES)[np.full(4, 3)], abs=1e-6)


def test_with_both_either_is_as_likely():
    images, labels = plain_batch(8, 20, 20)
    kinds = []
    for seed in range(400):
        mixed, _ = mixing(1.0, 1.0, CLASSES)(images, labels, np.random.default_rng(seed))
        kinds.append(bool(np.isin(mixed, np.arange(CLASSES)).all()))  # CutMix makes no new values
    assert 0.43 < np.mean(kinds) < 0.57


def test_one_alone_is_that_one_and_none_is_none():
    images, labels = plain_batch()
    for alone, expected in (
        (mixing(0.4, 0, CLASSES), mixup(0.4, CLASSES)),
        (mixing(0, 1, CLASSES), cutmix(1, CLASSES)),
    ):
        assert alone is not None
        for one, other in zip(
            alone(images, labels, np.random.default_rng(0)),
            expected(images, labels, np.random.default_rng(0)),
            strict=True,
        ):
            assert np.array_equal(one, other)
    assert mixing(0, 0, CLASSES) is None


@pytest.mark.parametrize("mix", [mixup(0.4, CLASSES), cutmix(1.0, CLASSES)])
def test_the_input_is_left_alone_and_the_result_is_a_function_of_the_generator(mix):
    images, labels = plain_batch()
    before = images.copy(), labels.copy()
    one, same, other = (mix(images, labels, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(images, before[0]) and np.array_equal(labels, before[1])
    assert not np.shares_memory(one[0], images)
    assert one[0].tobytes() == same[0].tobytes() and one[1].tobytes() == same[1].tobytes()
    assert one[1].tobytes() != other[1].tobytes()


@pytest.mark.parametrize("make", [mixup, cutmix])
@pytest.mark.parametrize("alpha", [0, -1, float("nan"), float("inf")])
def test_an_alpha_that_makes_no_sense_is_refused(make, alpha):
    with pytest.raises(ConfigError, match=f"alpha of {make.__name__} must be above 0"):
        make(alpha, CLASSES)


# -- in batches and in training -------------------------------------------------------------------------


def test_the_loader_mixes_each_batch_by_its_step():
    rng = np.random.default_rng(0)
    dataset = Dataset(
        "random", rng.integers(0, 256, (37, 8, 8, 3), dtype=np.uint8), rng.integers(0, 3, 37), ("a", "b", "c")
    )
    loader = Loader(dataset, 10, seed=3, mix=mixing(1.0, 1.0, 3))
    undisturbed = list(loader.batches(0, 8))
    for one, other in zip(undisturbed[5:], loader.batches(5, 8), strict=True):
        assert one.images.tobytes() == other.images.tobytes()
        assert one.labels.tobytes() == other.labels.tobytes()
    assert len({batch.labels.max(axis=1).min() for batch in undisturbed}) > 4  # a lambda of its own each
    for plain, mixed in zip(Loader(dataset, 10, seed=3).batches(0, 4), undisturbed, strict=False):
        assert mixed.labels.shape == (len(plain.labels), 3)
        assert (mixed.labels[np.arange(len(plain.labels)), plain.labels] > 0).all()


def test_an_answer_counts_against_the_larger_share():
    logits = np.array([[3.0, 1, 2], [0, 5, 1], [0, 1, 2]])
    targets = np.array([[0.6, 0, 0.4], [0.7, 0.3, 0], [0, 0, 1]])
    assert count_correct(logits, targets) == 2
    assert count_correct(logits, np.array([0, 0, 2])) == 2


def test_cross_entropy_of_shares_is_the_mean_of_both_labels():
    logits = np.random.default_rng(0).standard_normal((4, 3))
    first, second, share = np.array([0, 1, 2, 0]), np.array([2, 1, 0, 1]), 0.3
    targets = share * np.eye(3)[first] + (1 - share) * np.eye(3)[second]
    expected = sum(s * cross_entropy(Tensor(logits), c, 0.1).item() for s, c in ((share, first), (1 - share, second)))
    assert cross_entropy(Tensor(logits), targets, 0.1).item() == pytest.approx(expected)


def test_a_loader_mixes_the_batches_before_a_step_alone():
    rng = np.random.default_rng(0)
    dataset = Dataset("ten", rng.integers(0, 256, (10, 4, 4, 3), np.uint8), np.arange(10) % 2, ("a", "b"))
    mix = mixup(1.0, 2)
    plain, mixed, until = (
        list(Loader(dataset, 5, seed=1, **options).batches(stop=4))
        for options in ({}, {"mix": mix}, {"mix": mix, "mix_until": 3})
    )
    for found, expected in zip(until, mixed[:3] + plain[3:], strict=True):
        np.testing.assert_array_equal(found.images, expected.images)
        np.testing.assert_array_equal(found.labels, expected.labels)
    assert [batch.labels.ndim for batch in until] == [2, 2, 2, 1]
    for wrong in (-1, 0.93, "93%", float("nan")):
        with pytest.raises(ConfigError, match="the number of steps that are mixed must be an integer"):
            Loader(dataset, 5, seed=1, mix=mix, mix_until=wrong)
