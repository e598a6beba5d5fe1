"""Budget-Aware Value Tree search (arXiv 2603.12634) on a real small language model."""

from .agent import DualRoleLLMAgent
from .budget import Budget, BudgetExceeded, Ledger
from .chains import ParallelChains, greedy_chain
from .critic import ConstantCritic, LogProbCritic, PromptedCritic
from .search import BudgetAwareValueTreeSearch
from .searcher import SearchResult
from .selection import BudgetAware, BudgetAwareUCB, greedy, uniform
from .steps import LanguageModel, Sample, Step
from .trace import Event, Trace
from .tree import TreeNode

__version__ = "0.1.0"

__all__ = [
    "Budget",
    "BudgetAware",
    "BudgetAwareUCB",
    "BudgetAwareValueTreeSearch",
    "BudgetExceeded",
    "ConstantCritic",
    "DualRoleLLMAgent",
    "Event",
    "LanguageModel",
    "Ledger",
    "LogProbCritic",
    "ParallelChains",
    "PromptedCritic",
    "Sample",
    "SearchResult",
    "Step",
    "Trace",
    "TreeNode",
    "greedy",
    "greedy_chain",
    "uniform",
]
