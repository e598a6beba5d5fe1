"""The baselines, on the same ledger: whole chains of steps, then a vote or a judge.

`ParallelChains` is the paper's baseline, parallel sampling with majority vote. With a critic it returns the best-valued
chain instead. `share_pages` lets a chain use the pages that an earlier one paid for.
"""

from __future__ import annotations

from typing import Any

from .budget import Budget
from .checks import check_count
from .critic import ConstantCritic, Critic
from .expansion import Expansion
from .planner import Planner
from .searcher import Searcher
from .steps import LanguageModel, Plan, Tool
from .trace import Events, Trace


class ParallelChains(Searcher):
    """Sample chains until the budget is spent; answer by majority vote, or by `critic` if there is one.

    With a `planner`, and without a plan, each chain draws its own plan first; one whose plan is malformed ends there.

    >>> from bavt_minimal.models import ScriptedModel
    >>> chains = ParallelChains(ScriptedModel({}, default={"London": 3, "Paris": 1}), budget=40)
    >>> result = chains.search("Where was Ada born?")
    >>> result.answer, len(result.root.children), result.ledger.spent["tokens"]
    ('London', 20, 40)
    """

    share_pages: bool
    max_chains: int

    def __init__(
        self,
        model: LanguageModel,
        critic: Critic | None = None,
        budget: Budget | int | None = None,
        tool: Tool | None = None,
        *,
        share_pages: bool = False,
        max_chains: int = 64,
        charge_prompt: bool = False,
        planner: Planner | None = None,
        **options: Any,
    ):
        super().__init__(model, critic or ConstantCritic(), budget, tool, charge_prompt, options, planner)
        self.answer_rule = "best" if critic else "majority"
        self.share_pages, self.max_chains = share_pages, check_count("max_chains", max_chains, least=1)

    def run(self, question: str, max_depth: int = 10, plan: Plan = None, resume: Trace | None = None) -> Events:
        """One event at a time; the chains are the branches below the root."""
        tree = self.start(question, max_depth, plan, resume, Budget(0, 0))
        tree.unique = False
        yield tree.record("started", tree.root, **tree.trace.header)
        reason = "exhausted" if len(tree.generator.plan) <= max_depth else "depth"
        try:
            for _ in range(self.max_chains):
                yield from self._chain(tree, max_depth)
                short = {"tokens", "tool_calls"}.intersection(tree.closed.values())
                if short or tree.ledger.left("tokens") < 1:
                    reason = min(short, default="tokens")
                    break
        except BaseException as error:
            self.fail(tree, error)
            raise
        yield self.stop(tree, reason)

    def _chain(self, tree: Expansion, max_depth: int) -> Events:
        node = tree.root
        while not node.terminal and tree.depth(node) < max_depth:
            known = len(tree.nodes)
            yield from tree.expand(node, 1, again=tree.generator.tool is not None and not self.share_pages)
            if len(tree.nodes) == known:
                return
            node = tree.nodes[-1]


def greedy_chain(model: LanguageModel, budget: Budget | int | None = None, tool: Tool | None = None) -> ParallelChains:
    """One chain that always takes the most likely token.

    >>> from bavt_minimal.models import ScriptedModel
    >>> chain = greedy_chain(ScriptedModel({}, default={"London": 3, "Paris": 1}), budget=40)
    >>> result = chain.search("Where was Ada born?")
    >>> result.answer, result.ledger.spent["tokens"]
    ('London', 2)
    """
    return ParallelChains(model, None, budget, tool, max_chains=1, temperature=0.0)
