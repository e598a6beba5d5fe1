"""Budget-Aware Value Tree search: select, expand, evaluate every child, back up, until the budget is spent.

Source: paper, method section; names from the implementation guide. The loop is `BudgetAwareValueTreeSearch.run`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .budget import Budget
from .checks import check_choice, check_count, check_range
from .critic import Critic, LogProbCritic, judge_tokens
from .expansion import Expansion, Frontier
from .planner import Planner
from .searcher import ANSWER_RULES, Searcher
from .selection import BudgetAware, Selection, sample_index
from .steps import LanguageModel, Plan, Tool
from .trace import Events, Trace
from .tree import TreeNode


class BudgetAwareValueTreeSearch(Searcher):
    r"""Answer a question with a tree of steps under a hard budget.

    `model` is any `LanguageModel`, `critic` a critic (default: log-probability), `budget` a `Budget` or an int of
    tokens, `tool` any function from a query to a text. Further keywords go to `Generator`: seed, temperature, top_k,
    max_new_tokens, examples, budget_hint. Guide: num_candidates 2-5, max_depth 5-15.
    `stop_value`: an answer of this value ends the search (no other can be better than 1). `planner`: draws the plans
    when none is given; `max_depth` counts the steps below a plan, not the plan itself. `prune_below`: a step whose
    residual is not above it adds nothing and is dropped (paper), plans are not; -1: only the least residual is.
    Not tuned are `v0`, V of the root: in the middle, as nothing is known of it; `v_min`, the least V: above 0, so that
    each node can be drawn (Theorem 1) and a wrong verdict mended; `max_widen`, the most expansions of a node: then 24
    draws have been made there, and what was not among them is rare.

    >>> from bavt_minimal.models import ScriptedModel
    >>> model = ScriptedModel({
    ...     "Where was Ada born?\nAnswer:": {"London": 3, "Paris": 1},
    ...     "mayor of London?\nAnswer:": {"John Gray": 1},
    ...     "mayor of Paris?\nAnswer:": {"nobody knows": 1, "no idea": 1},
    ... })
    >>> search = BudgetAwareValueTreeSearch(model, budget=Budget(tokens=64, tool_calls=4), tool=lambda query: query)
    >>> plan = ["Where was Ada born?", "Who is the mayor of #1?"]
    >>> result = search.search("Who is the mayor of the birthplace of Ada?", plan=plan)
    >>> result.answer, result.forced
    ('John Gray', False)
    >>> result.ledger.spent["tokens"] <= 64
    True
    """

    v0: float
    v_min: float

    def __init__(
        self,
        model: LanguageModel,
        critic: Critic | None = None,
        budget: Budget | int | None = None,
        tool: Tool | None = None,
        *,
        num_candidates: int = 3,
        selection: Selection | None = None,
        answer_rule: str = "best",
        stop_value: float = 1.0,
        v0: float = 0.5,
        v_min: float = 0.05,
        prune_below: float = -1.0,
        max_widen: int = 8,
        max_expansions: int = 2000,
        charge_prompt: bool = False,
        planner: Planner | None = None,
        **options: Any,
    ):
        super().__init__(model, critic or LogProbCritic(), budget, tool, charge_prompt, options, planner)
        self.num_candidates: int = check_count("num_candidates", num_candidates, least=1)
        self.max_widen: int = check_count("max_widen", max_widen, least=1)
        self.max_expansions: int = check_count("max_expansions", max_expansions)
        self.v0, self.v_min = check_range("v0", v0, 0.0, 1.0), check_range("v_min", v_min, 1e-9, v0)
        self.prune_below: float = check_range("prune_below", prune_below, -1.0, 1.0)
        self.stop_value: float = check_range("stop_value", stop_value, 0.0, 2.0)
        self.selection: Selection = selection or BudgetAware()
        if not callable(self.selection):
            raise TypeError(f"selection must be callable, got {selection!r}")
        self.answer_rule: str = check_choice("answer_rule", answer_rule, ANSWER_RULES)

    def run(self, question: str, max_depth: int = 10, plan: Plan = None, resume: Trace | None = None) -> Events:
        """The search itself, one event at a time; `self.result` and `self.trace` hold what there is so far.

        >>> from bavt_minimal.models import ScriptedModel
        >>> search = BudgetAwareValueTreeSearch(ScriptedModel({}, default={"London": 1}), budget=64)
        >>> [event.kind for event in search.run("Where was Ada born?")]
        ['started', 'selected', 'expanded', 'pruned', 'pruned', 'scored', 'added', 'answered', ..., 'stopped']
        """
        # The share set aside at the start pays for one step and its judgment, without their prompts.
        share = Budget(self.generator.max_new_tokens + judge_tokens(self.critic), 1)
        tree = self.start(question, max_depth, plan, resume, share)
        tree.prune_below = self.prune_below
        yield tree.record("started", tree.root, **tree.trace.header)
        try:
            frontier = Frontier(tree, self.max_widen)
            while not (reason := self._reason(tree, frontier)):
                node, chance = self._select(tree, frontier)
                yield tree.record("selected", node, chance=chance, frontier=len(frontier), ratio=tree.ledger.ratio())
                yield from tree.expand(node, self.num_candidates)
                if tree.answer is not None:
                    tree.ledger.release_backstop()
                frontier.update(node)
            if tree.answer is None and len(tree.generator.plan) <= max_depth:
                yield from self._backstop(tree, max_depth)
        except BaseException as error:
            self.fail(tree, error)
            raise
        yield self.stop(tree, reason)

    def _reason(self, tree: Expansion, frontier: Frontier) -> str:
        """Why there is no node to expand; "" if there is one."""
        if self.answer_rule == "best" and tree.answer is not None and tree.answer.value >= self.stop_value:
            return "answered"
        if tree.ledger.left("tokens", "generator") < 1 + tree.judge_tokens:
            return "tokens"
        if len(frontier) and tree.expansions < self.max_expansions:
            return ""
        nodes = [node for node in tree.nodes if tree.is_open(node) and node.expansions < self.max_widen]
        shallow = [node for node in nodes if tree.depth(node) < tree.max_depth]
        if not shallow:
            short = {"tokens", "tool_calls"}.intersection(tree.closed.values())
            return "depth" if nodes else min(short, default="exhausted")
        return "exhausted" if tree.expansions >= self.max_expansions else tree.short_of(shallow[-1])

    def _select(self, tree: Expansion, frontier: Frontier) -> tuple[TreeNode, float]:
        """Draw a node. The draw depends on the seed and its number only, so that a search can be resumed."""
        probabilities = self.selection(frontier.values, frontier.visits, tree.ledger.ratio())
        rng = np.random.default_rng((self.generator.seed, tree.expansions))
        index = sample_index(probabilities, len(frontier), rng)
        return tree.nodes[frontier.ids[index]], float(probabilities[index])

    def _backstop(self, tree: Expansion, max_depth: int) -> Events:
        """Force an answer: follow the plan from the furthest node, the best of these, with all that is left.

        If there is none the planner has failed: the question is asked as its own single step.
        """
        tree.ledger.release_backstop()
        tree.unique, tree.prune_below, tree.planner = False, -1.0, None
        tree.closed.clear()  # what was too dear for the search may be paid for by the share set aside
        for _ in range(self.max_widen * max(len(tree.follow(node)[0].plan) for node in tree.nodes)):
            nodes = [node for node in tree.nodes if tree.is_open(node) and tree.depth(node) < max_depth]
            if not nodes or tree.answer is not None or tree.ledger.left("tokens") < 1 + tree.judge_tokens:
                return  # without a token for a step and its judgment a page would be read for nothing
            yield from tree.expand(max(nodes, key=lambda node: (node.depth, node.value)), 1, role="backstop")
