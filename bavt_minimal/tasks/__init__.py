"""Tasks: the fictional encyclopedia, the lookup tool, a user's own data and the field's data sets."""

from .data import Gold, Question, World, load_data, save_data, title_key
from .encyclopedia import SPLITS, builtin, builtin_gold, load_split, make_world
from .formats import load_questions
from .lookup import Lookup, tool_for

__all__ = [
    "SPLITS",
    "Gold",
    "Lookup",
    "Question",
    "World",
    "builtin",
    "builtin_gold",
    "load_data",
    "load_questions",
    "load_split",
    "make_world",
    "title_key",
    "save_data",
    "tool_for",
]
