"""One model, two roles: the base model reads, and its own adapters plan and judge."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..agent import DualRoleLLMAgent
from ..checks import check_choice
from ..critic import ConstantCritic, Critic, LogProbCritic, PromptedCritic
from ..models.adapters import find_adapter
from ..planner import Planner
from ..steps import Tool
from .adapter import load_adapter_critic

if TYPE_CHECKING:
    from ..models.hf import HFModel

CRITICS = ("adapter", "mix", "head", "logprob", "prompted", "constant")


def trained_agent(
    model: HFModel | None = None, tool: Tool | None = None, critic: str = "adapter", **options: Any
) -> DualRoleLLMAgent:
    """An agent that plans for itself, reads, and judges its own steps, with one base model in memory.

    `model` reads with its own weights; None: `load_model()`. The shipped "planner" adapter is switched on to plan and
    the "critic" adapter to judge. `critic` is a name of `load_critic`, and `options` go to the search
    (`planner=` and `scale` among them, the latter to the critic).
    Raises FileNotFoundError for what is not installed, ValueError for an adapter of another base model.
    """
    if model is None:
        from ..models import load_model

        model = load_model()
    judge = load_critic(critic, model, options.pop("scale", 0.4))
    if "planner" not in options:
        options["planner"] = load_planner(model)
    return DualRoleLLMAgent(model, tool, judge, **options)


def load_planner(model: HFModel) -> Planner:
    """The shipped planner adapter on `model`. Raises as `HFModel.with_adapter`."""
    return Planner(in_role(model, "planner"))


def load_critic(name: str, model: HFModel, scale: float = 0.4) -> Critic:
    """A critic by its name, one of `CRITICS`; a step moves a value by at most `scale`.

    "adapter", "head" and "mix" are the shipped ones. Raises FileNotFoundError for one that is not installed,
    ValueError for another name or for weights of another base model.
    """
    check_choice("critic", name, CRITICS)
    if name == "logprob":
        return LogProbCritic(scale)
    if name == "prompted":
        return PromptedCritic(model, scale)
    if name == "constant":
        return ConstantCritic()
    if name == "adapter":
        return load_adapter_critic(find_adapter("critic"), in_role(model, "critic"), scale)
    from .fit import load_mix  # here, because these import torch
    from .head import CriticHead

    if name == "mix":
        return replace(load_mix(model), scale=scale)
    head = CriticHead.load(model)
    return CriticHead(model, head.predictor, head.layers, scale)


def in_role(model: HFModel, role: str) -> HFModel:
    """A view of `model` with a shipped adapter switched on. Raises TypeError for a model that takes none."""
    if not hasattr(model, "with_adapter"):
        raise TypeError(f"model must be an HFModel, as load_model() gives, to take the {role} adapter; got {model!r}")
    return model.with_adapter(role)
