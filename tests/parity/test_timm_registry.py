"""Over all ViTs in timm's registry: none is misread, most are read, and each other one is refused by name."""

import pytest

pytest.importorskip("torch")
import tests.parity.vision  # noqa: F401  before timm

pytest.importorskip("timm")

from minivit import ViTConfig
from tests.parity.timm_registry import differences, on_meta, table

pytestmark = pytest.mark.parity

RIGHT = 480  # names, of timm 1.0.31


@pytest.fixture(scope="module")
def answers():
    return table(thorough=False)


def test_no_vit_of_timm_is_misread(answers):
    assert answers.wrong() == []


def test_pooling_that_reads_tokens_in_front_counts_as_misread():
    model, _ = on_meta("test_vit3")
    as_its_arrays_look = ViTConfig(dim=96, heads=3, gelu="erf", norm_eps=1e-6, classifier="map", class_token=False)

    assert "pool_include_prefix" in differences(model, as_its_arrays_look)


def test_most_are_read_with_their_config(answers):
    counts = answers.counts(0)

    assert counts["right"] >= RIGHT
    assert set(counts) == {"right", "refused"}
    assert answers.counts(1)["right"] >= 300


def test_the_others_are_refused_in_one_sentence(answers):
    refusals = {answer for pair in answers.answers.values() for answer in pair if answer != "right"}

    assert [answer for answer in refusals if len(answer) > 200 or "is unknown" in answer or "\n" in answer] == []
