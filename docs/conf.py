"""The website, by Sphinx. Build it from the repository's root, with the extra [docs] installed:

    sphinx-build -n -W --keep-going -c docs . build/site

Notebooks are shown with the outputs that are stored in them; nothing is run. No page asks another host for anything.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

ROOT = Path(__file__).resolve().parents[1]

# Where links to files go that are no pages, such as modules. Whoever publishes sets it (the workflow does).
# Without it they go to a host that cannot exist, since this project has no public address yet.
REPOSITORY = os.environ.get("REPOSITORY_URL", "https://repository.invalid/bavt-minimal").rstrip("/")

project = "bavt_minimal"
author = "The bavt_minimal authors"
extensions = ["sphinx.ext.autodoc", "myst_nb"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "notebooks/*.md", "notebooks/*.ipynb"]
exclude_patterns = [".venv", "build"]
nitpick_ignore_regex = [("py:.*", r"(?!bavt_minimal\.).*|.*\.Item")]  # the types of other libraries, a type variable
suppress_warnings = ["ref.python"]  # two modules have a class State

# Markdown and notebooks
nb_execution_mode = "off"
nb_merge_streams = True
nb_ipywidgets_js: dict[str, dict[str, str]] = {}
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
myst_update_mathjax = False

# Docstrings are written for reading in an editor: a single backtick is code.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_type_aliases = {name: name for name in ("ArrayLike", "Critic", "Events", "Plan", "Selection", "Table", "Tool")}
autodoc_default_options = {"members": True, "show-inheritance": True}
python_use_unqualified_type_names = True

# The look
html_theme = "furo"
html_title = "bavt_minimal"
html_favicon = "static/icon.svg"
html_static_path = ["static"]
html_css_files, html_js_files = ["site.css"], ["site.js"]
html_extra_path = ["root"]
html_copy_source = html_show_sourcelink = html_show_copyright = False
html_math_renderer = "mathml"
pygments_style, pygments_dark_style = "a11y-high-contrast-light", "a11y-high-contrast-dark"

FIGURE = "*The figure: "


def prepare(app: Sphinx, name: str, source: list[str]) -> None:
    """In a notebook: a line instead of each widget, and figures' descriptions as their alternative texts."""
    if app.env.doc2path(name).suffix != ".ipynb":
        return
    book = json.loads(source[0])
    book["metadata"].pop("widgets", None)
    for cell, after in zip(book["cells"], [*book["cells"][1:], {"source": ""}], strict=True):
        for output in cell.get("outputs", ()):
            if "application/vnd.jupyter.widget-view+json" in output.get("data", {}):
                output["data"] = {
                    "text/plain": "A widget. It moves in a running notebook; the next figure is one view of it."
                }
        said = "".join(after["source"])
        if cell["cell_type"] == "code" and said.startswith(FIGURE):
            first = re.split(r"(?<=[.])\s", said.removeprefix(FIGURE), maxsplit=1)[0].strip("*")
            cell["metadata"]["mystnb"] = {"image": {"alt": first[:1].upper() + first[1:]}}
    source[0] = json.dumps(book)


class Outside(SphinxTransform):
    """Links to files of the repository that are no pages go to its web address; pictures elsewhere become words."""

    default_priority = 5

    def apply(self, **options: Any) -> None:
        folder = posixpath.dirname(self.env.docname)
        for node in [
            *self.document.findall(addnodes.download_reference),
            *self.document.findall(addnodes.pending_xref),
        ]:
            path = posixpath.normpath(posixpath.join(folder, node["reftarget"].split("#")[0]))
            if node.get("refdomain") == "py" or not (ROOT / path).exists() or path.endswith((".md", ".ipynb")):
                continue
            kind = "tree" if (ROOT / path).is_dir() else "blob"
            link = nodes.reference("", "", *node.children, refuri=f"{REPOSITORY}/{kind}/main/{path}", internal=False)
            node.replace_self(link)
        for image in [*self.document.findall(nodes.image)]:  # badges: a page asks no other host for anything
            if image["uri"].startswith("http"):
                image.replace_self(nodes.Text(image.get("alt", "")))


def mathml(writer: Any, node: nodes.math | nodes.math_block) -> None:
    """A formula that browsers draw themselves: no script, no fonts."""
    display = "block" if isinstance(node, nodes.math_block) else "inline"
    writer.body.append(convert(node.astext(), display=display))
    raise nodes.SkipNode


def level(app: Sphinx, name: str, template: str, context: dict[str, Any], document: nodes.document | None) -> None:
    """The captions of the sidebar say which level of heading they are."""
    tree = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')


def setup(app: Sphinx) -> None:
    app.connect("source-read", prepare)
    app.connect("html-page-context", level, priority=900)  # after the theme's own
    app.add_transform(Outside)
    app.add_html_math_renderer("mathml", (mathml, None), (mathml, None))
