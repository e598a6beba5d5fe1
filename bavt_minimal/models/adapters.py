"""LoRA adapters (peft, Hu et al. 2021) on the one base model: another role, without a second copy of its weights.

An adapter is a folder with peft's `adapter_config.json` and `adapter_model.safetensors`, and `card.json`, which names
the base model, the digest of the weights, the data, the figures and the command that made it. What is loaded is built
from the card and the weights alone, so `adapter_config.json` (for peft itself) cannot change it.
"""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

from .weights import WeightsError, sha256

SHIPPED = Path(__file__).resolve().parent.parent / "adapters"  # the adapters that come with the module
ROLES = ("critic", "planner")
CONFIG, WEIGHTS, CARD = "adapter_config.json", "adapter_model.safetensors", "card.json"
PREFIX = "base_model.model."  # of every key in the file, as peft wants it
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def find_adapter(source: str | os.PathLike[str]) -> Path:
    """The folder of a shipped adapter ("critic", "planner"), or the folder given.

    Raises FileNotFoundError if it holds no adapter, TypeError for anything but a path.
    """
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"source must be {' or '.join(ROLES)}, or a folder, got {type(source).__name__}")
    folder = SHIPPED / source if source in ROLES else Path(source).expanduser()
    for name in (CONFIG, WEIGHTS, CARD):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"adapter {os.fspath(source)!r}: no {name} in {folder}; give {' or '.join(ROLES)},"
                " or a folder that `bavt train` wrote"
            )
    return folder


def read_card(folder: Path, base: str, weights: str = WEIGHTS) -> dict[str, Any]:
    """The card of an adapter or a head, its digest and base model checked.

    Raises WeightsError for a damaged card or other weights than the card's, ValueError for another base model.
    """
    try:
        card = dict(json.loads((folder / CARD).read_text(encoding="utf-8")))
        wanted, digest = str(card["base"]), str(card["sha256"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError(f"adapter {folder}: {CARD} is damaged ({error}); train it again") from error
    found = sha256(folder / weights)
    if found != digest:
        raise WeightsError(
            f"adapter {folder}: the weights have sha256 {found[:16]}..., the card says {digest[:16]}...;"
            " the file was changed or cut short: train it again"
        )
    if wanted != base:
        raise ValueError(f"adapter {folder} belongs to the base model {wanted}, not to {base}")
    return card


def add_adapter(network: Any, name: str, rank: int, seed: int = 0) -> Any:
    """Put a new LoRA adapter on all seven projections of a transformers network, and return peft's configuration.

    `seed` is that of its first weights; torch's random numbers go on as if nothing had been drawn.

    Raises ValueError for a network without them. Afterwards no role is switched on: see `switch`.
    """
    import torch
    from peft import LoraConfig  # here, because it takes seconds to import and most searches need no adapter

    found = {path.rpartition(".")[2] for path, _ in network.named_modules()}
    if missing := [projection for projection in PROJECTIONS if projection not in found]:
        raise ValueError(f"the model ({type(network).__name__}) has no {', '.join(missing)}: adapters do not fit it")
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=list(PROJECTIONS))
    network.role = None  # peft has switched the new adapter on; the next `switch` must not take this for the base
    with warnings.catch_warnings(action="ignore", category=UserWarning), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network.add_adapter(config, name)  # peft warns of a second adapter, which is what we want
    freeze(network)
    return config


def load_adapter(network: Any, name: str, folder: Path, rank: int, strength: float = 1.0) -> None:
    """Add the adapter in `folder`, its part in every layer multiplied by `strength`.

    Raises WeightsError if it is not safetensors, ValueError for wrong shapes.
    """
    from peft import get_peft_model_state_dict, set_peft_model_state_dict
    from peft.tuners.lora import LoraLayer
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = {key.removeprefix(PREFIX): w for key, w in load_file(folder / WEIGHTS).items()}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"adapter {folder}: {WEIGHTS} is no safetensors file ({error}); train it again") from error
    ranks = {w.shape[0] for key, w in state.items() if "lora_A" in key and w.ndim}
    if ranks != {rank}:  # a rank that is made up could ask for any memory
        raise ValueError(f"adapter {folder} does not fit its card: the rank is {sorted(ranks)} there, {rank} in it")
    add_adapter(network, name, rank)
    wanted = get_peft_model_state_dict(network, adapter_name=name)
    shapes, given = ({key: tuple(w.shape) for key, w in some.items()} for some in (wanted, state))
    if wrong := sorted(key for key in shapes | given if shapes.get(key) != given.get(key)):
        remove_adapter(network, name)
        key = wrong[0]
        raise ValueError(f"adapter {folder} does not fit the model: {key} is {given.get(key)}, not {shapes.get(key)}")
    set_peft_model_state_dict(network, {key: w.float() for key, w in state.items()}, adapter_name=name)
    for layer in network.modules():
        if strength != 1.0 and isinstance(layer, LoraLayer):
            layer.set_scale(name, strength)


def remove_adapter(network: Any, name: str) -> None:
    """Take an adapter off again."""
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        network.delete_adapter(name)
    network.role = None


def freeze(network: Any) -> None:
    """Nothing learns, nothing drops out."""
    network.eval().requires_grad_(False)


def switch(network: Any, role: str) -> None:
    """Make the network play a role: the name of an adapter on it, or "" for the base. Cheap if it does already."""
    if not getattr(network, "peft_config", None) or getattr(network, "role", None) == role:
        return
    if role:
        network.enable_adapters()
        network.set_adapter(role)
        freeze(network)  # peft makes what it switches on trainable
    else:
        network.disable_adapters()
    network.role = role
