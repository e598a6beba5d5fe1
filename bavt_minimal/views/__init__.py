"""Views of a search: text, SVG and terminal are three listeners to one stream of events."""

from .fold import Node, Picture, fold, plain
from .svg import render_svg
from .text import render_text

__all__ = ["Node", "Picture", "fold", "plain", "render_svg", "render_text"]
