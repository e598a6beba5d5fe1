"""Theorem 1 on the simulator: how many expansions an answer needs, and what a bounded exponent is for.

The theorem (paper) asks for `p_min`, the least chance, whatever happened before, that one expansion of the *search*
makes progress. Selection is part of that: the one node from which the answer is still to be found has to be selected,
and then the right step drawn. With weights V^alpha, V in [v_min, 1] and alpha <= alpha_max the node has a weight of at
least v_min^alpha_max, and each of the others at most 1, so that with N nodes at most in the frontier

    p_min >= v_min^alpha_max / (v_min^alpha_max + N - 1) * P(right step among the draws)

This needs a finite N (a state has finitely many texts), and two of this project's additions switched off: a `decay`
below 1 has no least weight, and a node closed after `max_widen` expansions may never have given the right step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..budget import Budget, Ledger
from ..checks import check_count, check_range
from ..models.scripted import ScriptedModel
from ..search import BudgetAwareValueTreeSearch
from ..selection import BudgetAware, Selection
from ..steps import Step
from ..trace import Event
from .simulator import QUESTION, Setting, World, tree

V_MIN = 0.05  # the search's default


def expansions_needed(steps: int, p_min: float, eps: float) -> int:
    """M of Theorem 1: (K + sqrt(2 K ln 1/eps) + 2 ln 1/eps) / p_min, rounded up; K is `steps`.

    After M expansions there is an answer with probability >= 1 - eps. It is Chernoff's bound on the lower tail of a
    binomial: P(Bin(M, p) < K) <= exp(-(M p - K)^2 / (2 M p)). Raises ValueError unless p_min and eps are in (0, 1].
    """
    k, bits = check_count("steps", steps, least=1), -math.log(check_range("eps", eps, 1e-300, 1.0))
    return math.ceil((k + math.sqrt(2.0 * k * bits) + 2.0 * bits) / check_range("p_min", p_min, 1e-300, 1.0))


def least_progress(setting: Setting, num_candidates: int, alpha_max: float, v_min: float = V_MIN) -> float:
    """p_min, as above, of a search on `setting`. Raises ValueError if states differ: one may never be read right."""
    if setting.spread:
        raise ValueError(f"spread must be 0 for a least chance of a right step, got {setting.spread}")
    weight = check_range("v_min", v_min, 1e-9, 1.0) ** check_range("alpha_max", alpha_max, 1e-6, 1e6)
    others = sum((setting.wrong + 1) ** depth for depth in range(setting.depth)) - 1
    return weight / (weight + others) * (1.0 - (1.0 - setting.p) ** check_count("num_candidates", num_candidates, 1))


@dataclass
class Remembered:
    """A rule that keeps the chances it gave last."""

    rule: Selection
    chances: list[float] = field(default_factory=list, init=False, repr=False)

    def __call__(self, values: ArrayLike, visits: ArrayLike, r: float) -> NDArray[np.float64]:
        """Probabilities (N,)."""
        given = self.rule(values, visits, r)
        self.chances = given.tolist()
        return given


class Reached(NamedTuple):
    """One search that looks for the right answer."""

    expansions: int | None  # up to the right answer, this one included; None: it was not found
    least: float  # the least chance of progress that any of its expansions had


def reach(setting: Setting, expansions: int, alpha_max: float, num_candidates: int = 1, seed: int = 0) -> Reached:
    """Search one world with a budget of `expansions`, spent evenly, so that r falls from 1 to 0 in as many steps.

    Progress is a right step from the furthest state that was reached by right steps. Its chance is computed before
    each expansion. What guards a search from starving but the cap is off: decay = 1, no limit to widening.
    """
    world, share = World(setting, seed), setting.tokens_per_step
    rule = Remembered(BudgetAware(alpha_max, decay=1.0))
    search = tree(world, rule, num_candidates=num_candidates, v_min=V_MIN, stop_value=2.0)
    search.max_widen = search.max_expansions = check_count("expansions", expansions, least=1)
    search.budget = Budget(expansions * num_candidates * share + share)  # the last share is the backstop's
    texts, frontier = {0: "s"}, [0]
    furthest, count, least = 0, 0, 1.0
    for event in search.run(QUESTION, setting.depth, world.plan):
        if forced(event):
            break
        if event.kind == "selected":
            drawn = 1.0 - (1.0 - world.state(texts[furthest]).p) ** num_candidates
            count, least = count + 1, min(least, rule.chances[frontier.index(furthest)] * drawn)
        elif event.kind == "added":
            texts[event.node], good = event.data["text"], world.answer.startswith(event.data["text"])
            if event.data["terminal"] and good:
                return Reached(count, least)
            if not event.data["terminal"]:
                frontier.append(event.node)
                furthest = event.node if good else furthest
    return Reached(None, least)


class Measured(NamedTuple):
    """The theorem beside what searches needed."""

    p_min: float
    bound: int  # expansions, by the theorem
    found: float  # share of searches that had the right answer within the expansions that were paid for
    needed: float  # the (1 - eps) quantile of the expansions up to it; inf: fewer than 1 - eps had it
    least: float  # the least chance of progress that any expansion had


def measure(setting: Setting, expansions: int, alpha_max: float, eps: float = 0.05, searches: int = 400) -> Measured:
    """Searches of `expansions` each, one draw an expansion, in as many worlds."""
    p_min = least_progress(setting, 1, alpha_max)
    each = [reach(setting, expansions, alpha_max, seed=seed) for seed in range(check_count("searches", searches, 1))]
    counts = sorted(math.inf if one.expansions is None else one.expansions for one in each)
    found, needed = sum(map(math.isfinite, counts)) / searches, counts[math.ceil((1.0 - eps) * searches) - 1]
    bound = expansions_needed(setting.depth, p_min, eps)
    return Measured(p_min, bound, found, needed, min(one.least for one in each))


def forced(event: Event) -> bool:
    """Whether the search is over, and the backstop at work."""
    return any(charge["role"] == "backstop" for charge in event.charges)


# The smallest task on which an unbounded exponent starves the right node

PLAN = ("Which?", "Then #1?")
VALUES = {"good": 0.6, "bad": 0.9}  # the root has .5
TABLE: Mapping[str, Mapping[str, float]] = {
    "Which?\nAnswer:": {"good": 0.5, "bad": 0.5},
    "Then good?\nAnswer:": {"answer": 0.5, "": 0.5},
    "Then bad?\nAnswer:": {"": 1.0},
}


def mistaken(steps: Sequence[Step], ledger: Ledger) -> list[float]:
    """A critic that values the dead end more than the way to the answer."""
    return [VALUES.get(step.text, 0.6) - 0.5 for step in steps]


def always_poor(r: float) -> float:
    """The exponent 1/r of a search of which one resource is used up, and the others are not."""
    return math.inf


def answers_in_time(alpha_max: float, expansions: int, seed: int, decay: float = 1.0) -> bool:
    """Whether a search finds the answer within `expansions` of one draw each, by itself.

    The exponent is at its cap from the start. Unbounded, the search never leaves a dead end that it has found: if it
    is drawn before the way to the answer, a chance of 1/2, there is no answer, however many expansions are paid for.
    """
    search = BudgetAwareValueTreeSearch(
        ScriptedModel(TABLE),
        mistaken,
        num_candidates=1,
        selection=BudgetAware(alpha_max, decay, always_poor),
        max_widen=expansions,
        max_expansions=expansions,
        seed=seed,
        examples="",
    )
    for event in search.run(QUESTION, 2, PLAN):
        if forced(event):
            break
        if event.kind == "answered":
            return True
    return False
