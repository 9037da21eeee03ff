"""How Sphinx makes the site: `make site`. The lessons' own book has lessons/book/conf.py."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
BOOK = HERE.parent / "lessons" / "book"
sys.path[:0] = [str(BOOK), str(HERE.parent)]  # mathml.py, website

project = "minivit"
copyright = "the minivit authors, Apache-2.0"
extensions = [
    "myst_nb", "mathml", "sphinx.ext.autodoc", "website.docstrings", "sphinx.ext.napoleon", "sphinx.ext.viewcode",
    "website.landing",
]  # fmt: skip
root_doc = "index"
templates_path = ["templates"]
exclude_patterns = ["**.ipynb_checkpoints"]

nb_execution_mode = "off"  # the notebooks were executed when they were built
nb_code_prompt_show = nb_code_prompt_hide = "The solution's code"  # of an exercise, the only cells that are folded
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # a statement's heading may follow a chapter's heading two levels up

autodoc_member_order = "bysource"
napoleon_use_ivar = True
napoleon_use_rtype = False
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = True

html_theme = "furo"
html_title = "minivit"
html_static_path = [str(BOOK / "static"), str(HERE / "static")]
html_css_files = ["lessons.css", "site.css", "beside.css"]
html_js_files = ["site.js"]
html_math_renderer = "mathml"
html_show_sourcelink = False
html_copy_source = False
html_use_index = True
html_domain_indices = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072b2", "color-brand-content": "#0072b2"},
    "dark_css_variables": {"color-brand-primary": "#56b4e9", "color-brand-content": "#56b4e9"},
    "top_of_page_buttons": [],
}
