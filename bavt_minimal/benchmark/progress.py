"""Theorem 1 on a real model: its chances of a right step, read off a bank, and what searches in that bank needed.

Progress is the right step from the furthest state of the gold path that was reached. With a chance p a draw, one
expansion of k draws has it with q = 1 - (1 - p)^k, if that state is selected: p_min is the least product of q and the
chance of being selected. p is the share of right draws among all that the bank has of the state. How many were made
depends on what earlier ones said, so that p is a little off; a p of 0 may only be too small to have been seen; and the
searches draw from the same bank, so that p is not independent of what they found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ..budget import Budget, Ledger
from ..expansion import Expansion, Frontier
from ..search import BudgetAwareValueTreeSearch
from ..steps import Generator, Tool
from ..tasks.data import Gold, Question
from ..tree import TreeNode
from .bank import Bank, Remembered, cut, shorten
from .faults import is_step, on_path
from .methods import Method, Parts
from .oracle import OracleCritic
from .theorem import expansions_needed, forced

STARVED = 1e-6  # a node that is selected with a smaller chance will not be


class Hop(NamedTuple):
    """What was drawn in one state of the gold path."""

    right: int
    draws: int

    @property
    def p(self) -> float:
        """Chance that a draw is the right step. NaN: there are no draws."""
        return self.right / self.draws if self.draws else math.nan

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Of p (Clopper and Pearson 1934); (0, 1) if there are no draws."""
        from scipy.stats import binomtest

        found = binomtest(self.right, self.draws).proportion_ci(level) if self.draws else (0.0, 1.0)
        return float(found[0]), float(found[1])


@dataclass(frozen=True)
class Chances:
    """The states of a question's gold path."""

    hops: tuple[Hop, ...]
    num_candidates: int = 3

    @property
    def whole(self) -> bool:
        """Whether there are draws in every state. Where a step is hard, what follows it may never have been reached."""
        return all(hop.draws for hop in self.hops)

    @property
    def worst(self) -> Hop:
        """The state with the least p, of those with draws."""
        return min((hop for hop in self.hops if hop.draws), key=lambda hop: hop.p, default=Hop(0, 0))

    def progress(self, hop: Hop) -> float:
        """q of a state."""
        return 1.0 - (1.0 - hop.p) ** self.num_candidates

    def bound(self, eps: float, p_min: float | None = None) -> float:
        """M of the theorem; `p_min`: by default as if the right state were always selected. inf: there is none.

        If not `whole`, it may be more.
        """
        p_min = self.progress(self.worst) if p_min is None else p_min
        return expansions_needed(len(self.hops), p_min, eps) if p_min > 0 else math.inf if p_min == 0 else math.nan

    def quantile(self, eps: float) -> float:
        """What M is a bound of: expansions that are enough with probability 1 - eps, each state with its own q.

        inf: some q is 0. NaN: not `whole`.
        """
        q = np.array([*map(self.progress, self.hops), 0.0])
        if not q[:-1].all() or not self.whole:
            return math.inf if self.whole else math.nan
        at, count = np.eye(len(q))[0], 0  # chances of each number of right steps
        while at[-1] < 1.0 - eps:
            at, count = at * (1.0 - q) + np.append(0.0, (at * q)[:-1]), count + 1
        return count


def chances(bank: Bank, question: Question, gold: Gold, tool: Tool, num_candidates: int = 3) -> Chances:
    """Count the right draws in each state of the gold path, among all drawn with the search's settings."""
    actor = Remembered(bank, None)
    generator, oracle, found = Generator(actor, tool).start(question.plan), OracleCritic(gold.path), []
    settings = (0, generator.temperature, generator.top_k, "\n")
    for answers in (gold.path[:hop] for hop in range(len(question.plan))):
        generator.read(answers, Ledger())
        prompt = generator.prompt(answers, Ledger())
        row = bank.row("draws", actor.adapter, settings, *shorten(prompt))
        steps = [generator.step(answers, prompt, cut(text, generator.max_new_tokens)) for text in row.get("texts", ())]
        right = [oracle.on_path(step) and not step.fault() for step in steps]
        found.append(Hop(sum(right[number] for number in row.get("draws", ())), len(row.get("draws", ()))))
    return Chances(tuple(found), num_candidates)


class Turn(NamedTuple):
    """An expansion before the right answer was there."""

    hop: int  # right steps so far
    chance: float  # of selecting the state they lead to. NaN: it was expanded too often already, or costs too much


class Watched(BudgetAwareValueTreeSearch):
    """The search, which keeps its turns. `gold` has to be set."""

    gold: Gold
    turns: list[Turn]
    tree: Expansion

    def start(self, *args: Any) -> Expansion:
        """The same, with no turns yet."""
        self.turns, self.tree = list[Turn](), super().start(*args)
        return self.tree

    def furthest(self) -> TreeNode:
        """The last node on the gold path."""
        right = (node for node in self.tree.nodes if is_step(node) and on_path(node, self.gold))
        return max(right, key=self.tree.depth, default=self.tree.root)

    def _select(self, tree: Expansion, frontier: Frontier) -> tuple[TreeNode, float]:
        node = self.furthest()
        chance = self.selection(frontier.values, frontier.visits, tree.ledger.ratio())[frontier.ids == node.id]
        self.turns.append(Turn(tree.depth(node), float(chance[0]) if chance.size else math.nan))
        return super()._select(tree, frontier)


@dataclass(frozen=True)
class Way:
    """A search up to the right answer, or to its end without it; the backstop is left out."""

    turns: tuple[Turn, ...]
    found: bool

    def p_min(self, known: Chances) -> float:
        """The least chance of progress in a turn, of those in which the right state could be selected."""
        each = (turn.chance * known.progress(known.hops[turn.hop]) for turn in self.turns)
        return min((x for x in each if not math.isnan(x)), default=math.nan)

    @property
    def starved(self) -> bool:
        """Whether the right state had no chance in some turn."""
        return any(turn.chance < STARVED for turn in self.turns)

    @property
    def lost(self) -> bool:
        """Whether it had none in the last turn, and the answer was not found."""
        return not self.found and bool(self.turns) and self.turns[-1].chance < STARVED


def watch(
    method: Method, parts: Parts, budget: Budget, tool: Tool | None, seed: int, question: Question, gold: Gold
) -> Way:
    """One search by a method of the plain tree. Raises LookupError if the bank lacks what it would draw."""
    search: Any = replace(method, search=Watched)(parts, budget, tool, seed, gold)
    search.gold = gold
    for event in search.run(question.text, plan=question.plan):
        if forced(event):
            break
        if event.kind == "answered" and search.furthest().terminal:
            return Way(tuple(search.turns), True)
    return Way(tuple(search.turns), False)
