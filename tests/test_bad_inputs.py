"""Bad inputs: each a clear error that names the argument and what it was. None loses a trace."""

# The point of this file is what a type checker would refuse.
# mypy: disable-error-code="arg-type, list-item, dict-item, call-arg"
from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bavt_minimal import (
    Budget,
    BudgetAware,
    BudgetAwareUCB,
    BudgetAwareValueTreeSearch,
    BudgetExceeded,
    ConstantCritic,
    DualRoleLLMAgent,
    Event,
    Ledger,
    LogProbCritic,
    ParallelChains,
    PromptedCritic,
    Trace,
    TreeNode,
    greedy,
    greedy_chain,
    uniform,
)
from bavt_minimal.benchmark.oracle import OracleCritic
from bavt_minimal.budget import Row
from bavt_minimal.models.scripted import ScriptedModel
from bavt_minimal.searcher import choose_answer
from bavt_minimal.selection import sample_index
from bavt_minimal.steps import Generator
from bavt_minimal.tasks.data import load_data
from bavt_minimal.tasks.encyclopedia import load_split, make_world
from bavt_minimal.tasks.lookup import Lookup

M = ScriptedModel({}, default={"Rome": 1, "Oslo": 1})
NAN = math.nan


def tree(**options: Any) -> BudgetAwareValueTreeSearch:
    return BudgetAwareValueTreeSearch(M, **{"budget": 40} | options)


def ask(question: Any = "Where?", max_depth: Any = 10, plan: Any = None, resume: Any = None, **options: Any) -> Any:
    return tree(**options).search(question, max_depth, plan, resume)


def chain(**options: Any) -> ParallelChains:
    return ParallelChains(M, **{"budget": 40} | options)


def spend(**used: Any) -> None:
    with Ledger(Budget(9, 9)).reserve("generator", 5, 5) as call:
        call.spend(**used)


def ucb(*arguments: Any) -> float:
    return BudgetAwareUCB(1.0).compute_ucb_score(*arguments)


def answered() -> TreeNode:
    return TreeNode("root").add_child("the end", 0.0, terminal=True, id=4)


def resumed(header: dict[str, Any] | None = None, events: Any = None) -> Any:
    search = tree()
    search.search("Where?")
    trace = search.trace
    return ask(resume=Trace(trace.header | (header or {}), trace.events if events is None else events))


def data(content: Any) -> Any:
    def load(folder: Path) -> Any:
        path = folder / "mine.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return load_data(path)

    return load


def trace(content: str) -> Any:
    def load(folder: Path) -> Any:
        path = folder / "trace.json"
        path.write_text(content, encoding="utf-8")
        return Trace.load(path)

    return load


PAGE = {"pages": {"Rome": "A city."}}

# (what is called, the error, what its message has to hold: a regular expression for each word)
BAD: list[tuple[Callable[..., Any], Any, list[str]]] = [
    # Budget and ledger
    (lambda: Budget(-1), ValueError, ["tokens", "-1"]),
    (lambda: Budget(tool_calls=-1), ValueError, ["tool_calls", "-1"]),
    (lambda: Budget(1.5), TypeError, ["tokens", "1.5"]),
    (lambda: Budget("100"), TypeError, ["tokens", "'100'"]),
    (lambda: Budget(True), TypeError, ["tokens", "True"]),
    (lambda: Budget(NAN), TypeError, ["tokens", "nan"]),
    (lambda: Budget(5, [3]), TypeError, ["tool_calls", r"\[3\]"]),
    (lambda: Budget.of("100"), TypeError, ["budget", "'100'"]),
    (lambda: Budget.of(-5), ValueError, ["budget", "-5"]),
    (lambda: Ledger("40"), TypeError, ["budget", "'40'"]),
    (lambda: Ledger(Budget(4), backstop=-2), ValueError, ["budget", "-2"]),
    (lambda: Ledger().reserve("bank", 5), ValueError, ["role", "bank", "generator"]),
    (lambda: Ledger().reserve("generator", -5), ValueError, ["tokens", "-5"]),
    (lambda: Ledger().reserve("generator", 0.5), TypeError, ["tokens", "0.5"]),
    (lambda: Ledger().reserve("tool", tool_calls=NAN), TypeError, ["tool_calls", "nan"]),
    (lambda: Ledger().reserve("critic", prompt_tokens="7"), TypeError, ["prompt_tokens", "'7'"]),
    (lambda: Ledger(Budget(3)).reserve("critic", 4), BudgetExceeded, ["4 tokens", "3 left"]),
    (lambda: Ledger(Budget(3, 0)).reserve("tool", tool_calls=1), BudgetExceeded, ["1 tool calls", "0 left"]),
    (lambda: spend(tokens=6), ValueError, ["tokens", "6", "5"]),
    (lambda: spend(tool_calls=6), ValueError, ["tool.calls", "6", "5"]),
    (lambda: spend(tokens=-6), ValueError, ["tokens", "-6"]),
    (lambda: spend(tokens="6"), TypeError, ["tokens", "'6'"]),
    (lambda: Row("bank", 1), ValueError, ["role", "bank"]),
    # Tree
    (lambda: TreeNode("root").add_child("x", 1.5), ValueError, ["residual", "1.5"]),
    (lambda: TreeNode("root").add_child("x", NAN), ValueError, ["residual", "nan"]),
    (lambda: TreeNode("root").add_child("x", "much"), ValueError, ["residual", "'much'"]),
    (lambda: answered().add_child("x", 0.0), ValueError, ["node 4", "answer"]),
    # Selection
    (lambda: BudgetAware(alpha_max=-1), ValueError, ["alpha_max", "-1"]),
    (lambda: BudgetAware(alpha_max=NAN), ValueError, ["alpha_max", "nan"]),
    (lambda: BudgetAware(decay=0), ValueError, ["decay", "0"]),
    (lambda: BudgetAware(decay=1.5), ValueError, ["decay", "1.5"]),
    (lambda: BudgetAware(schedule=lambda r: NAN)([0.5], [0], 0.5), ValueError, ["schedule", "nan"]),
    (lambda: BudgetAware()([NAN], [0], 0.5), ValueError, ["values", "nan"]),
    (lambda: BudgetAware()([], [], 0.5), ValueError, ["values", "empty"]),
    (lambda: BudgetAware()([0.5], [0, 0], 0.5), ValueError, ["values", "visits"]),
    (lambda: BudgetAware()(["a"], [0], 0.5), TypeError, ["values", "'a'"]),
    (lambda: greedy([0.5], [-1], 0.5), ValueError, ["visits", "-1"]),
    (lambda: uniform([0.5], [0], 2.0), ValueError, ["r must", "2.0"]),
    (lambda: uniform([0.5], [0], "half"), ValueError, ["r must", "'half'"]),
    (lambda: BudgetAwareUCB(-1.0), ValueError, ["exploration_constant", "-1.0"]),
    (lambda: BudgetAwareUCB(1.0, 0), ValueError, ["total_budget", "0"]),
    (lambda: ucb(NAN, 2, 100, 25), ValueError, ["node_value", "nan"]),
    (lambda: ucb(3.0, -2, 100, 25), ValueError, ["visit_count", "-2"]),
    (lambda: ucb(3.0, 2, -100, 25), ValueError, ["total_budget", "-100"]),
    (lambda: ucb(3.0, 2, 100, 125), ValueError, ["remaining_budget", "125"]),
    (lambda: ucb(3.0, 2, 100, -1), ValueError, ["remaining_budget", "-1"]),
    (lambda: BudgetAwareUCB().select_best_child(TreeNode("leaf", id=9), 9, 9), ValueError, ["node 9", "no children"]),
    (lambda: sample_index([0.5, 0.6], 2, np.random.default_rng()), ValueError, ["selection", "0.6"]),
    # Critics
    (lambda: LogProbCritic(scale=2.0), ValueError, ["scale", "2.0"]),
    (lambda: LogProbCritic(scale=NAN), ValueError, ["scale", "nan"]),
    (lambda: PromptedCritic(M, scale=-1.0), ValueError, ["scale", "-1.0"]),
    (lambda: ConstantCritic(1.5), ValueError, ["value", "1.5"]),
    (lambda: OracleCritic("Rome"), TypeError, ["path", "Rome"]),
    (lambda: OracleCritic(["Rome"], scale=5), ValueError, ["scale", "5"]),
    (lambda: ask(critic=lambda steps, ledger: [0.1] * 99), ValueError, ["critic", "99"]),
    (lambda: ask(critic=lambda steps, ledger: None), TypeError, ["critic", "None"]),
    (lambda: ask(critic=lambda steps, ledger: "much"), TypeError, ["critic", "'much'"]),
    # The search's settings
    (lambda: BudgetAwareValueTreeSearch(None), TypeError, ["model", "None"]),
    (lambda: BudgetAwareValueTreeSearch("smollm"), TypeError, ["model", "smollm"]),
    (lambda: tree(critic="logprob"), TypeError, ["critic", "logprob"]),
    (lambda: tree(tool="lookup"), TypeError, ["tool", "lookup"]),
    (lambda: tree(selection="greedy"), TypeError, ["selection", "greedy"]),
    (lambda: tree(answer_rule="first"), ValueError, ["answer_rule", "first", "majority"]),
    (lambda: tree(answer_rule=None), ValueError, ["answer_rule", "None"]),
    (lambda: tree(budget="40"), TypeError, ["budget", "'40'"]),
    (lambda: tree(budget=40.0), TypeError, ["budget", "40.0"]),
    (lambda: tree(budget=-1), ValueError, ["budget", "-1"]),
    (lambda: tree(num_candidates=0), ValueError, ["num_candidates", "0"]),
    (lambda: tree(num_candidates=2.5), TypeError, ["num_candidates", "2.5"]),
    (lambda: tree(max_widen=0), ValueError, ["max_widen", "0"]),
    (lambda: tree(max_expansions=-1), ValueError, ["max_expansions", "-1"]),
    (lambda: tree(v0=1.5), ValueError, ["v0", "1.5"]),
    (lambda: tree(v_min=0), ValueError, ["v_min", "0"]),
    (lambda: tree(v_min=0.9), ValueError, ["v_min", "0.9"]),
    (lambda: tree(stop_value=NAN), ValueError, ["stop_value", "nan"]),
    (lambda: tree(stop_value=math.inf), ValueError, ["stop_value", "inf"]),
    (lambda: tree(seed=-1), ValueError, ["seed", "-1"]),
    (lambda: tree(seed=1.5), TypeError, ["seed", "1.5"]),
    (lambda: tree(seed=None), TypeError, ["seed", "None"]),
    (lambda: tree(temperature=-0.5), ValueError, ["temperature", "-0.5"]),
    (lambda: tree(temperature=NAN), ValueError, ["temperature", "nan"]),
    (lambda: tree(temperature="hot"), ValueError, ["temperature", "'hot'"]),
    (lambda: tree(top_k=-1), ValueError, ["top_k", "-1"]),
    (lambda: tree(max_new_tokens=0), ValueError, ["max_new_tokens", "0"]),
    (lambda: tree(examples=None), TypeError, ["examples", "None"]),
    (lambda: tree(num_candidate=3), TypeError, ["num_candidate"]),
    (lambda: tree(plan=["Where?"]), TypeError, ["plan"]),
    # Its question
    (lambda: ask(None), TypeError, ["question", "NoneType"]),
    (lambda: ask(""), ValueError, ["question", "empty"]),
    (lambda: ask(max_depth=0), ValueError, ["max_depth", "0"]),
    (lambda: ask(max_depth="deep"), TypeError, ["max_depth", "'deep'"]),
    (lambda: ask(plan="Where?"), TypeError, ["plan", "one string"]),
    (lambda: ask(plan=[]), ValueError, ["plan", "at least one"]),
    (lambda: ask(plan=7), TypeError, ["plan", "7"]),
    (lambda: ask(plan=["Where?", ""]), ValueError, ["plan step 2", "''"]),
    (lambda: ask(plan=["Who runs #1?"]), ValueError, ["plan step 1", "#1"]),
    (lambda: ask(plan=["Where?", "Who runs #5?"]), ValueError, ["plan step 2", "#5"]),
    (lambda: ask(resume="trace.json"), TypeError, ["resume", "str"]),
    (lambda: tree().search("Where?", listeners=print), TypeError, ["listeners", "print"]),
    (lambda: tree().search("Where?", listeners=[7]), TypeError, ["listeners|listener", "7"]),
    (lambda: resumed({"seed": 5}), ValueError, ["resume", "seed=5", "0"]),
    (lambda: resumed({"tokens": None}), ValueError, ["resume", "tokens=None", "40"]),
    (lambda: resumed(events=[Event("stopped", 3, {}, [], {})]), ValueError, ["resume", "stopped", "node 3"]),
    (lambda: Generator(M, max_new_tokens="8"), TypeError, ["max_new_tokens", "'8'"]),
    (lambda: choose_answer([answered()], "loudest"), ValueError, ["rule", "loudest", "majority"]),
    # Chains and agent
    (lambda: chain(max_chains=0), ValueError, ["max_chains", "0"]),
    (lambda: chain(critic=5), TypeError, ["critic", "5"]),
    (lambda: chain(tool=5), TypeError, ["tool", "5"]),
    (lambda: chain(seed="x"), TypeError, ["seed", "'x'"]),
    (lambda: chain().search("Where?", 0), ValueError, ["max_depth", "0"]),
    (lambda: chain().search("Where?", resume={}), TypeError, ["resume", "dict"]),
    (lambda: ParallelChains(object()), TypeError, ["model", "object"]),
    (lambda: greedy_chain(M, "40"), TypeError, ["budget", "'40'"]),
    (lambda: DualRoleLLMAgent(None).reason_with_budget("Where?", 40), TypeError, ["model", "None"]),
    (lambda: DualRoleLLMAgent(M).reason_with_budget("Where?", "40"), TypeError, ["budget", "'40'"]),
    (lambda: DualRoleLLMAgent(M).reason_fixed_budget("Where?", -4), ValueError, ["budget", "-4"]),
    (lambda: DualRoleLLMAgent(M).generate_next_steps("Where?", -1), ValueError, ["num_candidates", "-1"]),
    (lambda: DualRoleLLMAgent(M).generate_next_steps(5), TypeError, ["prompt", "int"]),
    (lambda: DualRoleLLMAgent(M).compare_budgets("Where?", [10, "x"]), TypeError, ["budget", "'x'"]),
    (lambda: DualRoleLLMAgent(M).compare_budgets("Where?", 100), TypeError, ["budgets", "100"]),
    (lambda: DualRoleLLMAgent.evaluate("Rome", "Rome"), TypeError, ["answer", "'Rome'"]),
    # Traces
    (lambda: Event("paid", 0, {}, [], {}), ValueError, ["kind", "paid", "started"]),
    (trace("[]"), ValueError, [r"trace\.json", "not a trace"]),
    (trace('{"version": 99}'), ValueError, [r"trace\.json", "version 99", "version 1"]),
    (trace("{"), ValueError, [r"trace\.json", "not a trace"]),
    (lambda folder: Trace.load(folder / "none.json"), OSError, [r"none\.json"]),
    (lambda folder: Trace({}).save(folder / "no" / "trace.json"), OSError, [r"trace\.json", "No such"]),
    # Requests to a model
    (lambda: M.sample(5, 1), TypeError, ["prompt", "int"]),
    (lambda: M.sample("half \ud800", 1), ValueError, ["prompt", "character 5"]),
    (lambda: M.sample("a", -1), ValueError, ["k must", "-1"]),
    (lambda: M.sample("a", 1, first=-1), ValueError, ["first", "-1"]),
    (lambda: M.sample("a", 1, temperature=NAN), ValueError, ["temperature", "nan"]),
    (lambda: M.sample("a", 1, stop="\n"), TypeError, ["stop", r"\\n"]),
    (lambda: M.sample("a", 1, stop=[""]), ValueError, ["stop", "empty"]),
    (lambda: M.score("a", "text"), TypeError, ["continuations", "text"]),
    (lambda: M.encode([5], [0]), TypeError, [r"texts\[0\]", "int"]),
    (lambda: M.encode(["a"], [-1]), ValueError, ["layers", "-1"]),
    (lambda: M.count_tokens(None), TypeError, ["text", "NoneType"]),
    (lambda: ScriptedModel([]), TypeError, ["table", "list"]),
    (lambda: ScriptedModel({"a": {"b": -1}}), ValueError, ["weights", "-1"]),
    # Lookup and data
    (lambda: Lookup({}), ValueError, ["pages", "empty"]),
    (lambda: Lookup(["page"]), TypeError, ["pages", "list"]),
    (lambda: Lookup({"Rome": 5}), TypeError, ["pages", "Rome"]),
    (lambda: Lookup({"Rome": "A city."})(5), TypeError, ["query", "int"]),
    (data("{"), ValueError, [r"mine\.json", "JSON"]),
    (data([]), ValueError, [r"mine\.json", "pages"]),
    (data({"pages": {"Rome": ""}}), ValueError, [r"mine\.json", r"pages\['Rome'\]"]),
    (data(PAGE | {"question": []}), ValueError, [r"mine\.json", "'question'"]),
    (data(PAGE | {"questions": [{"question": 7}]}), ValueError, [r"questions\[0\]\.question", "7"]),
    (data(PAGE | {"questions": [{"question": "a", "plan": ["b #2"]}]}), ValueError, [r"plan\[0\]", "#2"]),
    (lambda folder: load_data(folder / "none.json"), OSError, [r"none\.json"]),
    (lambda: make_world(-1), ValueError, ["seed", "-1"]),
    (lambda: make_world(0, wordings=(9,)), ValueError, ["wordings", "9"]),
    (lambda: load_split("validation"), ValueError, ["name", "validation", "train"]),
]


def test_there_are_enough() -> None:
    assert len(BAD) >= 60


@pytest.mark.parametrize("number", range(len(BAD)))
def test_a_bad_input_is_a_clear_error(number: int, tmp_path: Path) -> None:
    call, error, words = BAD[number]
    with pytest.raises(error) as caught:
        call(tmp_path) if call.__code__.co_argcount else call()
    for word in words:
        caught.match(word)
    assert len(str(caught.value)) < 600


def test_an_error_in_a_search_keeps_its_trace(tmp_path: Path) -> None:
    """Whatever part fails on the way, what was done until then is there and can be saved."""

    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("it fails")

    class Model(ScriptedModel):
        sample = fails

    broken: list[tuple[dict[str, Any], Any]] = [
        ({"critic": fails}, M),
        ({"selection": fails}, M),
        ({}, Model({}, default={"Rome": 1})),
        ({"critic": lambda steps, ledger: "x"}, M),
        ({"selection": lambda *_: "x"}, M),
    ]
    for options, model in broken:
        for search in (
            BudgetAwareValueTreeSearch(model, budget=40, **options),
            *([ParallelChains(model, budget=40, **options)] if "selection" not in options else []),
        ):
            with pytest.raises((RuntimeError, TypeError, ValueError)) as caught:
                search.search("Where?", plan=["Where?", "Who runs #1?"])
            search.trace.save(tmp_path / "trace.json")
            last = Trace.load(tmp_path / "trace.json").events[-1]
            assert last.kind == "stopped" and last.data["reason"] == search.result.reason == "error"
            assert str(caught.value) in last.data["error"]
