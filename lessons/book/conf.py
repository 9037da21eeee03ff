"""How Sphinx makes the lessons' site: `make book`.

Mathematics becomes MathML, which browsers draw by themselves, with a font that comes with the site (static/): a page
asks no other machine for anything.
"""

import re

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.errors import ExtensionError

project = "minivit, the lessons"
copyright = "the minivit authors, Apache-2.0"
extensions = ["myst_nb"]
root_doc = "index"
exclude_patterns = ["**.ipynb_checkpoints"]

nb_execution_mode = "off"  # the notebooks were executed when they were built
nb_code_prompt_show = nb_code_prompt_hide = "The solution's code"  # of an exercise, the only cells that are folded
myst_enable_extensions = ["dollarmath", "amsmath"]
suppress_warnings = ["myst.header"]  # a statement's heading may follow a chapter's heading two levels up

html_theme = "furo"
html_title = "minivit: the lessons"
html_static_path = ["static"]
html_css_files = ["lessons.css"]
html_math_renderer = "mathml"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072b2", "color-brand-content": "#0072b2"},
    "dark_css_variables": {"color-brand-primary": "#56b4e9", "color-brand-content": "#56b4e9"},
}

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


def setup(app) -> None:
    """Tell Sphinx who writes formulas."""
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))
