"""The search on tiny worlds: exact probabilities by enumeration, a second count of every token, every way to stop."""

from __future__ import annotations

import itertools
import math
import sys
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from bavt_minimal import (
    Budget,
    BudgetAwareValueTreeSearch,
    ConstantCritic,
    Event,
    LogProbCritic,
    Sample,
    SearchResult,
    TreeNode,
    greedy,
    uniform,
)
from bavt_minimal.expansion import Expansion
from bavt_minimal.models.scripted import ScriptedModel
from bavt_minimal.searcher import choose_answer
from bavt_minimal.steps import Step

FIRST = {"Rome": 0.5, "New York": 0.3, "Oslo": 0.2}
THEN = {"Ann": 0.7, "Bo Ek": 0.3}
PLAN = ["Where is it?", "Who runs #1?"]
MODEL = ScriptedModel({"Question: Where is it?\nAnswer:": FIRST}, default=THEN)
REASONS = {"answered", "tokens", "tool_calls", "depth", "exhausted"}


def ask(budget: Any, plan: Any = PLAN, model: Any = MODEL, max_depth: int = 10, **options: Any) -> SearchResult:
    return BudgetAwareValueTreeSearch(model, budget=budget, **options).search("Who?", max_depth, plan)


def events(result: SearchResult, kind: str) -> list[Event]:
    return [event for event in result.trace.events if event.kind == kind]


def nodes(root: TreeNode) -> list[TreeNode]:
    return [root, *(below for child in root.children for below in nodes(child))]


SAID = {"Rome": 0.1, "New": -0.2, "Oslo": 0.2, "Ann": 0.2, "Bo": 0.0}


def by_text(steps: Any, ledger: Any) -> list[float]:
    return [SAID[step.text.split()[0]] for step in steps]


@pytest.mark.parametrize("least", [-1.0, -0.2, 0.0, 0.1])
def test_steps_whose_residual_is_not_above_the_least_are_pruned(least: float) -> None:
    result = ask(400, critic=by_text, prune_below=least)
    kept = {text for text in (*FIRST, *THEN) if SAID[text.split()[0]] > least}
    assert {node.text for node in nodes(result.root)[1:]} == kept
    dropped = {event.data["text"] for event in events(result, "pruned") if event.data["why"] == "adds nothing"}
    assert dropped == {*FIRST, *THEN} - kept


def test_a_forced_answer_is_not_pruned() -> None:
    result = ask(400, critic=by_text, prune_below=0.5)
    assert (result.answer in THEN, result.forced) == (True, True)


# Exact probabilities


def exact_second_choice(budget: int, k: int) -> dict[str, Any]:
    """P(text of the node that is selected second), by enumerating all k-tuples of draws.

    A draw of n words costs n + 1 tokens; V = 0.5 + 0.4 (2p - 1) with p the geometric mean over its tokens. The root is
    worth 0.5 times the chance that its best child is wrong, and was expanded once.
    Of the budget 8 tokens are set aside, and a candidate reserves 8.
    """
    k = min(k, (budget - 8) // 8)
    chances: defaultdict[str, float] = defaultdict(float)
    for draws in itertools.product(FIRST, repeat=k):
        chance = math.prod(FIRST[text] for text in draws)
        left = budget - sum(len(text.split()) + 1 for text in draws)
        alpha = min(50.0, budget / left)
        means = {text: FIRST[text] ** (1 / (len(text.split()) + 1)) for text in draws}
        weights = {"root": (0.5 * (1 - max(means.values()))) ** alpha * 0.85}
        weights |= {text: (0.5 + 0.4 * (2 * mean - 1)) ** alpha for text, mean in means.items()}
        for text, weight in weights.items():
            chances[text] += chance * weight / sum(weights.values())
    return dict(chances)


@pytest.mark.parametrize(("budget", "k"), [(30, 2), (18, 2), (60, 3)])
def test_the_second_selected_node_has_the_enumerated_probability(budget: int, k: int) -> None:
    expected, n = exact_second_choice(budget, k), 1200
    assert math.isclose(sum(expected.values()), 1.0)
    seen: Counter[str] = Counter()
    for seed in range(n):
        search = BudgetAwareValueTreeSearch(MODEL, None, budget, num_candidates=k, seed=seed)
        texts, selected = {0: "root"}, []
        for event in search.run("Who?", plan=PLAN):
            if event.kind == "added":
                texts[event.node] = event.data["text"]
            if event.kind == "selected":
                selected.append(texts[event.node])
            if len(selected) == 2:
                break
        assert selected[0] == "root"
        seen[selected[1]] += 1
    assert chisquare([seen[text] for text in expected], [n * p for p in expected.values()]).pvalue > 1e-3


def test_the_first_answer_of_a_greedy_search_has_the_enumerated_probability() -> None:
    # One candidate, greedy: root, its child, which is worth more, then the child's answer.
    n, expected = 1500, {}
    for (place, p), (person, q) in itertools.product(FIRST.items(), THEN.items()):
        expected[f"{place} {person}"] = p * q
    seen: Counter[str] = Counter()
    for seed in range(n):
        search = BudgetAwareValueTreeSearch(MODEL, None, 60, num_candidates=1, selection=greedy, seed=seed)
        for event in search.run("Who?", plan=PLAN):
            if event.kind == "added" and not event.data["terminal"]:
                place = event.data["text"]
            if event.kind == "answered":
                seen[f"{place} {event.data['answer']}"] += 1
                break
    assert sum(seen.values()) == n
    assert chisquare([seen[key] for key in expected], [n * p for p in expected.values()]).pvalue > 1e-3


@pytest.mark.parametrize("rule", ["best", "majority", "weighted"])
def test_recorded_chances_are_the_papers_rule_at_each_selection(rule: str) -> None:
    for seed in range(20):
        result = ask(120, seed=seed, answer_rule=rule)
        values, expanded, terminal, best = {0: 0.5}, Counter[int](), set(), {}
        for event in result.trace.events:
            if event.kind == "added":
                values[event.node] = event.data["value"]
                best[event.data["parent"]] = max(event.data["residual"], best.get(event.data["parent"], -0.4))
                terminal |= {event.node} if event.data["terminal"] else set()
            if event.kind == "selected":
                frontier = [n for n in values if n not in terminal and expanded[n] < 8]
                alpha = min(50.0, 1 / event.data["ratio"])
                # A child of residual eta (2p - 1) is right with probability p.
                worth = {n: max(0.05, values[n] * (1 - (best.get(n, -0.4) / 0.4 + 1) / 2)) for n in frontier}
                weights = {n: worth[n] ** alpha * 0.85 ** expanded[n] for n in frontier}
                assert event.data["chance"] == pytest.approx(weights[event.node] / sum(weights.values()))
                assert event.data["frontier"] == len(frontier)
            if event.kind == "expanded":
                expanded[event.node] += 1


@pytest.mark.parametrize(
    ("critic", "residuals", "worth"),
    [
        (LogProbCritic(0.4), [], 0.5),
        (LogProbCritic(0.4), [-0.4, -0.4], 0.5),  # all children surely wrong: another is all that helps
        (LogProbCritic(0.4), [0.0, -0.4], 0.25),
        (LogProbCritic(0.4), [0.2], 0.125),
        (LogProbCritic(0.4), [-0.4, 0.4], 0.05),  # a child is surely right: v_min is left
        (LogProbCritic(0.0), [0.0], 0.25),
        (lambda steps, ledger: [0.5] * len(steps), [0.5], 0.125),  # no scale of its own: residuals go up to 1
        (lambda steps, ledger: [1.0] * len(steps), [1.0, 0.1], 0.05),
    ],
)
def test_a_node_is_worth_expanding_as_far_as_no_child_is_right(
    critic: Any, residuals: list[float], worth: float
) -> None:
    search = BudgetAwareValueTreeSearch(MODEL, critic, 60)
    tree = search.start("Who?", 10, PLAN, None, Budget(0, 0))
    for number, residual in enumerate(residuals):
        tree.root.add_child(str(number), residual)
    assert tree.promise(tree.root) == pytest.approx(worth)


# Every token is counted


class Meter(ScriptedModel):
    """Counts what it really generated."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.tokens = self.prompts = 0

    def sample(self, prompt: str, k: int, **options: Any) -> list[Sample]:
        samples = super().sample(prompt, k, **options)
        self.prompts += len(prompt.split())
        for sample in samples:
            words = len(sample.text.split())
            self.tokens += words + 1 if sample.finished else words
        return samples


TEXTS = st.dictionaries(
    st.sampled_from(["Rome", "New York", "Oslo", "", "the rome", "a b c d e f g h i j", "Rome Rome", "Who?"]),
    st.floats(0.1, 1),
    min_size=1,
)


@settings(deadline=None, max_examples=150)
@given(
    table=TEXTS,
    tokens=st.none() | st.integers(0, 120),
    calls=st.none() | st.integers(0, 6),
    hops=st.integers(1, 4),
    seed=st.integers(0, 999),
    k=st.integers(1, 5),
    charge=st.booleans(),
    selection=st.sampled_from([None, greedy, uniform]),
    rule=st.sampled_from(["best", "majority", "weighted"]),
)
def test_a_second_count_agrees_and_the_budget_holds(
    table: dict[str, float],
    tokens: int | None,
    calls: int | None,
    hops: int,
    seed: int,
    k: int,
    charge: bool,
    selection: Any,
    rule: str,
) -> None:
    asked: list[str] = []

    def tool(query: str) -> str:
        asked.append(query)
        return f"A page about {query}."

    model = Meter({}, default=table)
    plan = ["Where?", "Who runs #1?", "Where was #2 born?", "What is in #3, not #1?"][:hops]
    search = BudgetAwareValueTreeSearch(
        model,
        None,
        Budget(tokens, calls),
        tool,
        num_candidates=k,
        seed=seed,
        charge_prompt=charge,
        selection=selection,
        answer_rule=rule,
        examples="Few.\n",
        max_expansions=30,
    )
    result = search.search("Who?", plan=plan)
    ledger, trace = result.ledger, result.trace
    assert result.reason in REASONS and events(result, "stopped") == trace.events[-1:]
    # The model's own count, the steps in the trace, the charges in the trace and the ledger.
    steps = [step for event in events(result, "expanded") for step in event.data.get("steps", [])]
    charges = [charge for event in trace.events for charge in event.charges]
    assert model.tokens == sum(step[1] for step in steps) == sum(each["tokens"] for each in charges)
    assert model.prompts == sum(each["prompt_tokens"] for each in charges) == ledger.prompt_tokens
    assert ledger.spent["tokens"] == model.tokens + charge * model.prompts <= (math.inf if tokens is None else tokens)
    assert ledger.spent["tool_calls"] == len(asked) == sum(each["tool_calls"] for each in charges)
    assert len(asked) <= (math.inf if calls is None else calls)
    assert len(set(asked)) == len(asked)  # a page is read once
    assert trace.events[-1].ledger == ledger.state()
    check_tree(result, len(plan))


def check_tree(result: SearchResult, hops: int) -> None:
    """What has to hold of every tree."""
    tree = nodes(result.root)
    assert sorted(node.id for node in tree) == list(range(len(tree)))
    kept = {event.node: event.data for event in events(result, "added")}
    assert set(kept) == {node.id for node in tree} - {0}
    for node in tree[0:]:
        assert node.terminal == (node.depth == hops)
        assert not (node.terminal and (node.children or node.expansions))
        if node.parent is not None:
            assert node.value == min(1.0, max(0.05, node.parent.value + node.residual_value))
            assert kept[node.id]["value"] == node.value and kept[node.id]["text"] == node.text
            p = math.exp(np.mean(node.state.sample.logprobs))
            assert node.residual_value == pytest.approx(0.4 * (2 * p - 1))
    assert {event.node for event in events(result, "answered")} == {node.id for node in tree if node.terminal}
    if any(node.terminal for node in tree):
        assert result.node.terminal and result.answer == result.node.text
    else:
        assert result.forced and result.node.depth == max(node.depth for node in tree)
        assert result.answer == ("" if result.node is result.root else result.node.text)


# Steps that are kept and dropped


def test_every_child_is_evaluated_in_one_batch() -> None:
    batches: list[list[str]] = []

    def critic(steps: Any, ledger: Any) -> list[float]:
        batches.append([step.text for step in steps])
        return [0.3 / (i + 1) for i in range(len(steps))]

    result = BudgetAwareValueTreeSearch(MODEL, critic, 100, seed=3).search("Who?", plan=PLAN)
    assert sorted(text for batch in batches for text in batch) == sorted(n.text for n in nodes(result.root)[1:])
    assert all(n.residual_value in {0.3 / (i + 1) for i in range(3)} for n in nodes(result.root)[1:])
    assert any(len(batch) > 1 for batch in batches)


def pruned(result: SearchResult) -> set[tuple[str, str]]:
    return {(event.data["text"], event.data["why"]) for event in events(result, "pruned")}


def test_steps_that_add_nothing_are_dropped_with_a_reason() -> None:
    table = {"Rome": 4, "the ROME!": 4, "...": 2, "": 2, "one two three four five six seven eight nine": 3, "Oslo": 1}
    model = ScriptedModel({"Where is it?\nAnswer:": table}, default={"Rome": 1, "Ann": 1, "Oslo": 1, "oslo.": 1})
    seen: set[tuple[str, str]] = set()
    for seed in range(40):
        result = ask(200, model=model, seed=seed, num_candidates=4)
        seen |= pruned(result)
        for node in nodes(result.root)[1:]:
            words = {"rome": "rome", "the rome!": "rome", "oslo.": "oslo"}.get(node.text.lower(), node.text.lower())
            assert words in {"rome", "oslo", "ann"} and node.state.sample.finished
            if node.parent and node.parent.parent:
                assert words != node.parent.text.lower()
    assert {("", "empty"), ("...", "empty"), ("one two three four five six seven eight", "unfinished")} <= seen
    assert {("the ROME!", "duplicate"), ("Rome", "duplicate"), ("Rome", "repeat"), ("Oslo", "repeat")} <= seen


def test_copies_count_how_often_a_kept_step_was_drawn() -> None:
    for seed in range(20):
        result = ask(90, seed=seed, answer_rule="majority")
        drawn: defaultdict[int, Counter[str]] = defaultdict(Counter)
        for event in events(result, "expanded"):
            drawn[event.node].update(text for text, _, _, finished in event.data["steps"] if finished)
        for node in nodes(result.root):
            if node.parent and "backstop" not in result.ledger.by_role():
                assert node.copies == drawn[node.parent.id][node.text]


def test_siblings_differ_and_answers_have_no_children() -> None:
    for seed in range(20):
        result = ask(300, seed=seed, answer_rule="majority")
        for node in nodes(result.root):
            assert len({child.text for child in node.children}) == len(node.children)
        selected = {event.node for event in events(result, "selected")}
        assert not selected & {event.node for event in events(result, "answered")}


# Answers


def answer(text: str, value: float, copies: int) -> TreeNode:
    return TreeNode(text, value=value, copies=copies, terminal=True)


def test_answer_rules() -> None:
    several = [answer("Ann", 0.5, 1), answer("the Bob", 0.3, 2), answer("bob.", 0.2, 2), answer("Cy", 0.9, 1)]
    assert choose_answer(several, "best").text == "Cy"
    assert choose_answer(several, "majority").text == "the Bob"
    assert choose_answer([*several, answer("Cy", 0.2, 1)], "weighted").text == "Cy"  # 1.1 against 1.0
    assert choose_answer([answer("a b", 0.5, 1), answer("c d", 0.5, 1)]).text == "a b"


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.integers(1, 4), st.integers(1, 5)), min_size=1, max_size=9))
def test_votes_against_a_counter(ballots: list[tuple[str, int, int]]) -> None:
    several = [answer(text, value / 4, copies) for text, value, copies in ballots]
    votes = Counter(itertools.chain.from_iterable([text] * copies for text, _, copies in ballots))
    assert votes[choose_answer(several, "majority").text] == max(votes.values())
    weights = Counter[str]()
    for text, value, copies in ballots:
        weights[text] += value * copies
    assert weights[choose_answer(several, "weighted").text] == max(weights.values())
    assert choose_answer(several, "best").value == max(value for _, value, _ in ballots) / 4


# Reasons to stop


def test_answered() -> None:
    result = ask(500, model=ScriptedModel({}, default={"x": 1, "y": 1}), critic=ConstantCritic(1.0), plan=["a", "b #1"])
    assert (result.reason, result.value, result.forced) == ("answered", 1.0, False)
    assert result.ledger.spent["tokens"] < 500


def test_tokens() -> None:
    result = ask(24, seed=1, answer_rule="majority")
    assert result.reason == "tokens" and result.ledger.spent["tokens"] <= 24


def test_tool_calls() -> None:
    result = ask(Budget(500, 2), tool=lambda query: "A page.", model=ScriptedModel({}, default={"x": 1, "y": 1}))
    assert result.reason == "tool_calls" and result.ledger.spent["tool_calls"] == 2
    assert result.answer in {"x", "y"} and result.node.terminal  # the second call was kept for the answer


def test_depth() -> None:
    result = ask(500, max_depth=1)
    assert result.reason == "depth" and not result.node.terminal and result.forced
    assert result.answer in FIRST  # the furthest step is the guess


def test_no_tokens_go_into_an_answer_that_is_out_of_reach() -> None:
    assert "backstop" not in ask(500, max_depth=1).ledger.by_role()


def test_exhausted() -> None:
    result = ask(None, model=ScriptedModel({}, default={"x": 1}), critic=ConstantCritic(0.0), plan=["a", "b"])
    assert result.reason == "exhausted" and result.answer == "x"


@pytest.mark.parametrize("budget", [None, Budget(), Budget(None, 10**6), Budget(10**9)])
def test_an_unlimited_budget_comes_to_an_end(budget: Any) -> None:
    model = ScriptedModel(lambda prompt: {f"{prompt[-30:-10]} {i}": 1 for i in range(30)})
    result = ask(budget, model=model, critic=ConstantCritic(0.0), plan=["a", "b #1", "c #2"], max_expansions=100)
    assert result.reason == "exhausted" and result.ledger.spent["tokens"] > 200
    assert len(events(result, "selected")) == 100


# The backstop


def costs(hops: int) -> int:
    return 2 * hops  # a word and the stop


@pytest.mark.parametrize("hops", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "critic", [None, ConstantCritic(0.2), ConstantCritic(-0.2)], ids=["default", "rising", "falling"]
)
def test_every_budget_ends_within_it_and_answers_if_one_step_a_hop_is_all_it_takes(hops: int, critic: Any) -> None:
    model = ScriptedModel(lambda prompt: {f"w{prompt.count('w')}{len(prompt)}": 1.0})
    plan = ["Where?", "Who runs #1?", "Where was #2 born?", "What is in #3?"][:hops]
    for tokens in range(0, 40):
        result = ask(tokens, plan=plan, model=model, critic=critic, num_candidates=1, seed=tokens)
        assert result.ledger.spent["tokens"] <= tokens
        if costs(hops) <= tokens <= 8:
            assert result.node.terminal  # all of it is the backstop's share
        assert (result.answer != "") == (tokens >= 2)


class Writing:
    """A critic that generates 3 tokens for each step."""

    tokens_per_step = 3

    def __call__(self, steps: Any, ledger: Any) -> list[float]:
        with ledger.reserve("critic", tokens=3 * len(steps)) as call:
            call.spend(tokens=3 * len(steps))
        return [0.0] * len(steps)


@pytest.mark.parametrize("k", range(1, 5))
def test_the_share_set_aside_pays_for_the_judgment_too(k: int) -> None:
    # A step is 2 tokens and its judgment 3: what the first expansion leaves, 5 at least, is the second step's.
    model = ScriptedModel(lambda prompt: {f"w{i}": 1.0 for i in range(20)})
    for tokens in range(10, 60):
        result = ask(tokens, model=model, critic=Writing(), num_candidates=k, max_new_tokens=2, seed=tokens)
        assert result.node.terminal and result.ledger.spent["tokens"] <= tokens


@pytest.mark.parametrize("critic", [None, Writing()], ids=["free", "writing"])
def test_no_page_is_read_without_a_token_for_its_step(critic: Any) -> None:
    for tokens in range(40):
        result = ask(tokens, critic=critic, tool=lambda query: f"About {query}.", seed=tokens)
        assert all(event.data.get("why") != "tokens" for event in events(result, "expanded"))
        if tokens < 1 + getattr(critic, "tokens_per_step", 0):
            assert result.ledger.spent["tool_calls"] == 0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("tokens", range(13))
def test_small_budgets(tokens: int, seed: int) -> None:
    result = ask(tokens, seed=seed)
    assert result.ledger.spent["tokens"] <= tokens and result.reason == "tokens"
    if tokens <= 8:
        assert set(result.ledger.by_role()) <= {"backstop"}
    if tokens == 0:
        assert (result.answer, result.ledger.rows, result.node is result.root) == ("", [], True)


def test_more_budget_is_not_worse_when_steps_lower_the_value() -> None:
    model = ScriptedModel({"Where is it?\nAnswer:": {"Rome": 1.0}}, default={"Ann": 1.0})
    for tokens in range(4, 30):
        for seed in range(10):
            result = ask(tokens, model=model, critic=ConstantCritic(-0.2), num_candidates=1, seed=seed)
            assert result.answer == "Ann", (tokens, seed)


def test_with_charged_prompts_more_budget_is_not_worse_either() -> None:
    model = ScriptedModel({}, default={"Rome": 1})  # one step: 3 + 2 tokens
    for tokens in range(40):
        result = ask(tokens, plan=["Where?"], model=model, charge_prompt=True, examples="")
        assert result.answer == ("Rome" if tokens >= 5 else ""), tokens


def test_no_calls_left_still_uses_the_pages_that_were_read() -> None:
    result = ask(Budget(300, 2), tool=lambda query: "A page.", seed=5)
    read = {event.data["query"] for event in events(result, "read")}
    assert len(read) == 2
    assert {event.node for event in events(result, "expanded")} > {0}


# Parts that fail


@pytest.mark.parametrize("budget", [Budget(0, 0), Budget(100, 0), Budget(100, 1), Budget(100, 5), Budget(100), None])
def test_a_tool_that_always_raises(budget: Any) -> None:
    calls: list[str] = []

    def tool(query: str) -> str:
        calls.append(query)
        raise ConnectionError("no network")

    result = ask(budget, tool=tool)
    assert result.reason in REASONS and result.answer == ""
    assert result.ledger.spent["tool_calls"] == len(calls) and len(calls) <= 40
    if calls:
        assert any("ConnectionError: no network" in why for _, why in pruned(result))


def test_a_tool_that_raises_once_costs_one_call() -> None:
    failures = iter([True])

    def tool(query: str) -> str:
        if next(failures, False):
            raise TimeoutError
        return "A page."

    result = ask(Budget(100, 9), tool=tool)
    assert result.node.terminal and result.answer in THEN


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_not_swallowed_and_leaves_a_trace(error: type[BaseException]) -> None:
    failures = iter([False, True])

    def tool(query: str) -> str:
        if next(failures, False):
            raise error
        return "A page."

    search = BudgetAwareValueTreeSearch(MODEL, None, 100, tool)
    with pytest.raises(error):
        search.search("Who?", plan=PLAN)
    assert len(search.trace.events) > 3 and search.result.reason == "interrupted"
    paid = search.result.ledger.spent["tool_calls"]
    assert sum(charge["tool_calls"] for event in search.trace.events for charge in event.charges) == paid == 2
    result = search.search("Who?", plan=PLAN, resume=search.trace)
    assert result.node.terminal and result.ledger.spent["tool_calls"] > paid


class Lying(ScriptedModel):
    """Reports what `lie` makes of its samples."""

    def __init__(self, lie: Callable[[list[Sample]], Any]) -> None:
        super().__init__({}, default=FIRST)
        self.lie = lie

    def sample(self, *args: Any, **options: Any) -> Any:
        return self.lie(super().sample(*args, **options))


LIES: dict[str, Callable[[list[Sample]], Any]] = {
    "more than the cap": lambda samples: [Sample(s.text, 1000, s.logprobs, True) for s in samples],
    "negative": lambda samples: [Sample(s.text, -1000, s.logprobs, True) for s in samples],
    "NaN": lambda samples: [Sample(s.text, float("nan"), s.logprobs, True) for s in samples],  # type: ignore[arg-type]
    "text": lambda samples: [Sample(s.text, "2", s.logprobs, True) for s in samples],  # type: ignore[arg-type]
    "too many": lambda samples: [*samples, *samples],
    "too few": lambda samples: samples[1:],
    "none at all": lambda samples: None,
    "texts": lambda samples: [s.text for s in samples],
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_model_that_lies_is_an_error_and_the_totals_hold(lie: Callable[[list[Sample]], Any]) -> None:
    search = BudgetAwareValueTreeSearch(Lying(lie), None, 50)
    with pytest.raises((TypeError, ValueError, AttributeError), match="tokens|samples|sample|iterable"):
        search.search("Who?", plan=PLAN)
    assert search.result.reason == "error" and 0 <= search.result.ledger.spent["tokens"] <= 50
    charged = sum(charge["tokens"] for event in search.trace.events for charge in event.charges)
    assert charged == search.result.ledger.spent["tokens"]
    assert "error" in search.trace.events[-1].data


@pytest.mark.parametrize(
    ("residual", "said"), [(math.nan, "NaN or infinity"), (-math.inf, "NaN or infinity"), (7, "7.0"), (-1.5, "-1.5")]
)
def test_a_residual_out_of_range_is_said(residual: float, said: str) -> None:
    result = ask(30, critic=lambda steps, ledger: [residual] * len(steps))
    whys = [event.data["why"] for event in events(result, "pruned") if "critic" in event.data["why"]]
    assert whys and set(whys) == {f"critic returned {said}, not in [-1, 1]"}


@pytest.mark.parametrize(
    "returned", [None, "ab", [2.0], [0.5] * 99, [math.nan], [[1.0]], 7], ids=lambda value: str(value)[:8]
)
def test_a_selection_that_returns_nonsense_is_named(returned: Any) -> None:
    search = BudgetAwareValueTreeSearch(MODEL, None, 50, selection=lambda values, visits, r: returned)
    with pytest.raises((TypeError, ValueError), match="selection"):
        search.search("Who?", plan=PLAN)
    assert search.result.reason == "error"


def test_a_selection_of_ones_own_sees_values_visits_and_the_ratio() -> None:
    seen: list[tuple[Any, Any, float]] = []

    def last(values: Any, visits: Any, r: float) -> list[float]:
        seen.append((list(values), list(visits), r))
        return [0.0] * (len(values) - 1) + [1.0]

    result = ask(100, selection=last, seed=2)
    assert seen[0] == ([0.5], [0], 1.0) and result.node.terminal
    assert all(0 <= r <= 1 for _, _, r in seen)
    ratios = [r for _, _, r in seen]
    assert ratios == sorted(ratios, reverse=True)


# Growth


@pytest.mark.parametrize("calls", [None, 200], ids=["calls for all", "calls run out"])
def test_the_work_of_an_expansion_does_not_grow_with_the_tree(
    calls: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    work: Counter[str] = Counter()

    def count(name: str) -> None:
        real = getattr(Expansion, name)

        def counted(*args: Any) -> Any:
            work[name] += 1
            return real(*args)

        monkeypatch.setattr(Expansion, name, counted)

    for name in ("promise", "short_of", "depth"):
        count(name)
    model = ScriptedModel(lambda prompt: {f"w{zlib.crc32(prompt.encode())} {i}": 1 for i in range(20)})
    for expansions in (10, 800):
        work.clear()
        options: dict[str, Any] = {"tool": str, "selection": uniform, "max_expansions": expansions, "stop_value": 2.0}
        result = ask(Budget(None, calls), ["a", "b #1", "c #2", "d #3"], model, **options)
        assert len(events(result, "selected")) == expansions
        # Up to 4 nodes on a path, 3 new ones; all nodes when the calls run out and, for `depth`, at the end.
        assert max(work.values()) <= (4 + 3 + 2 * 3) * expansions


def test_a_profiler_that_keeps_frames_alive_does_not_break_the_frontier() -> None:
    """As a Dask worker's does, by chance: numpy's frames then hold the arrays that they were given."""
    frames: list[FrameType] = []
    sys.setprofile(lambda frame, *_: frames.append(frame))
    try:
        result = ask(100, seed=1)
    finally:
        sys.setprofile(None)
    assert frames and result.trace.events == ask(100, seed=1).trace.events


# The stream of events


def test_the_same_seed_gives_the_same_events_and_another_one_others() -> None:
    runs = [ask(100, seed=seed).trace.events for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_one_object_may_search_again() -> None:
    search = BudgetAwareValueTreeSearch(MODEL, None, 100, lambda query: "A page.")
    first = search.search("Who?", plan=PLAN)
    assert search.search("Who?", plan=PLAN).trace.events == first.trace.events


def test_listeners_hear_everything_with_a_ledger_that_only_grows() -> None:
    heard: list[list[Event]] = [[], []]
    search = BudgetAwareValueTreeSearch(MODEL, None, Budget(100, 9), lambda query: "A page.")
    search.search("Who?", plan=PLAN, listeners=[heard[0].append, heard[1].append])
    assert heard[0] == heard[1] == search.trace.events
    kinds = [event.kind for event in heard[0]]
    assert kinds[0] == "started" and kinds[-1] == "stopped" and {"selected", "expanded", "scored", "read"} <= set(kinds)
    for name in ("tokens", "tool_calls", "prompt_tokens"):
        states = [event.ledger[name] for event in heard[0]]
        assert states == sorted(states)
        spent = [sum(charge[name] for charge in event.charges) for event in heard[0]]
        assert states == [sum(spent[: i + 1]) for i in range(len(spent))]


def test_the_root_states_the_plan_and_the_budget() -> None:
    root = ask(Budget(77, 5)).root
    assert "2 lookups" in root.text and "77" in root.text and "5" in root.text and PLAN[1] in root.text


def test_the_hint_says_what_is_left() -> None:
    prompts: list[str] = []

    def table(prompt: str) -> dict[str, float]:
        prompts.append(prompt)
        return {"Rome": 0.5, "Paris": 0.5}

    result = ask(Budget(50, 4), model=ScriptedModel(table), tool=lambda query: "A page.", budget_hint=True)
    hints = [line for prompt in prompts for line in prompt.splitlines() if line.startswith("Budget:")]
    assert len(hints) == len(prompts)
    assert hints[0] == "Budget: 50 tokens, 3 lookups left"
    trace = result.trace.events
    before = [trace[i - 1].ledger for i, event in enumerate(trace) if event.kind == "expanded" and event.charges]
    left = [(50 - ledger["tokens"], 4 - ledger["tool_calls"]) for ledger in before]
    assert hints == [f"Budget: {tokens} tokens, {calls} lookups left" for tokens, calls in left]


def test_a_step_knows_where_it_came_from() -> None:
    result = ask(Budget(100, 9), tool=lambda query: f"On {query}.", seed=1)
    for node in nodes(result.root)[1:]:
        step: Step = node.state
        assert step.answers == tuple(n.text for n in node.path()[1:-1]) and step.text == node.text
        assert step.page == f"On {step.query}." and step.page in step.prompt
        assert step.query == (step.answers[-1] if step.answers else PLAN[0])
        assert step.question == PLAN[len(step.answers)].replace("#1", "".join(step.answers))
