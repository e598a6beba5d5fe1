"""Which node to expand next: functions from (values, visits, r) to probabilities.

`values` (N,) are what the nodes are worth as parents: V of a node without children, less where a child is right
already (`Expansion.promise`). `visits` (N,) is how often each was expanded so far, `r` the share of the budget left.
Any callable of this signature works in the search. The paper's rule is the default; the implementation guide's UCB is
kept exactly as stated beside it, because its bonus grows as the budget goes (notebook 03).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .checks import check_numbers, check_range
from .tree import TreeNode

Selection = Callable[[ArrayLike, ArrayLike, float], NDArray[np.float64]]


def checked(values: ArrayLike, visits: ArrayLike, r: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as (N,) float arrays. Raises ValueError on an empty frontier, NaN, negative numbers, or r outside [0, 1]."""
    check_range("r", r, 0.0, 1.0)
    v, n = check_numbers("values", values), check_numbers("visits", visits)
    if v.size != n.size:
        raise ValueError(f"values and visits must be equally long, got {v.size} and {n.size}")
    return v, n


def softmax(log_weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights in log space to probabilities; all -inf gives the uniform distribution.

    >>> softmax(np.log([1.0, 3.0])).round(2)
    array([0.25, 0.75])
    """
    top = log_weights.max()
    if np.isneginf(top):
        return np.full(log_weights.shape, 1.0 / log_weights.size)
    weights = np.exp(log_weights - top)
    return weights / weights.sum()


def best(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """All probability on the highest score, shared equally among ties.

    >>> best(np.array([0.9, 0.9, 0.1]))
    array([0.5, 0.5, 0. ])
    """
    tied = scores == scores.max()
    return tied / tied.sum()


@dataclass(frozen=True)
class BudgetAware:
    """The paper's rule: w = V^(1/r), broad at r = 1 and greedy as r -> 0.

    1/r is not bounded and Theorem 1 needs a bounded exponent, so it is capped at `alpha_max`. Each earlier expansion
    multiplies a node's weight by `decay`: a critic errs, and without it a node of a wrong value keeps the search.
    `schedule` turns r into the exponent before the cap; the default is the paper's 1/r.

    >>> rule = BudgetAware()
    >>> rule([0.9, 0.5], [0, 0], r=1.0).round(2)
    array([0.64, 0.36])
    >>> rule([0.9, 0.5], [0, 0], r=0.25).round(2)
    array([0.91, 0.09])
    """

    alpha_max: float = 50.0
    decay: float = 0.85
    schedule: Callable[[float], float] | None = None

    def __post_init__(self) -> None:
        check_range("alpha_max", self.alpha_max, 1e-6, 1e6)
        check_range("decay", self.decay, 1e-6, 1.0)

    def alpha(self, r: float) -> float:
        """The exponent at r.

        >>> [BudgetAware(alpha_max=50).alpha(r) for r in (1.0, 0.25, 0.001)]
        [1.0, 4.0, 50]
        """
        if self.schedule is not None:
            return min(self.alpha_max, check_range("schedule(r)", self.schedule(r), 1e-6, math.inf))
        return self.alpha_max if r * self.alpha_max <= 1 else 1.0 / r

    def __call__(self, values: ArrayLike, visits: ArrayLike, r: float) -> NDArray[np.float64]:
        """Probabilities (N,). All values 0: uniform."""
        v, n = checked(values, visits, r)
        with np.errstate(divide="ignore"):
            return softmax(self.alpha(r) * np.log(v) + n * math.log(self.decay))


@dataclass(frozen=True)
class BudgetAwareUCB:
    """The guide's score, value/visits + (c/remaining) * sqrt(ln(total + 1)/visits), exactly as stated.

    Its bonus grows as the budget depletes. `scaled=True` replaces c/remaining by c * remaining/total, which shrinks.
    Guide: exploration constant 0.5 to 2.0. As a rule for the frontier, remaining is r * total_budget.

    >>> BudgetAwareUCB(total_budget=100)([0.9, 0.5], [4, 0], r=1.0)
    array([1., 0.])
    >>> BudgetAwareUCB(total_budget=100)([0.9, 0.5], [4, 0], r=0.01)
    array([0., 1.])
    """

    exploration_constant: float = 1.0
    total_budget: float = 1.0
    scaled: bool = False

    def __post_init__(self) -> None:
        check_range("exploration_constant", self.exploration_constant, 0.0, 1e6)
        check_range("total_budget", self.total_budget, 1e-6, 1e12)

    def compute_ucb_score(
        self, node_value: float, visit_count: float, total_budget: float, remaining_budget: float
    ) -> float:
        """The score of a node whose values sum to `node_value`. Unvisited, or nothing remaining: inf.

        >>> rule = BudgetAwareUCB()
        >>> [round(rule.compute_ucb_score(1.2, 2, 100, left), 2) for left in (100, 10, 1)]
        [0.62, 0.75, 2.12]
        """
        check_range("node_value", node_value, -1e12, 1e12)
        check_range("visit_count", visit_count, 0, 1e12)
        check_range("total_budget", total_budget, 1e-6, 1e12)
        check_range("remaining_budget", remaining_budget, 0, total_budget)
        if visit_count == 0:
            return math.inf
        spread = math.sqrt(math.log(total_budget + 1) / visit_count)
        return node_value / visit_count + self._weight(total_budget, remaining_budget) * spread

    def _weight(self, total_budget: float, remaining_budget: float) -> float:
        c = self.exploration_constant
        if self.scaled:
            return c * remaining_budget / total_budget
        return (c / remaining_budget if remaining_budget else math.inf) if c else 0.0

    def select_best_child(self, node: TreeNode, total_budget: float, remaining_budget: float) -> TreeNode:
        """The child with the highest score; ties go to the first. Raises ValueError if there is none.

        >>> root = TreeNode("question")
        >>> good, bad = root.add_child("London", residual=0.4), root.add_child("Paris", residual=-0.4)
        >>> BudgetAwareUCB().select_best_child(root, total_budget=100, remaining_budget=50).text
        'London'
        """
        if not node.children:
            raise ValueError(f"node {node.id} has no children to select from")
        return max(
            node.children,
            key=lambda n: self.compute_ucb_score(n.value_sum, n.visit_count, total_budget, remaining_budget),
        )

    def __call__(self, values: ArrayLike, visits: ArrayLike, r: float) -> NDArray[np.float64]:
        """One-hot (N,). Judging a node is its first visit, so a node expanded n times has n + 1 visits."""
        v, n = checked(values, visits, r)
        # At r = 0 the guide's bonus is infinite: the least visited node wins, as in the limit.
        weight = self._weight(self.total_budget, max(r, 1e-12) * self.total_budget)
        spread = np.sqrt(math.log(self.total_budget + 1) / (n + 1))
        return best(v * (n + 1) / (n + 1) + weight * spread)


def greedy(values: ArrayLike, visits: ArrayLike, r: float) -> NDArray[np.float64]:
    """alpha -> infinity: the highest V, after the paper rule's decay for each expansion.

    >>> greedy([0.9, 0.5], [0, 0], r=1.0), greedy([0.9, 0.5], [4, 0], r=1.0)
    (array([1., 0.]), array([0., 1.]))
    """
    v, n = checked(values, visits, r)
    return best(v * BudgetAware.decay**n)


def uniform(values: ArrayLike, visits: ArrayLike, r: float) -> NDArray[np.float64]:
    """Every node alike.

    >>> uniform([0.9, 0.5], [0, 0], r=0.1)
    array([0.5, 0.5])
    """
    v, _ = checked(values, visits, r)
    return np.full(v.shape, 1.0 / v.size)


def sample_index(probabilities: ArrayLike, count: int, rng: np.random.Generator) -> int:
    """Draw one of `count` nodes. Raises ValueError if a rule of the user's did not return a distribution over them.

    >>> sample_index([0.0, 1.0], 2, np.random.default_rng(0))
    1
    """
    p = check_numbers("selection", probabilities)
    if p.size != count or not math.isclose(p.sum(), 1.0, abs_tol=1e-6):
        raise ValueError(f"selection must return {count} probabilities that sum to 1, got {probabilities!r}")
    return int(rng.choice(count, p=p / p.sum()))
