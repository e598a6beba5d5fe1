"""One model, two roles: it proposes steps and it judges them. Names from the implementation guide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .budget import Budget
from .chains import ParallelChains
from .checks import check_count, check_list
from .critic import Critic
from .search import BudgetAwareValueTreeSearch
from .searcher import SearchResult
from .steps import LanguageModel, Plan, Tool, normalize


class DualRoleLLMAgent:
    """Answers questions under a budget with one model. `options` go to `BudgetAwareValueTreeSearch`.

    With `planner=` among them a bare question is answered with a plan of the agent's own; `plan=` takes its place.

    >>> from bavt_minimal.models import ScriptedModel
    >>> agent = DualRoleLLMAgent(ScriptedModel({}, default={"London": 3, "Paris": 1}))
    >>> agent.reason_with_budget("Where was Ada born?", 64).answer
    'London'
    """

    model: LanguageModel
    tool: Tool | None
    critic: Critic | None
    options: dict[str, Any]

    def __init__(self, model: LanguageModel, tool: Tool | None = None, critic: Critic | None = None, **options: Any):
        self.model, self.tool, self.critic, self.options = model, tool, critic, options
        sampling = ("seed", "temperature", "top_k", "max_new_tokens")
        self.sampling: dict[str, Any] = {name: options[name] for name in sampling if name in options}

    def reason_with_budget(
        self, question: str, budget_tokens: int | Budget, max_depth: int = 10, plan: Plan = None
    ) -> SearchResult:
        """Search within `budget_tokens` generated tokens, or within a `Budget` of tokens and tool calls."""
        search = BudgetAwareValueTreeSearch(self.model, self.critic, budget_tokens, self.tool, **self.options)
        return search.search(question, max_depth, plan)

    def generate_next_steps(self, context: str, num_candidates: int = 3) -> list[str]:
        """`num_candidates` continuations of a prompt, each one line (8 tokens unless options say so).

        >>> from bavt_minimal.models import ScriptedModel
        >>> DualRoleLLMAgent(ScriptedModel({}, default={"London": 1})).generate_next_steps("Ada was born in", 2)
        ['London', 'London']
        """
        samples = self.model.sample(context, check_count("num_candidates", num_candidates), **self.sampling)
        return [sample.text for sample in samples]

    def compare_budgets(
        self, question: str, budgets: Sequence[int | Budget] = (100, 250, 500, 1000), plan: Plan = None
    ) -> dict[int | Budget, SearchResult]:
        """The same question under each budget.

        >>> from bavt_minimal.models import ScriptedModel
        >>> agent = DualRoleLLMAgent(ScriptedModel({}, default={"London": 3, "Paris": 1}))
        >>> results = agent.compare_budgets("Where was Ada born?", budgets=[1, 64])
        >>> {budget: result.answer for budget, result in results.items()}
        {1: '', 64: 'London'}
        """
        return {b: self.reason_with_budget(question, b, plan=plan) for b in check_list("budgets", budgets)}

    def reason_fixed_budget(self, question: str, budget: int | Budget, plan: Plan = None) -> SearchResult:
        """The baseline: parallel chains and a majority vote within the same budget.

        >>> from bavt_minimal.models import ScriptedModel
        >>> agent = DualRoleLLMAgent(ScriptedModel({}, default={"London": 3, "Paris": 1}))
        >>> agent.reason_fixed_budget("Where was Ada born?", 64).answer
        'London'
        """
        shared = {name: self.options[name] for name in ("examples", "charge_prompt", "planner") if name in self.options}
        chains = ParallelChains(self.model, None, budget, self.tool, **self.sampling, **shared)
        return chains.search(question, plan=plan)

    @staticmethod
    def evaluate(answer: str, question: object) -> float:
        """1.0 if `answer` is the gold answer up to case, articles and punctuation, else 0.0.

        `question` carries the gold answer as `.answer`, like `tasks.Gold`, and others that count as right in
        `.aliases`, if there are any. Only this method may see them.

        >>> from bavt_minimal.tasks import Gold
        >>> DualRoleLLMAgent.evaluate("the River Orme.", Gold("River Orme"))
        1.0
        """
        if not isinstance(answer, str) or not isinstance(gold := getattr(question, "answer", None), str):
            raise TypeError(f"evaluate needs a string and an object with .answer, got {answer!r} and {question!r}")
        said, right = normalize(answer), {normalize(each) for each in (gold, *getattr(question, "aliases", ()))}
        return float(bool(said) and said in right)
