"""Sphinx configuration of the documentation site: make docs.

The source is the root of the repository, so that links between pages are the same here and on a code host.
Nothing is loaded from a network when the site is open: themes and scripts are copied into it, and no page has
formulas that need MathJax.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import phasepipe

ROOT = Path(__file__).parents[2]

project = "phasepipe"
author = "the phasepipe authors"
version = release = phasepipe.__version__
root_doc = "docs/site/contents"
extensions = [
    "myst_nb",
    "sphinx.ext.apidoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "benchmarks/*.md",
    "config/README.md",
    "docs/*.md",
    "docs/**/*.md",
    "docs/**/*.ipynb",
    "docs/site/*.rst",
    "docs/site/modules/*.rst",
]
exclude_patterns = ["docs/site/modules/modules.rst"]
nitpicky = True  # a name of the package that does not exist is a warning, and warnings are errors
nitpick_ignore_regex = [("py:.*", r"(?!phasepipe\.).*")]
suppress_warnings = [
    "ref.python",  # short names of attributes, such as time, exist in several classes
    "ref.term",  # glossary of NumPy, in the docstrings of its functions
]

# Markdown as on a code host: headings down to the fourth are link targets, alerts and tables work
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
myst_all_links_external = False
nb_execution_mode = "off"  # notebooks are stored with their outputs, and the tests run them
nb_merge_streams = True

# one page for each module, written before the build
apidoc_modules = [
    {
        "path": str(ROOT / "phasepipe"),
        "destination": "docs/site/modules",
        "exclude_patterns": [str(ROOT / "phasepipe/physics/torch_arrays.py")]
        if importlib.util.find_spec("torch") is None
        else [],
        "separate_modules": True,
        "module_first": True,
        "automodule_options": {"members", "undoc-members"},
    }
]
autodoc_default_options = {"ignore-module-all": True}  # a name has one page, that of its module
autodoc_mock_imports = ["torch"]  # the docstrings of its own functions are not ours
autodoc_typehints = "none"  # signatures stay readable; docstrings give shapes and units
autodoc_member_order = "bysource"
autosummary_generate = False  # the pages of the modules have everything
napoleon_numpy_docstring = True
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"phasepipe {release}"
html_show_sphinx = False
html_copy_source = False
html_extra_path = ["root"]  # a page that leads to docs/index.html
