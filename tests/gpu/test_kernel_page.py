"""docs/gpu-kernel.md quotes the source as it is, and what it says of the kernel's numbers is true."""

import re
from pathlib import Path

import numpy as np
import pytest

from minivit.backend.arrays import to_numpy
from minivit.backend.gpu.kernels import KERNELS, SOURCE
from minivit.engine import fused
from tests.gpu import strict_cupy

PAGE = (Path(__file__).parents[2] / "docs" / "gpu-kernel.md").read_text(encoding="utf-8")
FILES = {"python": Path(fused.__file__), "cuda": SOURCE}
QUOTED = re.findall(r"^```(python|cuda)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_each_quoted_line_is_the_files_own():
    assert [language for language, _ in QUOTED] == ["python", "cuda", "cuda", "cuda"]
    for language, quoted in QUOTED:
        source = FILES[language].read_text(encoding="utf-8")
        assert f"\n{quoted}" in source, (
            f"docs/gpu-kernel.md quotes what {FILES[language].name} no longer says:\n{quoted}"
        )


def test_the_page_shows_a_whole_kernel_its_whole_twin_and_what_both_are_called():
    (_, twin), (_, kernel), (_, loops), (_, sum_of_lanes) = QUOTED
    assert re.search(r"^def (\w+)", twin, re.MULTILINE)[1] == "softmax_backward_in_place" in KERNELS
    assert "__global__ void softmax_backward_in_place(" in kernel and kernel.endswith("\n}\n")
    assert {"EACH_ROW", "EACH_OF_ROW"} <= set(re.findall(r"#define (\w+)", loops))
    assert "T sum_of_lanes(T x)" in sum_of_lanes
    for language, text in ((FILES["python"], twin), (SOURCE, sum_of_lanes)):
        after = language.read_text(encoding="utf-8").partition(text)[2]
        assert after[0] == "\n", "the quotation ends in the middle of a function"


def test_the_formula_is_the_softmaxs_gradient():
    """By its Jacobian, diag(y) - y yᵀ, which the page derives it from."""
    rng = np.random.default_rng(0)
    x, dy, s = rng.standard_normal(7), rng.standard_normal(7), 0.3
    y = np.exp(s * x) / np.exp(s * x).sum()
    wanted = s * (np.diag(y) - np.outer(y, y)) @ dy
    np.testing.assert_allclose(s * y * (dy - (dy * y).sum()), wanted, rtol=1e-12)

    with strict_cupy.installed() as cupy:
        there, other = cupy.asarray(dy[None]), cupy.asarray(y[None])
        fused.softmax_backward_in_place(there, other, s, there)
        np.testing.assert_allclose(to_numpy(there)[0], wanted, rtol=1e-12)


@pytest.mark.parametrize("lanes", [4, 32])
def test_exchanges_give_each_lane_the_sum_of_all(lanes):
    """As the page's table does for four: add the value of the lane whose number differs in one bit."""
    shares = 2.0 ** np.arange(lanes)
    distance = lanes // 2
    while distance:
        shares = shares + shares[np.arange(lanes) ^ distance]
        distance //= 2
    assert (shares == 2.0**lanes - 1).all()
