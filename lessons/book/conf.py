"""How Sphinx makes the lessons' site: `make book`.

Mathematics becomes MathML, which browsers draw by themselves, with a font that comes with the site (static/): a page
asks no other machine for anything.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # mathml.py

project = "minivit, the lessons"
copyright = "the minivit authors, Apache-2.0"
extensions = ["myst_nb", "mathml"]
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
