"""Peers on our meter, with scripted trees: they find, they stop, they cost what the ledger says."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bavt_minimal import Budget, LogProbCritic, SearchResult, Step, Trace, TreeNode
from bavt_minimal.budget import Ledger
from bavt_minimal.models.scripted import ScriptedModel

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
peers: Any = importlib.import_module("peers")

NAMES = tuple(peers.PEERS)
PLAN = ["Where is it?", "Who runs #1?"]
MODEL = ScriptedModel(
    {
        "Question: Where is it?\nAnswer:": {"Rome": 0.5, "Oslo": 0.3, "Where is it": 0.1, "": 0.1},
        "runs Rome?\nAnswer:": {"Ann": 0.6, "Bob Lee": 0.4},
        "runs Oslo?\nAnswer:": {"Bob Lee": 0.9, "Cy": 0.1},
    },
)
REASONS = {"answered", "tokens", "tool_calls", "exhausted"}


class Meter:
    """A model and a tool that count for themselves."""

    name = "metered"

    def __init__(self) -> None:
        self.tokens, self.queries = 0, []
        self.score, self.encode, self.count_tokens = MODEL.score, MODEL.encode, MODEL.count_tokens

    def sample(self, prompt: str, k: int, **options: Any) -> Any:
        samples = MODEL.sample(prompt, k, **options)
        self.tokens += sum(sample.tokens for sample in samples)
        return samples

    def __call__(self, query: str) -> str:
        self.queries.append(query)
        return f"A page about {query}."


class Judge:
    """Knows the right steps, and generates one token for each judgment."""

    tokens_per_step = 1

    def __init__(self, right: Sequence[str] = ("Oslo", "Bob Lee")) -> None:
        self.right, self.judged = right, 0

    def __call__(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        for _ in steps:
            with ledger.reserve("critic", tokens=1) as call:
                call.spend(tokens=1)
            self.judged += 1
        return [0.4 if (*step.answers, step.text) == self.right[: len(step.answers) + 1] else -0.4 for step in steps]


def build(
    name: str, model: Any = MODEL, critic: Any = None, budget: Any = None, tool: Any = None, **options: Any
) -> Any:
    package = peers.PEERS[name][1].package
    pytest.importorskip(peers.PEERS[name][0], reason=f"{package} is not installed: {peers.INSTALL[package]}")
    return peers.methods()[name](model, critic, budget, tool, **options)


def nodes(root: TreeNode) -> list[TreeNode]:
    return [root, *(below for child in root.children for below in nodes(child))]


def charged(result: SearchResult) -> tuple[int, int]:
    """Tokens and tool calls, counted again from what the events say was drawn, judged and read."""
    drawn = sum(
        tokens for e in result.trace.events if e.kind == "expanded" for _, tokens, *_ in e.data.get("steps", ())
    )
    judged = sum(len(e.data["residuals"]) for e in result.trace.events if e.kind == "scored" and "residuals" in e.data)
    return drawn + judged, sum(e.kind == "read" and "page" in e.data for e in result.trace.events)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("name", NAMES)
def test_the_peer_finds_the_answer(name: str, seed: int) -> None:
    result = build(name, Meter(), Judge(), Budget(300, 20), Meter(), seed=seed, restart=True).search("Who?", plan=PLAN)
    assert (result.answer, result.reason, result.forced) == ("Bob Lee", "answered", False)
    assert result.node.parent is not None and result.node.parent.text == "Oslo"


@pytest.mark.parametrize("name", NAMES)
def test_no_budget_is_passed(name: str) -> None:
    build(name)

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(st.integers(0, 60), st.integers(0, 8), st.integers(0, 3), st.booleans(), st.booleans(), st.booleans())
    def check(tokens: int, calls: int, seed: int, restart: bool, judged: bool, prompts: bool) -> None:
        model, tool, critic = Meter(), Meter(), Judge()
        budget = Budget(tokens * (50 if prompts else 1), calls)  # a prompt is longer than 60 tokens
        options = {"seed": seed, "restart": restart, "charge_prompt": prompts}
        search = build(name, model, critic if judged else None, budget, tool, **options)
        result = search.search("Who?", plan=PLAN)
        used = model.tokens + critic.judged + (result.ledger.prompt_tokens if prompts else 0)
        assert result.ledger.spent == {"tokens": used, "tool_calls": len(tool.queries)}
        assert used <= budget.tokens and len(tool.queries) <= calls
        assert len(tool.queries) == len(set(tool.queries))  # a page is paid for once
        assert result.reason in REASONS and result.trace.events[-1].kind == "stopped"
        if calls == 0 or tokens < 1:
            assert result.answer == "" and result.forced

    check()


@pytest.mark.parametrize("tokens", [10, 30, 60, 120])
@pytest.mark.parametrize("name", NAMES)
def test_the_trace_and_the_ledger_agree(name: str, tokens: int) -> None:
    for judge in (Judge(), LogProbCritic()):
        result = build(name, MODEL, judge, Budget(tokens, 6), Meter(), restart=True).search("Who?", plan=PLAN)
        drawn, read = charged(result)
        if isinstance(judge, LogProbCritic):
            drawn -= sum(len(e.data["residuals"]) for e in result.trace.events if e.kind == "scored")
        assert (drawn, read) == (result.ledger.spent["tokens"], result.ledger.spent["tool_calls"])


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_search(name: str) -> None:
    def run(seed: int) -> SearchResult:
        return build(name, MODEL, None, 80, Meter(), seed=seed, restart=True).search("Who?", plan=PLAN)

    for seed in (0, 2**40):
        np.random.seed(5)
        first = run(seed)
        left = np.random.random()
        np.random.seed(5)
        assert left == np.random.random()  # the caller's random numbers are untouched
        second = run(seed)  # and change nothing: this search began from another state of them
        assert first.trace.events == second.trace.events and first.ledger.rows == second.ledger.rows
    assert len({str(run(seed).trace.events) for seed in range(5)}) > 1


@pytest.mark.parametrize("name", NAMES)
def test_a_search_goes_on_from_half_its_trace(name: str) -> None:
    search = build(name, MODEL, None, 60, Meter(), seed=3, restart=True)
    whole = search.search("Who?", plan=PLAN)
    half = Trace(whole.trace.header, whole.trace.events[: len(whole.trace.events) // 2])
    tool = Meter()
    search.generator.tool = tool
    again = search.search("Who?", plan=PLAN, resume=half)
    assert again.trace.events == whole.trace.events and again.ledger.rows == whole.ledger.rows
    assert len(tool.queries) < whole.ledger.spent["tool_calls"]


@pytest.mark.parametrize("name", NAMES)
def test_listeners_hear_every_event_once(name: str) -> None:
    heard: list[Any] = []
    result = build(name, MODEL, None, 60, Meter(), restart=True).search("Who?", plan=PLAN, listeners=[heard.append])
    assert heard == result.trace.events


@pytest.mark.parametrize("name", NAMES)
def test_without_a_budget_it_ends_too(name: str) -> None:
    """One answer, always the same: nothing is left to find, and each peer would go on for ever."""
    model = ScriptedModel({}, default={"Ann": 1.0})
    for restart in (False, True):
        result = build(name, model, max_expansions=40, restart=restart).search("Who?")
        assert (result.answer, result.reason) == ("Ann", "exhausted")
        assert [node.text for node in nodes(result.root)[1:]] == ["Ann"]
        widens = restart or name == "TreeQuest AB-MCTS-A"
        assert result.root.expansions == (40 if widens else 2 if name == "TreeQuest MCTS" else 1)


@pytest.mark.parametrize("name", NAMES)
def test_a_tool_that_always_raises_ends_too(name: str) -> None:
    def tool(query: str) -> str:
        raise ConnectionError("gone")

    for budget in (Budget(100, 9), None):
        result = build(name, MODEL, None, budget, tool, max_expansions=30, restart=True).search("Who?", plan=PLAN)
        assert result.answer == "" and result.reason in {"tool_calls", "exhausted"}
        assert result.ledger.spent["tokens"] == 0


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_expanded_below_the_depth_limit(name: str) -> None:
    result = build(name, MODEL, None, 200, restart=True).search("Who?", 1, PLAN)
    assert max(node.depth for node in nodes(result.root)) == 1 and not result.node.terminal
    assert all(event.node == 0 for event in result.trace.events if event.kind == "selected")


@pytest.mark.parametrize("name", NAMES)
def test_a_failing_model_leaves_a_result(name: str) -> None:
    class Broken(Meter):
        def sample(self, prompt: str, k: int, **options: Any) -> Any:
            if "runs" in prompt:
                raise OSError("no more")
            return super().sample(prompt, k, **options)

    search = build(name, Broken(), None, 200, Meter(), restart=True)
    with pytest.raises(OSError, match="no more"):
        search.search("Who?", plan=PLAN)
    assert search.result.reason == "error" and search.result.ledger.spent["tokens"] > 0


# How each peer chooses


def test_treequests_mcts_draws_so_many_samples_a_node() -> None:
    options = {"settings": {"samples_per_action": 4}, "stop_value": 2.0}
    result = build("TreeQuest MCTS", MODEL, None, 500, **options).search("Who?", plan=PLAN)
    inner = [node.expansions for node in nodes(result.root) if not node.terminal]
    # Rome drawn three times is three nodes of the peer's tree and one of ours.
    assert inner[0] == 4 and max(inner[1:]) > 4 and not any(number % 4 for number in inner)
    assert result.reason == "exhausted" and len(inner) < 4
    result = build("TreeQuest MCTS", MODEL, None, 500, duplicates="nothing", **options).search("Who?", plan=PLAN)
    assert {node.expansions for node in nodes(result.root) if not node.terminal} == {4}


def test_ab_mcts_widens_with_what_it_has() -> None:
    result = build("TreeQuest AB-MCTS-A", MODEL, None, 300, stop_value=2.0).search("Who?", plan=PLAN)
    assert result.reason == "tokens" and result.root.expansions > 4
    assert all(node.expansions > 0 for node in nodes(result.root) if node.children)


def test_rap_draws_the_candidates_of_a_node_once() -> None:
    result = build("llm-reasoners MCTS", MODEL, None, 500, num_candidates=4).search("Who?", plan=PLAN)
    assert result.reason == "exhausted" and {n.expansions for n in nodes(result.root) if n.children} == {1}
    assert result.ledger.spent["tokens"] < 500


@pytest.mark.parametrize("width", [1, 2])
def test_the_beam_keeps_the_best(width: int) -> None:
    critic, plan = LogProbCritic(), ["Where is it?", "Who runs #1?"]
    for seed in range(10):
        options = {"num_candidates": 8, "settings": {"beam_size": width}, "stop_value": 2.0}
        result = build("llm-reasoners beam", MODEL, critic, 500, seed=seed, **options).search("Who?", plan=plan)
        best = sorted((node.value for node in result.root.children), reverse=True)[:width]
        assert sorted((n.value for n in result.root.children if n.expansions), reverse=True) == best


# Settings


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_of_the_grid_runs(name: str) -> None:
    build(name)
    for chosen in peers.GRID[name]:
        search = peers.methods({name: chosen})[name](MODEL, None, Budget(40, 8), Meter())
        result = search.search("Who?", plan=PLAN)
        assert result.node.terminal and result.trace.header["settings"] == repr(chosen["settings"])
    assert len({repr(chosen) for chosen in peers.GRID[name]}) == len(peers.GRID[name])


def test_the_grid_begins_with_the_peers_defaults() -> None:
    assert set(peers.GRID) == set(NAMES)
    build("TreeQuest MCTS")
    build("llm-reasoners MCTS")
    treequest, reasoners = importlib.import_module("treequest"), importlib.import_module("reasoners.algorithm")
    prior = importlib.import_module("treequest.algos.ab_mcts_a.prob_state").GaussianPrior()
    first = {name: entries[0]["settings"] for name, entries in peers.GRID.items()}

    def default(kind: Any) -> dict[str, Any]:
        return {key: value.default for key, value in inspect.signature(kind).parameters.items()}

    assert first["TreeQuest MCTS"].items() <= default(treequest.StandardMCTS).items()
    assert first["TreeQuest AB-MCTS-A"]["dist_type"] == default(treequest.ABMCTSA)["dist_type"]
    assert first["TreeQuest AB-MCTS-A"]["prior"].items() <= vars(prior).items()
    theirs, ours = default(reasoners.MCTS), first["llm-reasoners MCTS"]
    assert ours["w_exp"] == theirs["w_exp"] and theirs["calc_q"] is np.mean and ours["calc_q"] == "mean"
    assert theirs["cum_reward"] is sum is peers.RULES[ours["cum_reward"]]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("TreeQuest MCTS", {"settings": {"width": 3}}, "a setting of mcts must be one of samples_per_action"),
        ("TreeQuest AB-MCTS-A", {"settings": {"prior": {"mean": 3}}}, "mean"),
        ("TreeQuest MCTS", {"duplicates": "drop"}, "duplicates must be one of again, nothing, got 'drop'"),
        ("llm-reasoners MCTS", {"settings": {"cum_reward": "median"}}, "cum_reward must be one of sum, mean"),
        ("llm-reasoners beam", {"settings": {"beam_size": 0}}, "beam_size must be at least 1, got 0"),
        ("llm-reasoners beam", {"num_candidates": 0}, "num_candidates must be at least 1, got 0"),
        ("llm-reasoners beam", {"patience": 0}, "patience must be at least 1, got 0"),
    ],
)
def test_a_wrong_setting_is_named(name: str, options: Any, message: str) -> None:
    build(name)
    with pytest.raises((TypeError, ValueError), match=message):
        build(name, **options)


def test_a_peer_that_is_not_there_says_how_to_get_it() -> None:
    with pytest.raises(ImportError, match=r"treequest cannot be imported .*pip install"):
        peers.load("no_such_module", "treequest")
    with pytest.raises(ValueError, match="a peer's name must be one of TreeQuest AB-MCTS-A"):
        peers.methods({"LATS": {}})
