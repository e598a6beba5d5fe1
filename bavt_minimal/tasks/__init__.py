"""Tasks: the fictional encyclopedia, the lookup tool and a user's own data."""

from .data import Gold, Question, World, load_data, save_data, title_key
from .encyclopedia import SPLITS, builtin, builtin_gold, load_split, make_world
from .lookup import Lookup

__all__ = [
    "SPLITS",
    "Gold",
    "Lookup",
    "Question",
    "World",
    "builtin",
    "builtin_gold",
    "load_data",
    "load_split",
    "make_world",
    "title_key",
    "save_data",
]
