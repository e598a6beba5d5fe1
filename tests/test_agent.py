"""The guide's names on the agent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

import bavt_minimal
from bavt_minimal import Budget, BudgetAwareValueTreeSearch, DualRoleLLMAgent, LogProbCritic, ParallelChains, TreeNode
from bavt_minimal.models.scripted import ScriptedModel
from bavt_minimal.tasks.data import Gold

PLAN = ["Where is it?", "Who runs #1?"]
MODEL = ScriptedModel({"Question: Where is it?\nAnswer:": {"Rome": 0.7, "Oslo": 0.3}}, default={"Ann": 0.6, "Bob": 0.4})


def test_the_guides_names_are_importable() -> None:
    for name in ("BudgetAwareUCB", "TreeNode", "BudgetAwareValueTreeSearch", "DualRoleLLMAgent"):
        assert hasattr(bavt_minimal, name) and name in bavt_minimal.__all__
    node = TreeNode("text")
    for name in ("text", "parent", "children", "visit_count", "value_sum", "residual_value"):
        assert hasattr(node, name)
    for name in bavt_minimal.__all__:
        assert getattr(bavt_minimal, name).__doc__, name


def test_reason_with_budget_is_the_search() -> None:
    agent = DualRoleLLMAgent(MODEL, seed=4)
    search = BudgetAwareValueTreeSearch(MODEL, None, 60, seed=4).search("Who?", plan=PLAN)
    assert agent.reason_with_budget("Who?", 60, plan=PLAN).trace.events == search.trace.events
    assert agent.reason_with_budget("Who?", Budget(60), 10, PLAN).trace.events == search.trace.events


def test_options_reach_the_search() -> None:
    agent = DualRoleLLMAgent(
        MODEL, lambda query: "A page.", LogProbCritic(0.2), num_candidates=2, answer_rule="majority", max_new_tokens=5
    )
    result = agent.reason_with_budget("Who?", Budget(60, 5), plan=PLAN)
    header = result.trace.header
    assert header["num_candidates"] == 2 and header["answer_rule"] == "majority" and header["max_new_tokens"] == 5
    assert "0.2" in header["critic"] and result.ledger.spent["tool_calls"] > 0


def test_generate_next_steps() -> None:
    agent = DualRoleLLMAgent(MODEL, seed=1)
    steps = agent.generate_next_steps("Question: Where is it?\nAnswer:", 5)
    assert steps == [s.text for s in MODEL.sample("Question: Where is it?\nAnswer:", 5, seed=1)]
    assert len(agent.generate_next_steps("Question: Where is it?\nAnswer:")) == 3
    assert agent.generate_next_steps("Question: Where is it?\nAnswer:", 0) == []


def test_compare_budgets() -> None:
    agent = DualRoleLLMAgent(MODEL)
    results = agent.compare_budgets("Who?", plan=PLAN)
    assert list(results) == [100, 250, 500, 1000]
    assert all(result.ledger.spent["tokens"] <= budget for budget, result in results.items())  # type: ignore[operator]
    assert list(agent.compare_budgets("Who?", [Budget(9, 1), 5], PLAN)) == [Budget(9, 1), 5]


def test_reason_fixed_budget_is_the_majority_of_chains() -> None:
    agent = DualRoleLLMAgent(MODEL, seed=4, num_candidates=2, examples="Few.\n", charge_prompt=True)
    chains = ParallelChains(MODEL, None, 200, seed=4, examples="Few.\n", charge_prompt=True).search("Who?", plan=PLAN)
    assert agent.reason_fixed_budget("Who?", 200, PLAN).trace.events == chains.trace.events


def test_without_a_plan_the_question_is_asked_as_it_is() -> None:
    assert DualRoleLLMAgent(MODEL).reason_with_budget("Where is it?", 40).answer in {"Rome", "Oslo"}


@dataclass
class Asked:
    answer: Any


@pytest.mark.parametrize(
    ("answer", "gold", "score"),
    [
        ("Rome", "Rome", 1.0),
        ("the  ROME.", "Rome", 1.0),
        ("Rome", "Oslo", 0.0),
        ("", "Rome", 0.0),
        ("", "", 0.0),
        ("the", "a", 0.0),
        ("River Orme", "The River Orme", 1.0),
    ],
)
def test_evaluate(answer: str, gold: str, score: float) -> None:
    assert DualRoleLLMAgent.evaluate(answer, Asked(gold)) == score
    assert DualRoleLLMAgent(MODEL).evaluate(answer, Gold(gold)) == score


@pytest.mark.parametrize(("answer", "question"), [("Rome", Asked(None)), ("Rome", "Rome"), (None, Asked("Rome"))])
def test_evaluate_needs_a_gold_answer(answer: Any, question: Any) -> None:
    with pytest.raises(TypeError, match="evaluate"):
        DualRoleLLMAgent.evaluate(answer, question)
