"""What is compared: every method by name, built on the same parts, and the variants that exist only to be compared.

A `Method` is called with the parts, a budget, a tool, a seed and the gold answer (for the oracle only), and returns a
searcher. To compare something of your own, add one to the mapping that you give to `benchmark_budget_efficiency`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..budget import Budget, Ledger
from ..chains import ParallelChains
from ..critic import ConstantCritic, Critic, LogProbCritic
from ..expansion import Expansion
from ..planner import Planner
from ..residual import residual
from ..search import BudgetAwareValueTreeSearch
from ..searcher import Searcher
from ..selection import BudgetAware, BudgetAwareUCB, greedy, uniform
from ..steps import LanguageModel, Step, Tool
from ..tasks.data import Gold
from .oracle import OracleCritic
from .simulator import root_of_share


@dataclass(frozen=True)
class Parts:
    """A model in its roles, and its critics by name. What is None or absent, the methods that need it cannot run."""

    actor: LanguageModel
    critics: Mapping[str, Critic] = field(default_factory=dict)
    tuned: LanguageModel | None = None  # the actor with the critic's adapter, which reads by itself
    planner: Planner | None = None


@dataclass(frozen=True)
class Method:
    """How to build a searcher. `options` are its own keywords.

    `critic`: a name among those of `Parts`, or "constant", "logprob" or "oracle", which are always there; "": none.
    `change` makes another critic of it. `own_plans`: the plan that comes with the question is not used.
    """

    search: Callable[..., Searcher]
    critic: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    change: Callable[[Any], Critic] | None = None
    tuned: bool = False
    own_plans: bool = False

    def __call__(self, parts: Parts, budget: Budget, tool: Tool | None, seed: int, gold: Gold | None) -> Searcher:
        """The searcher. Raises LookupError if the parts lack what it needs."""
        model, options = parts.actor, dict(self.options)
        if self.tuned:
            model = need(parts.tuned, "an actor with the critic's adapter")
        if self.own_plans:
            options["planner"] = need(parts.planner, "a planner")
        critic: Any = None
        if self.critic:
            critic = self.judge(parts, gold)
            critic = critic if self.change is None else self.change(critic)
        return self.search(model, critic, budget, tool, seed=seed, **options)

    def judge(self, parts: Parts, gold: Gold | None) -> Critic:
        """The critic of that name."""
        if self.critic == "oracle":
            return OracleCritic(need(gold and gold.path, "gold answers of the sub-questions"))
        always: dict[str, Critic] = {"constant": ConstantCritic(), "logprob": LogProbCritic()}
        return need((always | dict(parts.critics)).get(self.critic), f"a critic {self.critic!r}")


def need(part: Any, name: str) -> Any:
    """The part, unless it is not there."""
    if not part:
        raise LookupError(f"the method needs {name}, which this model does not have")
    return part


# Variants of the critic


@dataclass(frozen=True)
class OnePage:
    """The same critic without the path: a right reading of a wrong page is as good as any.

    `overconfidence`: by how much its chance of a mistake is divided (guide, pitfalls); the ranking stays the same.
    """

    critic: Any
    overconfidence: float = 1.0
    scale: float = 0.4

    def __call__(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        """Residuals in [-scale, scale]."""
        said = self.critic.probabilities(steps, ledger)
        return [residual(1 - (1 - p) / self.overconfidence, self.scale) for p in said]


def overconfident(critic: Any) -> OnePage:
    """Ten times as sure of itself."""
    return OnePage(critic, overconfidence=10.0)


@dataclass(frozen=True)
class Absolute:
    """The opposite of a residual critic: V of a node is the chance that all up to it is right, whatever V was before.

    `start` and `floor` are the search's v0 and v_min, from which V of the parent is added up.
    """

    critic: Any
    start: float = 0.5
    floor: float = 0.05

    def __call__(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        """The residual that takes V of the parent to that chance."""
        found = []
        for step, p in zip(steps, self.critic.probabilities(steps, ledger), strict=True):
            before = self.start
            for each in step.residuals:
                before = min(1.0, max(self.floor, before + each))
            found.append(p * (before if step.residuals else 1.0) - before)
        return found


# Variants of the search


class ByValue(BudgetAwareValueTreeSearch):
    """Nodes are drawn by V alone, whatever their children are."""

    def start(self, *args: Any) -> Expansion:
        """The same, with another promise."""
        tree = super().start(*args)
        tree.promise = lambda node: node.value  # type: ignore[method-assign]
        return tree


class AbsoluteSearch(BudgetAwareValueTreeSearch):
    """For `Absolute`, whose values are chances themselves."""

    def start(self, *args: Any) -> Expansion:
        """The same, with the promise read off the values."""
        tree = super().start(*args)
        tree.promise = lambda node: max(  # type: ignore[method-assign]
            tree.v_min, node.value * (1.0 - max((child.value for child in node.children), default=0.0))
        )
        return tree


def by_ucb(*args: Any, weight: float = 1.0, scaled: bool = False, **options: Any) -> Searcher:
    """The tree with the guide's UCB, whose bonus needs the budget's size. `weight`: its exploration constant."""
    selection = BudgetAwareUCB(weight, total_budget=float(max(1, args[2].tokens or 1)), scaled=scaled)
    return BudgetAwareValueTreeSearch(*args, selection=selection, **options)


def tree(
    critic: str = "adapter", search: Callable[..., Searcher] = BudgetAwareValueTreeSearch, **options: Any
) -> Method:
    """The tree search with a critic."""
    return Method(search, critic, options)


def chains(critic: str = "", **options: Any) -> Method:
    """Chains: a vote, or the best by a critic. Only the budget ends them, unless `max_chains` is given."""
    return Method(ParallelChains, critic, {"max_chains": 4096, **options})


VOTE, BAVT, RERANK = "vote", "bavt, adapter", "rerank, adapter"
ONE_CHAIN: dict[str, Any] = {"max_chains": 1, "temperature": 0.0}
BASELINES: dict[str, Method] = {
    VOTE: chains(),
    "vote, pages shared": chains(share_pages=True),
    "greedy chain": chains(**ONE_CHAIN),
    "rerank, logprob": chains("logprob"),
    "rerank, head": chains("head"),
    "rerank, mix": chains("mix"),
    RERANK: chains("adapter"),
    "rerank, adapter, pages shared": chains("adapter", share_pages=True),
}
TREES: dict[str, Method] = {
    "bavt, logprob": tree("logprob"),
    "bavt, head": tree("head"),
    "bavt, mix": tree("mix"),
    BAVT: tree(),
}
BOUNDS: dict[str, Method] = {
    "bavt, constant": tree("constant"),
    "bavt, oracle": tree("oracle"),
    "actor tuned, greedy chain": Method(ParallelChains, options={**ONE_CHAIN, "examples": ""}, tuned=True),
}
# All with the critic adapter.
ABLATIONS: dict[str, Method] = {
    "alpha = 1": tree(selection=BudgetAware(alpha_max=1.0)),
    "alpha up to 4": tree(selection=BudgetAware(alpha_max=4.0)),
    "1/sqrt r": tree(selection=BudgetAware(schedule=root_of_share)),
    "greedy": tree(selection=greedy),
    "guide's UCB": tree(search=by_ucb),
    "scaled UCB": tree(search=by_ucb, scaled=True),
    "uniform": tree(selection=uniform),
    "no decay": tree(selection=BudgetAware(decay=1.0)),
    "by value": tree(search=ByValue, selection=BudgetAware(decay=0.5)),  # without decay it would never leave a node
    "one page": replace(tree(), change=OnePage),
    "overconfident": replace(tree(), change=overconfident),
    "absolute values": Method(AbsoluteSearch, "adapter", {"stop_value": 0.95}, change=Absolute),
    "one child at a time": tree(num_candidates=1, max_widen=24),  # as many draws as three times eight
    "first child only": tree(num_candidates=1, max_widen=1),
    "no widening": tree(max_widen=1),
}
PLANNING: dict[str, Method] = {
    "own plans: vote": replace(chains(), own_plans=True),
    "own plans: bavt, adapter": replace(tree(), own_plans=True),
}
CHARGED: dict[str, Method] = {
    "vote, prompt charged": chains(charge_prompt=True),
    "bavt, adapter, prompt charged": tree(charge_prompt=True),
}
METHODS: dict[str, Method] = BASELINES | TREES | BOUNDS | ABLATIONS | PLANNING | CHARGED
