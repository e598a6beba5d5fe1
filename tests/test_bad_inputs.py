"""Bad inputs: each a clear error that names the argument and what it was. None loses a trace."""

# The point of this file is what a type checker would refuse.
# mypy: disable-error-code="arg-type, list-item, dict-item, call-arg"
from __future__ import annotations

import json
import math
import shlex
from collections.abc import Callable, Sequence
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
from bavt_minimal.benchmark.efficiency import Bench, benchmark_budget_efficiency, make_jobs, questions_of
from bavt_minimal.benchmark.measure import check_cases
from bavt_minimal.benchmark.methods import METHODS, Parts
from bavt_minimal.benchmark.oracle import OracleCritic
from bavt_minimal.benchmark.run import run_jobs
from bavt_minimal.benchmark.scores import scores
from bavt_minimal.benchmark.simulator import Setting, World
from bavt_minimal.benchmark.store import Job, Store, check_row, read_rows, write_rows
from bavt_minimal.budget import Row
from bavt_minimal.cli.main import main
from bavt_minimal.critics.calibration import auc
from bavt_minimal.critics.mix import LogProb, MixCritic
from bavt_minimal.critics.prompted import FormCritic
from bavt_minimal.models import ServerModel, load_model
from bavt_minimal.models.adapters import find_adapter
from bavt_minimal.models.scripted import ScriptedModel
from bavt_minimal.models.server import ServerError
from bavt_minimal.planner import Planner, parse_plan
from bavt_minimal.searcher import choose_answer
from bavt_minimal.selection import sample_index
from bavt_minimal.steps import Generator
from bavt_minimal.tasks.data import load_data
from bavt_minimal.tasks.encyclopedia import load_split, make_world
from bavt_minimal.tasks.lookup import Lookup
from bavt_minimal.views.critics import Case
from bavt_minimal.views.frontier import render_frontier
from bavt_minimal.views.runs import render_runs
from bavt_minimal.views.svg import render_svg

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


async def read_async(query: str) -> str:
    return query


class Nameless:
    """A model that says what it would, but not who it is."""

    sample, count_tokens = M.sample, M.count_tokens


def scripted_bench(**options: Any) -> Bench:
    return Bench(M, load_data_of(), **options)


def load_data_of() -> Any:
    from bavt_minimal.tasks.data import Gold, Question
    from bavt_minimal.tasks.data import World as Data

    return Data({"a": "b"}, (Question("q", "Where?", ("Where?",)), Question("open", "When?"))), {"q": Gold("Rome")}


ROW = {"method": "vote", "tokens": 9, "tool_calls": 2, "seed": 0, "question": "q", "answer": "Rome", "right": 1.0}
ROW |= {"hops": 1, "used": 4, "by_role": {"generator": [4, 0, 9]}, "prompt_tokens": 9, "tool_calls_used": 1}
ROW |= {"reason": "answered", "forced": False, "fault": "", "seconds": 0.1}
NOBODY = "http://127.0.0.1:9#x"  # no server listens on the port "discard"
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
    (data(PAGE | {"questions": {}}), ValueError, [r"mine\.json", '"questions" must be a list', "empty object"]),
    (data(PAGE | {"questions": [["a"]]}), ValueError, [r"questions\[0\]", "object"]),
    (data(PAGE | {"questions": [{}]}), ValueError, [r"questions\[0\]\.question", "missing"]),
    (data(PAGE | {"questions": [{"question": "a", "plan": "b"}]}), ValueError, [r"\.plan must be a list"]),
    (data(PAGE | {"questions": [{"question": "a", "plan": [" "]}]}), ValueError, [r"plan\[0\]", "not blank"]),
    (data(PAGE | {"questions": [{"question": "a", "answer": 7}]}), ValueError, [r"\.answer", "value 7"]),
    (data({"pages": ["Rome"]}), ValueError, [r"mine\.json", '"pages" must be an object']),
    (data({"pages": {" ": "A city."}}), ValueError, ["a page title", "not blank"]),
    # Tools and models
    (lambda: tree(tool=read_async), TypeError, ["tool", "async", "asyncio.run"]),
    (lambda: BudgetAwareValueTreeSearch(Nameless()), TypeError, ["model", "'name'", "Nameless"]),
    (lambda: Planner(Nameless()), TypeError, ["planner's model", "'name'"]),
    (lambda: Planner(M, candidates=0), ValueError, ["candidates", "0"]),
    (lambda: Planner(M, max_plan_tokens=0), ValueError, ["max_plan_tokens", "0"]),
    (lambda: Planner(M, temperature=NAN), ValueError, ["temperature", "nan"]),
    (lambda: Planner(M, examples=7), TypeError, ["examples", "7"]),
    (lambda: parse_plan(""), ValueError, ["no step"]),
    (lambda: parse_plan("1. Where?\n3. Who?"), ValueError, ["step 2", "number 3"]),
    (lambda: parse_plan("1. Where?\n5 lookups"), ValueError, ["5 lookups", "1 steps"]),
    (lambda: parse_plan("1. Who of #2?"), ValueError, ["plan step 1", "#2"]),
    (lambda: find_adapter("nobody"), FileNotFoundError, ["nobody", "critic or planner"]),
    (lambda: find_adapter(7), TypeError, ["source", "int"]),
    # Servers
    (lambda: ServerModel("ftp://x"), ValueError, ["url", "ftp"]),
    (lambda: ServerModel("http://"), ValueError, ["url", "http://"]),
    (lambda: ServerModel("http://me:secret@x"), ValueError, ["url", "password", "BAVT_API_KEY"]),
    (lambda: ServerModel("http://x y"), ValueError, ["url", "x y"]),
    (lambda: ServerModel("http://x:port"), ValueError, ["url", "port"]),
    (lambda: ServerModel(7), TypeError, ["url", "int"]),
    (lambda: ServerModel(NOBODY, timeout=0), ValueError, ["timeout", "0"]),
    (lambda: ServerModel(NOBODY, retries=1.5), TypeError, ["retries", "1.5"]),
    (lambda: ServerModel(NOBODY, backoff=NAN), ValueError, ["backoff", "nan"]),
    (lambda: ServerModel(NOBODY, api_key="a b"), ValueError, ["api_key", "printable"]),
    (lambda: ServerModel(NOBODY, api_key=b"k"), ValueError, ["api_key"]),
    (lambda: ServerModel("http://127.0.0.1:9", retries=0), ServerError, ["127.0.0.1:9", "gave up after 1 try"]),
    (lambda: ServerModel(NOBODY, retries=0).sample("a", 1), ServerError, ["127.0.0.1:9", "no connection"]),
    (lambda: ServerModel(NOBODY, retries=0).sample("a", 1, layers=[1]), NotImplementedError, ["hidden states"]),
    (lambda: ServerModel(NOBODY, retries=0).encode(["a"], [0]), NotImplementedError, ["hidden states"]),
    (lambda: load_model("http://x?y=1"), ValueError, ["url", "y=1"]),
    # Critics and their figures
    (lambda: LogProb("median"), ValueError, ["view", "median", "mean"]),
    (lambda: LogProb(scale=-1.0), ValueError, ["scale", "-1.0"]),
    (lambda: MixCritic({}, {}), ValueError, ["weights"]),
    (lambda: MixCritic({"a": LogProb()}, {"b": 1.0}), ValueError, ["weights", "b"]),
    (lambda: MixCritic({"a": LogProb()}, {"a": NAN}), ValueError, ["finite", "nan"]),
    (lambda: FormCritic(M, "guess"), ValueError, ["form", "guess", "residual"]),
    (lambda: auc([], []), ValueError, ["scores", "empty"]),
    (lambda: auc([0.5], [2]), ValueError, ["y must be 1 labels"]),
    # The benchmark
    (lambda: Job("vote", -1, 2, 0, "q"), ValueError, ["tokens", "-1"]),
    (lambda: Job(None, 1, 2, 0, "q"), TypeError, ["method", "None"]),
    (lambda: Job("vote", 1, 2, None, "q"), TypeError, ["seed", "None"]),
    (lambda: check_row([]), TypeError, ["row", r"\[\]"]),
    (lambda: check_row({}), ValueError, ["row must have", "answer"]),
    (lambda: check_row(ROW | {"mine": 1}), ValueError, ["must not have mine"]),
    (lambda: check_row(ROW | {"used": True}), TypeError, ["used of", "True"]),
    (lambda: check_row(ROW | {"seconds": NAN}), ValueError, ["seconds of", "nan"]),
    (lambda: check_row(ROW | {"by_role": {"tool": [1]}}), TypeError, ["by_role", "three counts"]),
    (lambda folder: read_rows(folder / "none.xz"), OSError, [r"none\.xz"]),
    (lambda folder: write_rows(folder / "no" / "rows.xz", [ROW]), OSError, ["cannot write the rows", "rows.xz"]),
    (lambda folder: Store(folder / "no" / "rows.sqlite"), OSError, ["rows.sqlite", "folder"]),
    (lambda folder: Store(folder), OSError, ["cannot use the store"]),
    (lambda folder: run_jobs([7], list, Store(folder / "s.sqlite")), TypeError, ["jobs must be a list of Job", "7"]),
    (lambda folder: run_jobs([], list, Store(folder / "s.sqlite"), 4), TypeError, ["executor", "4"]),
    (lambda: scores([]), ValueError, ["no rows"]),
    (lambda: make_jobs({"vote": [(1, 1)]}, ["q"], 0), ValueError, ["seeds", "0"]),
    (lambda: questions_of("train?", 3), ValueError, ["split", "train?"]),
    (lambda: questions_of("dev", -3), ValueError, ["questions", "-3"]),
    (lambda: benchmark_budget_efficiency(scripted_bench()), ValueError, ["'open'", "no answer"]),
    (lambda: benchmark_budget_efficiency(scripted_bench(), questions=["q9"]), ValueError, ["no question 'q9'"]),
    (lambda: benchmark_budget_efficiency(scripted_bench(), {"best": []}, ["q"]), ValueError, ["method", "best"]),
    (lambda: METHODS["bavt, mix"](Parts(M), Budget(9), None, 0, None), LookupError, ["critic 'mix'"]),
    (lambda: check_cases([]), ValueError, ["10"]),
    (lambda: Setting(p=0.0), ValueError, ["p must", "0"]),
    (lambda: Setting(wrong=10), ValueError, ["wrong", "10"]),
    (lambda: World(Setting(), seed=-1), ValueError, ["seed", "-1"]),
    (lambda: World(Setting()).page("Paris"), ValueError, ["state", "'Paris'"]),
    # Views
    (lambda: render_svg(Trace({}), 1), ValueError, ["at must", "1"]),
    (lambda: render_svg(Trace({}), "1"), ValueError, ["at must", "'1'"]),
    (lambda: render_runs([ROW, ROW | {"question": "r"}]), ValueError, ["one question", "q, r"]),
    (lambda: render_runs([ROW | {"used": None}]), TypeError, ["used of", "None"]),
    (lambda: render_frontier([], []), ValueError, ["values", "empty"]),
    (lambda: render_frontier([0.5], [0], [2.0]), ValueError, ["2.0"]),
    (lambda: Case("p", "q", "s", {}, True), ValueError, ["chances", "none"]),
    (lambda: Case("p", "q", "s", {"head": 2}, True), ValueError, ["head", "2"]),
]

# (a command line, its exit code, what its one line of error holds); files are those of `folder`
COMMANDS: list[tuple[str, int, list[str]]] = [
    ("tell", 2, ["'tell'"]),
    ("--nope", 2, ["--nope"]),
    ("fetch now", 2, ["now"]),
    ("ask --tokens -1", 2, ["--tokens", "'-1'"]),
    ("ask --tokens 1.5", 2, ["--tokens", "'1.5'"]),
    ("ask --tokens ''", 2, ["--tokens", "''"]),
    ("ask --tokens 9999999999999", 2, ["--tokens", "999999999999"]),
    ("ask --tool-calls x", 2, ["--tool-calls", "'x'"]),
    ("ask --seed 1e3", 2, ["--seed", "'1e3'"]),
    ("ask --method vote", 2, ["--method", "'vote'", "parallel"]),
    ("ask --selection best", 2, ["--selection", "'best'", "ucb"]),
    ("ask --critic me", 2, ["--critic", "'me'", "logprob"]),
    ("ask --plan mine", 2, ["--plan", "'mine'", "own"]),
    ("ask ''", 2, ["question", "empty"]),
    ("ask one two", 2, ["two"]),
    ("ask --method parallel --critic logprob", 2, ["--critic", "parallel"]),
    ("ask --method rerank --selection ucb", 2, ["--selection", "rerank"]),
    ("ask --data none.json", 1, ["--data none.json", "No such file"]),
    ("ask --data .", 1, ["--data", "directory"]),
    ("ask --data junk.bin", 1, ["--data", "junk.bin", "UTF-8"]),
    ("ask --data trace.json", 1, ["--data", "trace.json", "unknown field"]),
    ("ask --data rows.sqlite", 1, ["--data", "rows.sqlite"]),
    ("ask --data bare.json", 1, ["--data bare.json", "no questions"]),
    ("ask --resume none.json", 1, ["--resume none.json", "No such file"]),
    ("ask --resume .", 1, ["--resume", "directory"]),
    ("ask --resume junk.bin", 1, ["--resume", "junk.bin", "not a trace"]),
    ("ask --resume good.json", 1, ["--resume", "good.json", "not a trace"]),
    ("ask --resume trace.json", 1, ["--resume trace.json", "give the --data"]),
    ("ask --resume trace.json --data bare.json", 1, ["--resume trace.json", "another page than bare.json"]),
    ("ask --resume trace.json --data good.json --tokens 3", 1, ["--tokens 3", "64"]),
    ("ask --resume trace.json --data good.json --seed 9", 1, ["--seed 9", "0"]),
    ("ask --resume trace.json --data good.json Who?", 1, ["question", "the trace asks"]),
    ("ask --resume trace.json --data good.json --save good.json", 1, ["--save good.json", "no trace"]),
    ("ask --save .", 1, ["--save", "folder"]),
    ("ask --save good.json", 1, ["--save good.json", "no trace"]),
    ("ask --save rows.sqlite", 1, ["--save rows.sqlite", "no trace"]),
    ("ask --save no/such.json", 1, ["--save no/such.json", "cannot write"]),
    ("ask --model no/such/folder", 1, ["no/such/folder"]),
    ("ask --model http://me:secret@x", 1, ["url", "password"]),
    ("ask --model http://127.0.0.1:9 --critic adapter", 1, ["--critic adapter", "weights"]),
    ("show", 2, ["FILE"]),
    ("show none.json", 1, ["FILE none.json", "No such file"]),
    ("show .", 1, ["FILE", "directory"]),
    ("show good.json", 1, ["good.json", "not a trace"]),
    ("show junk.bin", 1, ["junk.bin", "not a trace"]),
    ("show trace.json --svg trace.json", 1, ["--svg trace.json", "trace itself"]),
    ("show trace.json --svg .", 1, ["--svg", "not a file"]),
    ("show trace.json --svg no/x.svg", 1, ["--svg no/x.svg", "No such file"]),
    ("bench --budgets 64", 2, ["--budgets", "64/16"]),
    ("bench --budgets 64/16/8", 2, ["--budgets", "'64/16/8'"]),
    ("bench --budgets 64/-1", 2, ["--budgets", "'64/-1'"]),
    ("bench --budgets 8/2 --preset paper", 2, ["--budgets", "--preset"]),
    ("bench --preset mine", 2, ["--preset", "'mine'"]),
    ("bench --methods best", 2, ["--methods", "'best'", "vote"]),
    ("bench --split train", 2, ["--split", "'train'"]),
    ("bench --seeds 0", 2, ["--seeds", "0"]),
    ("bench --seeds x", 2, ["--seeds", "'x'"]),
    ("bench --jobs 0", 2, ["--jobs", "0"]),
    ("bench --max-new-tokens 0", 2, ["--max-new-tokens", "at least 1"]),
    ("bench --recorded --max-new-tokens 9", 2, ["--max-new-tokens", "--recorded"]),
    ("ask --max-new-tokens -1", 2, ["--max-new-tokens", "'-1'"]),
    ("pays --max-new-tokens 0", 2, ["--max-new-tokens", "at least 1"]),
    ("bench --jobs 2 --dask tcp://x", 2, ["--jobs", "--dask"]),
    ("bench --questions 0", 1, ["questions", "0"]),
    ("bench --questions 1", 2, ["2 questions", "1"]),
    ("bench --split test --skip-worlds 99999", 1, ["questions"]),
    ("bench --data none.json", 1, ["none.json", "No such file"]),
    ("bench --data trace.json", 1, ["trace.json", "unknown field"]),
    ("bench --data good.json --split dev", 2, ["--split", "--data"]),
    ("bench --data good.json", 2, ["2 questions", "1"]),
    ("bench --model x --preset guide", 2, ["--preset guide"]),
    ("bench --store rows.sqlite", 2, ["--store rows.sqlite", "--resume"]),
    ("bench --store rows.sqlite --resume", 1, ["rows.sqlite", "was made with", "same settings"]),
    ("bench --store good.json --resume", 1, ["good.json", "not a benchmark store"]),
    ("bench --store no/rows.sqlite", 1, ["no/rows.sqlite", "folder"]),
    ("bench --bank good.json", 1, ["--bank good.json", "folder"]),
    ("bench --figure no/x.svg", 1, ["--figure no/x.svg", "folder"]),
    ("bench --recorded --docs .", 1, ["--docs", "folder"]),
    ("bench --recorded --seeds 3", 2, ["--seeds", "--recorded"]),
    ("bench --replay 3", 2, ["--replay", "--recorded"]),
    ("bench --docs x.md", 2, ["--docs", "--recorded"]),
    ("bench --check 0", 2, ["--check", "0"]),
    ("pays --questions 3", 2, ["--questions", "10", "3"]),
    ("pays --tokens 0", 2, ["--tokens", "'0'"]),
    ("pays --tokens 32,x", 2, ["--tokens", "'x'"]),
    ("pays --critic me", 2, ["--critic", "'me'"]),
    ("pays --data none.json", 1, ["--data none.json", "No such file"]),
    ("pays --data good.json", 1, ["--data good.json", "10 questions"]),
    ("pays --out no/x.json", 1, ["--out no/x.json", "folder"]),
    ("critics --steps 0", 2, ["--steps", "0"]),
    ("critics --split train", 2, ["--split", "'train'"]),
    ("critics --model http://127.0.0.1:9", 2, ["--model", "weights"]),
    ("critics --out no/x.json", 1, ["--out no/x.json", "folder"]),
    ("train", 2, ["role"]),
    ("train actor", 2, ["'actor'", "critic"]),
    ("train critic --steps 1", 2, ["--steps", "2", "1"]),
    ("train critic --threads 0", 2, ["--threads", "0"]),
    ("train head --model http://127.0.0.1:9", 2, ["--model", "weights"]),
    ("train planner --out good.json", 1, ["--out good.json", "folder"]),
]


def test_there_are_enough() -> None:
    assert len(BAD) + len(COMMANDS) >= 200
    assert len({line for line, _, _ in COMMANDS}) == len(COMMANDS)


@pytest.mark.parametrize("number", range(len(BAD)))
def test_a_bad_input_is_a_clear_error(number: int, tmp_path: Path) -> None:
    call, error, words = BAD[number]
    with pytest.raises(error) as caught:
        call(tmp_path) if call.__code__.co_argcount else call()
    for word in words:
        caught.match(word)
    assert len(str(caught.value)) < 600 and "\n" not in str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data file, one without questions, a trace, a store and something else."""
    pages = {"Ada": "Ada was born in Lund.", "Lund": "The mayor of Lund is Ole Berg."}
    asked = {"question": "Where was Ada born?", "plan": ["Where was Ada born?"], "answer": "Lund"}
    (tmp_path / "good.json").write_text(json.dumps({"pages": pages, "questions": [asked]}))
    (tmp_path / "bare.json").write_text(json.dumps(PAGE))
    (tmp_path / "junk.bin").write_bytes(bytes(range(256)))
    search = BudgetAwareValueTreeSearch(M, budget=Budget(64, 16), tool=Lookup(pages))
    search.search(asked["question"], plan=asked["plan"])
    search.trace.save(tmp_path / "trace.json")
    with Store(tmp_path / "rows.sqlite", {"version": "0"}) as store:
        store.add([ROW])
    return tmp_path


def contents(folder: Path) -> dict[str, Any]:
    """Every file: its bytes, of a store its rows."""
    found: dict[str, Any] = {}
    for path in folder.rglob("*"):
        found[path.name] = path.read_bytes()
    with Store(folder / "rows.sqlite") as store:
        found["rows.sqlite"] = store.rows()
    return found


@pytest.mark.parametrize(("line", "code", "words"), COMMANDS, ids=[line for line, _, _ in COMMANDS])
def test_a_bad_command_line_is_a_line_of_error_and_loses_nothing(
    line: str,
    code: int,
    words: Sequence[str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = contents(folder)
    monkeypatch.chdir(folder)
    try:
        found = main(shlex.split(line))
    except SystemExit as ended:  # of argparse, which shows the usage before
        found = int(str(ended.code))
    out, err = capsys.readouterr()
    assert (found, out) == (code, "") and "Traceback" not in err and err.endswith("\n")
    *usage, said = err.splitlines()
    assert usage == [] or usage[0].startswith("usage: bavt")
    assert said.startswith("bavt") and ": error: " in said
    for word in words:
        assert word in said
    assert contents(folder) == before


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
