"""Sphinx: the guide, the API, and a gallery that runs offline on MiniLM."""

import os
import re
import sys
import warnings
from pathlib import Path

from sphinx_gallery.scrapers import figure_rst

# Nothing here may ask a network: the gallery runs on the weights that a package brings.
os.environ["HF_HUB_OFFLINE"] = "1"

# For what the gallery finds here by name.
sys.path.insert(0, str(Path(__file__).parent))

import skbert
from skbert.plots import Picture

project = "skbert"
author = "The skbert developers"
copyright = "2026, The skbert developers"
version = release = skbert.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "auto_examples/**/*.ipynb", "auto_examples/*.ipynb"]
html_theme = "pydata_sphinx_theme"
html_title = "skbert"
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 3,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_static_path = ["_static"]
html_css_files = ["skbert.css"]

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
autosummary_generate = True
autodoc_default_options = {"members": True, "inherited-members": False}
# The docstrings give types in words, with shapes and units.
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False


def pictures_of_displays(block, block_vars, gallery_conf):
    """Save what the displays of an example drew in this block; their figures are not pyplot's."""
    shown = block_vars["example_globals"].setdefault("__shown__", set())
    paths = []
    for value in list(block_vars["example_globals"].values()):
        figure = getattr(value, "figure_", None) if isinstance(value, Picture) else None
        if figure is not None and id(figure) not in shown:
            shown.add(id(figure))
            paths.append(next(block_vars["image_path_iterator"]))
            figure.savefig(paths[-1], dpi=100)
    return figure_rst(paths, gallery_conf["src_dir"])


sphinx_gallery_conf = {
    # By name, for Sphinx to remember the configuration.
    "image_scrapers": ("matplotlib", "conf.pictures_of_displays"),
    # Figures have no HTML, and the line that drew them says enough.
    "capture_repr": ("_repr_html_",),
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "plot_",
    "within_subsection_order": "FileNameSortKey",
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_memory": False,
    "abort_on_example_error": True,
    "matplotlib_animations": False,
}


def _leave_out_routing(app, what, name, obj, skip, options):
    """Methods that scikit-learn's metadata routing gives every estimator say nothing of ours."""
    return True if re.fullmatch(r"set_\w+_request|get_metadata_routing", name) else None


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-skip-member", _leave_out_routing)


# Few epochs on few texts may fail to converge, which is a lesson of the gallery and no fault of the build.
warnings.filterwarnings("ignore", message="Fine-tuning failed")
