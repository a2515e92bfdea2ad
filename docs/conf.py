"""Settings of the documentation; `make docs` builds it."""

import hashlib
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "tools"))

import inline_svg  # noqa: E402
import inputopt  # noqa: E402
import package_picture  # noqa: E402
import picture_figures  # noqa: E402
import plain_docstrings  # noqa: E402
import story_figures  # noqa: E402
from sphinx.domains.python import PyObject  # noqa: E402

project = "inputopt"
author = "inputopt developers"
project_copyright = "inputopt developers"
release = version = inputopt.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["made", "tools"]
suppress_warnings = ["config.cache"]

html_theme = "furo"
html_title = f"inputopt {release}"
html_static_path = ["static"]
html_css_files = ["pages.css"]
html_copy_source = False
html_theme_options = {"navigation_with_keys": True, "top_of_page_buttons": []}
pygments_style = "default"
pygments_dark_style = "github-dark"

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

autosummary_generate = False
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 100
python_use_unqualified_type_names = True
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_use_admonition_for_examples = False

sphinx_gallery_conf = {
    "examples_dirs": ["../demos"],
    "gallery_dirs": ["gallery"],
    "within_subsection_order": "FileNameSortKey",
    "filename_pattern": r"/\d\d_",
    "image_scrapers": ("gallery_hooks.scrape",),
    "reset_argv": "gallery_hooks.arguments",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_signature": False,
    "write_computation_times": False,
    "min_reported_time": 1_000_000,  # seconds differ from build to build
}


def draw(app):
    """Compute the figures, unless they were drawn by this very code."""
    made = HERE / "made"
    package = Path(inputopt.__file__).parent
    sources = sorted([*HERE.glob("tools/*.py"), *package.rglob("*.py")])
    code = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    finished = made / "finished"
    if finished.exists() and finished.read_text(encoding="utf-8") == code:
        return
    for tool in (package_picture, picture_figures, story_figures):
        tool.make(made)
    finished.write_text(code, encoding="utf-8")


def link_to_gallery(app, docname, source):
    """Replace links to the code of demos, for pages that are read unbuilt."""
    source[0] = re.sub(r"\(\.\./demos/(\w+)\.py\)", r"(gallery/\1.rst)", source[0])
    source[0] = source[0].replace("(../demos)", "(gallery/index.rst)")


def setup(app):
    """Connect the tools."""
    app.connect("source-read", link_to_gallery)
    # the package's docstrings say "Attributes:", Sphinx would say "Variables"
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"
    app.add_directive("chart", inline_svg.Chart)
    app.connect("builder-inited", draw)
    # with a priority that puts it before napoleon
    app.connect("autodoc-process-docstring", plain_docstrings.process, priority=100)
