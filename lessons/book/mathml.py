"""A Sphinx extension: formulas become MathML, which browsers draw by themselves.

The font for them comes with the site (static/minivit-math.woff2): a page asks no other machine for anything.
"""

import re

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.errors import ExtensionError

# LaTeX that Jupyter knows and docutils does not.
SPELLINGS = {
    r"\\dots\b": r"\\ldots",
    r"\\tag\{(\w+)\}": r"\\qquad (\1)",  # an equation's number
    r"\\(?:big|Big|bigg|Bigg)[lrm]?(?![a-z])": "",  # brackets grow by themselves
    r"\\[td]frac\b": r"\\frac",
    r"\\[td]?frac(\d)(\d)": r"\\frac{\1}{\2}",
}


def to_mathml(latex: str, as_block: bool) -> str:
    """A formula as MathML."""
    for known, plain in SPELLINGS.items():
        latex = re.sub(known, plain, latex)
    try:
        return latex2mathml.tex2mathml(latex, as_block=as_block)
    except MathError as error:
        raise ExtensionError(f"formula error: {latex!r}: {error}") from None


def inline_math(translator, node) -> None:
    """Write a formula inside a line of text."""
    translator.body.append(to_mathml(node.astext(), as_block=False))
    raise nodes.SkipNode


def block_math(translator, node) -> None:
    """Write a formula in its own paragraph."""
    translator.body.append(f'<div class="math">{to_mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app) -> dict[str, bool]:
    """Tell Sphinx who writes formulas."""
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
