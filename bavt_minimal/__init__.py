"""Budget-Aware Value Tree search (arXiv 2603.12634) on a real small language model."""

from typing import TYPE_CHECKING, Any

from .agent import DualRoleLLMAgent
from .budget import Budget, BudgetExceeded, Ledger
from .chains import ParallelChains, greedy_chain
from .critic import ConstantCritic, LogProbCritic, PromptedCritic
from .planner import PLAN_EXAMPLES, Planner, format_plan, parse_plan
from .search import BudgetAwareValueTreeSearch
from .searcher import SearchResult
from .selection import BudgetAware, BudgetAwareUCB, greedy, uniform
from .steps import LanguageModel, Sample, Step
from .trace import Event, Trace
from .tree import TreeNode

if TYPE_CHECKING:
    from .critics.head import CriticHead, ResidualValuePredictor

__version__ = "0.1.0"

__all__ = [
    "Budget",
    "BudgetAware",
    "BudgetAwareUCB",
    "BudgetAwareValueTreeSearch",
    "BudgetExceeded",
    "ConstantCritic",
    "CriticHead",
    "DualRoleLLMAgent",
    "Event",
    "LanguageModel",
    "Ledger",
    "LogProbCritic",
    "PLAN_EXAMPLES",
    "ParallelChains",
    "Planner",
    "PromptedCritic",
    "ResidualValuePredictor",
    "Sample",
    "SearchResult",
    "Step",
    "Trace",
    "TreeNode",
    "format_plan",
    "greedy",
    "greedy_chain",
    "parse_plan",
    "uniform",
]


def __getattr__(name: str) -> Any:
    if name in ("CriticHead", "ResidualValuePredictor"):
        from .critics import head  # here, because it imports torch, and most of this package does without

        return getattr(head, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
