"""Language models for the search: a real one from transformers, one behind a server, and a scripted one.

`HFModel`, and `load_model` unless it is given a server's address, import torch when they are first used; nothing here
does before.
"""

import os
from typing import TYPE_CHECKING, Any

from .scripted import ScriptedModel
from .server import ServerError, ServerModel, is_url
from .weights import WeightsError, cache_dir, fetch_default

if TYPE_CHECKING:
    from .hf import HFModel

__all__ = ["HFModel", "ScriptedModel", "ServerModel", "load_model"]
__all__ += ["ServerError", "WeightsError", "cache_dir", "fetch_default", "is_url"]


def load_model(source: str | os.PathLike[str] | None = None, **options: Any) -> Any:
    """A model by its source: an `HFModel`, or a `ServerModel` for the address of an OpenAI-compatible server.

    `source`: None for the default, a folder, a hub id, or `http://host:port` with "#NAME" at its end where the server
    has several models. `options` are those of `hf.load_model` or of `ServerModel`, which also say what is raised.
    """
    if is_url(source):
        return ServerModel(str(source), **options)
    from .hf import load_model as load

    return load(source, **options)


def __getattr__(name: str) -> Any:
    if name == "HFModel":
        from .hf import HFModel

        return HFModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
