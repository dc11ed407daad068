"""Sphinx configuration: `make docs`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import django

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

# The pages show what the code has, not what this shell has set.
for name in [name for name in os.environ if name.startswith(("OUTBOX_", "CIRCUITS_", "KAFKA_"))]:
    del os.environ[name]
os.environ.update(DEBUG="true", DJANGO_SETTINGS_MODULE="somabrain.settings")
django.setup()

import outbox  # noqa: E402  needs Django's settings

project = "somabrain-outbox"
author = "the somabrain maintainers"
project_copyright = author
release = version = outbox.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "docs._ext.docstrings", "docs._ext.generated"]
exclude_patterns = ["_ext"]
nitpicky = False

# Docstrings are written for whoever reads the source: one backtick marks code.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
add_module_names = False

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"somabrain-outbox {release}"
html_theme_options = {"navigation_with_keys": True}
html_copy_source = False
html_show_sphinx = False
