"""Language models for the search: a real one from transformers, and a scripted one.

`load_model` and `HFModel` import torch when they are first used, nothing here does before.
"""

from typing import TYPE_CHECKING, Any

from .scripted import ScriptedModel
from .weights import WeightsError, cache_dir, fetch_default

if TYPE_CHECKING:
    from .hf import HFModel, load_model

__all__ = ["HFModel", "ScriptedModel", "WeightsError", "cache_dir", "fetch_default", "load_model"]


def __getattr__(name: str) -> Any:
    if name in ("HFModel", "load_model"):
        from . import hf

        return getattr(hf, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
