"""How the handbook is built, by `make docs`: from what is here alone. The pages load nothing from elsewhere."""

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("COLUMNS", "92")  # the help of commands is wrapped by the width of the terminal

project = "ancestral"
author = "the authors of ancestral"
html_title = "ancestral"

extensions = [
    "myst_parser",
    "sphinx_design",
    "sphinx.ext.autodoc",
    "matplotlib.sphinxext.plot_directive",
    "building.mathml",
    "building.notebooks",
    "building.accessible",
    "building.diagrams",
    "building.docstrings",
    "building.plots",
    "building.terminal",
]
exclude_patterns = ["_build", "README.md"]

myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["myst.strikethrough"]

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["handbook.css"]
html_js_files = ["handbook.js"]
html_copy_source = False
html_show_copyright = False
html_math_renderer = "mathml"
html_theme_options = {"navigation_with_keys": True}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
add_module_names = False

plot_include_source = True
plot_html_show_source_link = False
plot_html_show_formats = False
plot_formats = [("png", 160)]
plot_pre_code = ""
plot_working_directory = tempfile.mkdtemp(prefix="handbook-")  # trainings write their run folders there
plot_rcparams = {
    "figure.figsize": (6.4, 3.2),
    "axes.prop_cycle": "cycler('color', ['#0072B2', '#D55E00', '#009E73', '#CC79A7', '#56B4E9', '#E69F00', '#1f2328'])",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 10,
}
plot_apply_rcparams = True
