"""The baselines on the same ledger: calls, votes and ranks against a second count."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from scipy.stats import chisquare

from bavt_minimal import (
    Budget,
    BudgetAwareValueTreeSearch,
    ConstantCritic,
    LogProbCritic,
    ParallelChains,
    SearchResult,
    TreeNode,
    greedy_chain,
)
from bavt_minimal.models.scripted import ScriptedModel

FIRST = {"Rome": 0.5, "Oslo": 0.3, "Bonn": 0.2}
PLAN = ["Where is it?", "Who runs #1?"]
MODEL = ScriptedModel(
    {
        "Question: Where is it?\nAnswer:": FIRST,
        "runs Rome?\nAnswer:": {"Ann": 0.6, "Bob": 0.4},
        "runs Oslo?\nAnswer:": {"Bob": 0.9, "Cy": 0.1},
    },
    default={"Di": 1.0},
)


class Tool:
    def __init__(self) -> None:
        self.queries: list[str] = []

    def __call__(self, query: str) -> str:
        self.queries.append(query)
        return f"A page about {query}."


def paths(result: SearchResult) -> list[list[TreeNode]]:
    """The chains: every leaf's path below the root."""

    def leaves(node: TreeNode) -> list[TreeNode]:
        return [node] if not node.children else [leaf for child in node.children for leaf in leaves(child)]

    return [leaf.path()[1:] for leaf in leaves(result.root)]


@pytest.mark.parametrize("seed", range(20))
def test_the_majority_is_that_of_a_counter(seed: int) -> None:
    result = ParallelChains(MODEL, None, 80, seed=seed).search("Who?", plan=PLAN)
    votes = Counter(path[-1].text for path in paths(result) if path[-1].terminal)
    assert votes[result.answer] == max(votes.values()) and result.reason == "tokens"
    assert sum(votes.values()) == 80 // 4
    assert result.ledger.spent["tokens"] == sum(2 for path in paths(result) for _ in path) <= 80


@pytest.mark.parametrize("seed", range(20))
def test_reranking_takes_the_highest_value(seed: int) -> None:
    result = ParallelChains(MODEL, LogProbCritic(), 80, seed=seed).search("Who?", plan=PLAN)
    answers = [path[-1] for path in paths(result) if path[-1].terminal]
    assert result.value == max(node.value for node in answers) and result.node in answers


def test_chains_follow_the_models_probabilities() -> None:
    result = ParallelChains(MODEL, None, None, max_chains=1200, seed=1).search("Who?", plan=PLAN)
    seen = Counter((path[0].text, path[1].text) for path in paths(result))
    expected = {
        ("Rome", "Ann"): 0.3,
        ("Rome", "Bob"): 0.2,
        ("Oslo", "Bob"): 0.27,
        ("Oslo", "Cy"): 0.03,
        ("Bonn", "Di"): 0.2,
    }
    assert sum(seen.values()) == 1200 and set(seen) == set(expected)
    assert chisquare([seen[key] for key in expected], [1200 * p for p in expected.values()]).pvalue > 1e-3
    assert result.reason == "exhausted"


@pytest.mark.parametrize("share", [False, True])
def test_pages_are_paid_for_each_time_or_once(share: bool) -> None:
    tool = Tool()
    result = ParallelChains(MODEL, None, Budget(200, 30), tool, share_pages=share, max_chains=10, seed=3).search(
        "Who?", plan=PLAN
    )
    needed = [PLAN[0], *[path[0].text for path in paths(result)]]
    if share:
        assert Counter(tool.queries) == Counter(set(needed))
    else:
        assert len(tool.queries) == 20 and Counter(tool.queries)[PLAN[0]] == 10
    assert result.ledger.spent["tool_calls"] == len(tool.queries) <= 30
    assert len(paths(result)) == 10


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("calls", range(8))
def test_tool_calls_never_pass_the_budget(share: bool, calls: int) -> None:
    tool = Tool()
    result = ParallelChains(MODEL, None, Budget(None, calls), tool, share_pages=share, seed=calls).search(
        "Who?", plan=PLAN
    )
    assert len(tool.queries) == result.ledger.spent["tool_calls"] <= calls
    assert result.reason == ("tool_calls" if not share or calls < 4 else "exhausted")
    assert (result.answer == "") == (calls == 0)


@pytest.mark.parametrize("critic", [None, LogProbCritic(), ConstantCritic(-0.3)])
@pytest.mark.parametrize("tokens", range(13))
def test_small_budgets(tokens: int, critic: Any) -> None:
    result = ParallelChains(MODEL, critic, tokens).search("Who?", plan=PLAN)
    assert result.ledger.spent["tokens"] <= tokens and result.reason == "tokens"
    assert result.node.terminal == (tokens >= 4) and (result.answer != "") == (tokens >= 2)
    assert result.trace.events[-1].kind == "stopped"


def test_the_greedy_chain_is_one_chain_of_the_likeliest_steps() -> None:
    for _ in range(3):
        result = greedy_chain(MODEL, 100).search("Who?", plan=PLAN)
        assert [[node.text for node in path] for path in paths(result)] == [["Rome", "Ann"]]
        assert result.ledger.spent["tokens"] == 4 and result.answer == "Ann"


def test_a_chain_that_is_too_shallow_says_depth() -> None:
    result = ParallelChains(MODEL, None, 100).search("Who?", 1, PLAN)
    assert result.reason in {"depth", "tokens"} and not result.node.terminal


def test_a_tool_that_raises_ends_its_chain_only() -> None:
    calls: list[str] = []

    def tool(query: str) -> str:
        calls.append(query)
        if len(calls) % 2:
            raise ConnectionError("gone")
        return "A page."

    result = ParallelChains(MODEL, None, Budget(100, 9), tool).search("Who?", plan=["Where is it?"])
    assert len(calls) == 9 == result.ledger.spent["tool_calls"] and result.answer in FIRST
    assert result.reason == "tool_calls" and len(paths(result)) == 4


def test_a_tool_that_always_raises_ends_too() -> None:
    def tool(query: str) -> str:
        raise ConnectionError("gone")

    for budget in (Budget(100, 9), Budget(100), None):
        result = ParallelChains(MODEL, None, budget, tool).search("Who?", plan=PLAN)
        assert result.answer == "" and result.reason in {"tool_calls", "exhausted"}


def test_tree_and_chains_count_alike() -> None:
    """One hop, one candidate a time: both draw the same samples and pay the same."""
    chains = ParallelChains(MODEL, None, 20, max_chains=4, seed=5).search("Where?", plan=PLAN[:1])
    tree = BudgetAwareValueTreeSearch(
        MODEL, None, 20, num_candidates=1, max_widen=4, seed=5, stop_value=2.0, answer_rule="majority"
    ).search("Where?", plan=PLAN[:1])
    drawn = [[e.data["steps"] for e in r.trace.events if e.kind == "expanded"] for r in (chains, tree)]
    assert drawn[0] == drawn[1] and chains.ledger.rows == tree.ledger.rows
