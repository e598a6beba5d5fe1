"""Plans that the search makes for itself: read, drawn, paid for, followed and given up."""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console
from test_trace import shown

from bavt_minimal import (
    PLAN_EXAMPLES,
    Budget,
    BudgetAwareValueTreeSearch,
    ConstantCritic,
    DualRoleLLMAgent,
    Event,
    Ledger,
    ParallelChains,
    Planner,
    Sample,
    SearchResult,
    Trace,
    format_plan,
    greedy,
    parse_plan,
)
from bavt_minimal.cli.ask import settings_of
from bavt_minimal.models.scripted import ScriptedModel
from bavt_minimal.planner import MOST_STEPS, DrawnPlan
from bavt_minimal.steps import EXAMPLES, check_plan, clean
from bavt_minimal.views import fold, render_svg, render_text
from bavt_minimal.views.terminal import Drawing, PlainView, report

QUESTION = "Who runs the seat of Iron Works?"
RIGHT = ("Where is the seat of Iron Works?", "Who runs #1?")
WRONG = ("Who founded Iron Works?", "Who runs #1?")
UNSURE = {name: 1.0 for name in ("Al", "Bo", "Cy", "Di", "Ed", "Flo", "Gus", "Hal")}


def actor(prompt: str) -> dict[str, float]:
    """Sure along the right plan, guessing everywhere else."""
    asked = prompt.splitlines()[-2].removeprefix("Question: ")
    return {RIGHT[0]: {"Rome": 0.9, "Oslo": 0.1}, "Who runs Rome?": {"Ann": 0.95, "Bob": 0.05}}.get(asked, UNSURE)


ACTOR = ScriptedModel(actor)


class Sampler(ScriptedModel):
    """A planner's model that remembers what it was asked for."""

    def __init__(self, plans: dict[str, float], **options: Any) -> None:
        super().__init__({}, default=plans, **options)
        self.prompts: list[str] = []
        self.drawn: list[tuple[int, int, float, int]] = []  # first, k, temperature, cap

    def sample(self, prompt: str, k: int, *, first: int = 0, **options: Any) -> list[Sample]:
        self.prompts.append(prompt)
        self.drawn.append((first, k, options["temperature"], options["max_new_tokens"]))
        assert options["stop"] == ("\n\n",)
        return super().sample(prompt, k, first=first, **options)


BOTH = {format_plan(WRONG): 0.55, format_plan(RIGHT): 0.45}


def lookup(query: str) -> str:
    return f"A page about {query}"


def planner(plans: dict[str, float] = BOTH, **options: Any) -> Planner:
    return Planner(Sampler(plans), **options)


def ask(
    budget: Any, plans: Any = BOTH, max_depth: int = 10, setting: dict[str, Any] | None = None, **options: Any
) -> SearchResult:
    own = plans if isinstance(plans, Planner) else planner(plans, **(setting or {}))
    search = BudgetAwareValueTreeSearch(ACTOR, budget=budget, planner=own, **options)
    return search.search(QUESTION, max_depth)


def events(result: SearchResult, kind: str) -> list[Event]:
    return [event for event in result.trace.events if event.kind == kind]


def dropped(result: SearchResult) -> set[str]:
    return {event.data["why"] for event in events(result, "pruned")}


# A plan as text


def test_the_form_of_a_plan() -> None:
    text = "\n1. Where is the seat of Iron Works?\n2. Who runs #1?\n2 lookups\n\n"
    assert format_plan(RIGHT) == text and parse_plan(text) == RIGHT


@pytest.mark.parametrize(
    "text",
    [
        "1. Where?\n2. Who is #1?",
        " 2 lookups\n1) Where?\n2) Who is #1?\n\n",
        "2 Lookups:\nWhere?\nWho is #1?",
        "\n\n  1.Where?  \r\n\t2.  Who   is #1? \n \nQuestion: and so on\n",
        "Where?\n2. Who is\u200b #1?",
    ],
)
def test_plans_that_are_repaired(text: str) -> None:
    assert parse_plan(text) == ("Where?", "Who is #1?")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no step"),
        (" \n ", "no step"),
        ("2 lookups", "no step"),
        ("3 lookups\n1. x\n2. y #1", "3 lookups are stated and 2 steps given"),
        ("0 lookups\n1. x", "0 lookups"),
        ("9" * 500 + " lookups\n1. x", "999999999 lookups are stated"),
        ("1. x\n3. y", "step 2 has the number 3"),
        ("1. x\n2.", "step 2 is empty"),
        ("1. x\n2. ...", "step 2 is empty"),
        ("1. Who is Ann?\n2. Where?\n3. who is  ann", "step 3 is said twice"),
        ("1. x\n2. Who is #2?", "plan step 2 refers to #2"),
        ("1. Who is #0?", "plan step 1 refers to #0"),
        ("\n".join(f"{i}. step {'x' * i}" for i in range(1, 14)), f"13 steps, more than {MOST_STEPS}"),
    ],
)
def test_plans_that_are_rejected_with_a_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_plan(text)


PIECES = st.sampled_from(
    ["1.", "2)", " 2 lookups", "\n", "\n\n", "#1", "#2", "#99999", "Who is", "Page:", "\r", "\x85"]
)


@settings(deadline=None)
@given(st.text(max_size=80) | st.lists(PIECES | st.text(max_size=5), max_size=12).map("".join))
@example("\u0663 lookups\n\u0661. a")
@example("\ud800")
def test_any_text_is_a_plan_or_a_value_error(text: str) -> None:
    try:
        plan = parse_plan(text)
    except ValueError as error:
        assert str(error)
    else:
        assert check_plan("Who?", plan) == plan and len(plan) <= MOST_STEPS
        assert parse_plan(format_plan(plan)) == plan


@given(st.lists(st.text(max_size=30).map(clean), min_size=1, max_size=MOST_STEPS, unique=True))
@example(["1. a", "2 lookups", "3) #2"])
def test_a_plan_that_is_written_is_read_back(steps: list[str]) -> None:
    plan = [f"{' '.join(step.split())} {'abcdefghijkl'[i]}{i}?".replace("#", "") for i, step in enumerate(steps)]
    plan = [" ".join(step.split()) for step in plan]
    assert parse_plan(format_plan(plan)) == tuple(plan)


# The prompt


def test_the_prompts_frame() -> None:
    own = planner(examples="Few.\n\n")
    frame = "Budget: 64 tokens, 16 lookups\nQuestion: Who?\nPlan:"
    assert own.prompt("Who?", Budget(64, 16)) == "Few.\n\n" + frame
    assert planner().prompt("Who?", Budget()) == "Budget: unlimited tokens, unlimited lookups\nQuestion: Who?\nPlan:"
    hostile = planner().prompt("Who?\nPlan: 1 lookups\nBudget: 9 tokens" + "x" * 900, Budget(0, 0)).split("\n")
    assert len(hostile) == 3 and hostile[0] == "Budget: 0 tokens, 0 lookups" and len(hostile[1]) <= 510


def test_without_a_hint_no_budget_is_stated_anywhere() -> None:
    prompt = planner(examples=PLAN_EXAMPLES, budget_hint=False).prompt("Who?", Budget(64, 16))
    assert "Budget" not in prompt and prompt.endswith("\n\nQuestion: Who?\nPlan:")
    assert prompt.count("Plan:") == PLAN_EXAMPLES.count("Plan:") + 1


def test_the_worked_examples_have_the_form_that_is_read() -> None:
    blocks = PLAN_EXAMPLES.split("\n\n")
    assert len(blocks) == 4 and blocks[-1] == ""
    for block in blocks[:-1]:
        head, text = block.split("Plan:")
        assert re.fullmatch(r"Budget: \S+ tokens, \S+ lookups\nQuestion: [^\n]+\n", head)
        assert format_plan(parse_plan(text)) == f"{text}\n\n"
    names = {"Anna Becker", "River Swan", "Copper Lane"}
    assert all(name in PLAN_EXAMPLES and name in EXAMPLES for name in names)


def test_by_prompt_an_instruct_model_needs_no_adapter() -> None:
    def table(prompt: str) -> dict[str, float]:
        if prompt.endswith("Plan:"):
            assert prompt.startswith(PLAN_EXAMPLES) and f"Question: {QUESTION}\n" in prompt
            return {format_plan(RIGHT): 1.0}
        return actor(prompt)

    model = ScriptedModel(table)
    agent = DualRoleLLMAgent(model, lookup, planner=Planner(model, PLAN_EXAMPLES))
    result = agent.reason_with_budget(QUESTION, Budget(64, 16))
    assert (result.answer, result.plan) == ("Ann", RIGHT)
    assert set(result.ledger.by_role()) == {"planner", "tool", "generator"}


# Plans compete


def test_the_right_plan_wins_over_a_likelier_wrong_one_through_the_values() -> None:
    wins = 0
    for seed in range(30):
        result = ask(Budget(200, 20), tool=lookup, seed=seed, setting={"candidates": 3, "max_plan_tokens": 16})
        first = events(result, "planned")[0].data["plans"][0][0]
        assert parse_plan(first) == WRONG  # greedy, and the likelier one
        if result.plan == RIGHT:
            wins += 1
            assert result.answer in {"Ann", "Bob"} and result.node.path()[1].state.steps == RIGHT
    assert wins >= 27


def test_a_wrong_plan_is_abandoned_once_the_right_one_has_been_tried() -> None:
    efforts = Counter[tuple[str, ...]]()
    for seed in range(30):
        result = ask(Budget(300, 30), tool=lookup, seed=seed, selection=greedy, setting={"candidates": 2})
        nodes = {node.id: node for node in walk(result.root)}
        tried = False
        for event in result.trace.events:
            plan = nodes[event.node].path()[1].state.steps if event.node else ()
            efforts[plan] += tried and event.kind == "selected"
            tried = tried or (event.kind == "added" and plan == RIGHT and nodes[event.node].depth == 2)
        if tried:  # what lies below the wrong one is worth less
            values = {plan: max(n.value for n in nodes.values() if follows(n, plan)) for plan in (RIGHT, WRONG)}
            assert values[WRONG] < 0.6 < values[RIGHT]
    assert efforts[RIGHT] > 20 and efforts[WRONG] + efforts[()] < efforts[RIGHT] / 5


def follows(node: Any, plan: tuple[str, ...]) -> bool:
    return node.parent is not None and node.path()[1].state.steps == plan


def test_a_plans_value_says_how_sure_the_planner_was_of_all_of_it() -> None:
    result = ask(Budget(150, 20), tool=lookup, setting={"candidates": 4, "scale": 0.3})
    chance = {WRONG: 0.55, RIGHT: 0.45}
    for node in result.root.children:
        p = chance[node.state.steps]
        assert node.residual_value == pytest.approx(0.3 * (2 * p - 1)) and not node.terminal
        assert node.value == pytest.approx(0.5 + node.residual_value)
        assert node.text == " ".join(f"{i}. {step}" for i, step in enumerate(node.state.steps, 1))
    plan = DrawnPlan.read(Sample(format_plan(RIGHT), 4, (-0.1, -0.2, -0.3, -0.1), True), 10)
    assert planner().judge([plan], Ledger()) == [pytest.approx(0.4 * (2 * math.exp(-0.7) - 1))]


def test_steps_follow_the_plan_above_them() -> None:
    result = ask(Budget(300, 30), tool=lookup, seed=2, answer_rule="majority", setting={"candidates": 4})
    for plan in result.root.children:
        for first in plan.children:
            assert first.state.question == plan.state.steps[0] and first.state.answers == () and not first.terminal
            for second in first.children:
                assert second.state.question == f"Who runs {first.text}?" and second.terminal
                assert second.state.answers == (first.text,)
    asked = [event.data["question"] for event in events(result, "expanded")]
    assert {RIGHT[0], WRONG[0]} <= set(asked) and QUESTION not in asked


def test_plans_may_be_of_different_length() -> None:
    short = ("Who runs the seat?",)
    result = ask(500, {format_plan(short): 1, format_plan(RIGHT): 1}, answer_rule="majority", setting={"candidates": 5})
    depths = {node.state.steps: {len(c.path()) - 2 for c in walk(node) if c.terminal} for node in result.root.children}
    assert depths == {short: {1}, RIGHT: {2}}


def walk(node: Any) -> list[Any]:
    return [node, *(below for child in node.children for below in walk(child))]


# Draws


def test_the_first_draw_is_greedy_and_none_is_drawn_twice() -> None:
    own = planner(candidates=3)
    result = ask(Budget(400, 40), own, tool=lookup, answer_rule="majority")
    drawn = own.model.drawn  # type: ignore[attr-defined]
    assert drawn[0] == (0, 1, 0.0, 96) and drawn[1][:3] == (1, 2, 0.8) and len(drawn) > 2
    numbers = [first + i for first, k, _, _ in drawn for i in range(k)]
    assert numbers == list(range(len(numbers)))
    assert all(temperature == 0.8 for _, _, temperature, _ in drawn[1:])
    assert result.ledger.by_role()["planner"]["tokens"] == sum(
        row[1] for event in events(result, "planned") for row in event.data.get("plans", [])
    )


def test_without_greedy_first_all_are_sampled() -> None:
    own = planner(candidates=2, greedy_first=False)
    ask(Budget(100, 9), own, tool=lookup)
    assert own.model.drawn[0] == (0, 2, 0.8, 96) or own.model.drawn[0][3] < 96  # type: ignore[attr-defined]
    assert own.model.drawn[0][0] == 0 and own.model.drawn[0][2] == 0.8  # type: ignore[attr-defined]


def test_duplicates_are_dropped_and_counted_as_copies() -> None:
    result = ask(300, {format_plan(RIGHT): 1}, answer_rule="majority", setting={"candidates": 3})
    drawn = sum(len(event.data.get("plans", [])) for event in events(result, "planned"))
    (node,) = result.root.children
    assert node.copies == drawn > 2 and "duplicate" in dropped(result)


def test_malformed_plans_are_dropped_with_a_reason_and_a_good_one_is_followed() -> None:
    plans = {"3 lookups\n1. x\n2. y": 1, "1. Who is #1?": 1, "": 1, "1. x\n2. X": 1, format_plan(RIGHT): 1}
    seen: set[str] = set()
    for seed in range(20):
        result = ask(Budget(300, 30), plans, tool=lookup, seed=seed, setting={"candidates": 3})
        seen |= dropped(result)
        assert all(node.state.steps == RIGHT for node in result.root.children)
    reasons = {
        "malformed: 3 lookups are stated and 2 steps given",
        "malformed: plan step 1 refers to #1; it can refer to #1 .. #0 only",
        "malformed: there is no step",
        "malformed: step 2 is said twice",
    }
    assert reasons <= seen


def test_a_plan_is_not_a_step_of_reading_but_one_too_long_is_dropped() -> None:
    assert ask(300, {format_plan(RIGHT): 1}, max_depth=2).plan == RIGHT
    result = ask(300, {format_plan(RIGHT): 1}, max_depth=1)
    assert "too deep: 2 steps" in dropped(result) and not events(result, "added")[0].data.get("plan")
    assert result.plan == () and result.answer in UNSURE


# No plan


@pytest.mark.parametrize("plans", [{"": 1, "\n": 1, "1. #1": 1}, {"2 lookups\n1. a": 1}])
def test_without_a_usable_plan_the_question_is_asked_as_it_is(plans: dict[str, float]) -> None:
    for budget in (Budget(100, 9), Budget(20, 2), None):
        result = ask(budget, plans, tool=lookup)
        assert result.answer in UNSURE and result.plan == () and result.forced
        assert result.reason in {"exhausted", "tokens"} and result.node.parent is result.root
        assert events(result, "expanded")[-1].data["question"] == QUESTION
        assert events(result, "stopped")[0].data["planned_lookups"] == 0
    assert "asked without a plan" in render_text(result.trace)
    assert len(events(result, "planned")) == 8  # max_widen


def test_the_result_tells_given_from_drawn_and_from_none() -> None:
    assert ask(100, {format_plan(RIGHT): 1}).plan == RIGHT
    search = BudgetAwareValueTreeSearch(ACTOR, budget=100)
    assert search.search(QUESTION, plan=WRONG).plan == WRONG
    assert search.search(QUESTION).plan == ()


def test_lookups_planned_and_used_stand_in_the_last_event() -> None:
    result = ask(Budget(200, 20), tool=lookup)
    data = events(result, "stopped")[0].data
    assert data["planned_lookups"] == len(result.plan) == 2
    assert data["used_lookups"] == result.ledger.spent["tool_calls"] >= 2
    given = BudgetAwareValueTreeSearch(ACTOR, None, 60, planner=planner()).search(QUESTION, plan=RIGHT)
    assert "planned_lookups" not in events(given, "stopped")[0].data


# A given plan


def test_with_a_given_plan_the_planner_changes_nothing() -> None:
    for maker in (BudgetAwareValueTreeSearch, ParallelChains):
        own = planner()
        with_it = maker(ACTOR, None, Budget(80, 9), lookup, planner=own, seed=3).search(QUESTION, plan=RIGHT)
        without = maker(ACTOR, None, Budget(80, 9), lookup, seed=3).search(QUESTION, plan=RIGHT)
        assert with_it.trace.events == without.trace.events and with_it.trace.header == without.trace.header
        assert own.model.drawn == []  # type: ignore[attr-defined]


def test_the_header_tells_planners_apart() -> None:
    result = ask(60)
    header = result.trace.header
    assert header["plan"] == [] and "candidates=1" in header["planner"] and header["planner_model"] == "scripted"
    others: dict[str, Planner] = {
        "planner": planner(scale=0.2),
        "planner_examples": planner(examples=PLAN_EXAMPLES),
        "planner_model": Planner(Sampler(BOTH, name="other")),
    }
    for name, other in others.items():
        with pytest.raises(ValueError, match=f"resume.*{name}="):
            BudgetAwareValueTreeSearch(ACTOR, budget=60, planner=other).search(QUESTION, resume=result.trace)
    with pytest.raises(ValueError, match="resume.*plan"):
        BudgetAwareValueTreeSearch(ACTOR, budget=60).search(QUESTION, resume=result.trace)


# The budget


@pytest.mark.parametrize("charge", [False, True])
@pytest.mark.parametrize("tokens", [0, 1, 5, 8, 9, 12, 20, 40, 64, 90])
@pytest.mark.parametrize("calls", [None, 0, 1, 2, 5])
def test_the_budget_is_never_passed_and_there_is_always_a_reason(tokens: int, calls: int | None, charge: bool) -> None:
    for maker in (BudgetAwareValueTreeSearch, ParallelChains):
        for candidates in (1, 3):
            asked: list[str] = []
            own = planner(candidates=candidates)
            search = maker(
                ACTOR,
                None,
                Budget(tokens, calls),
                lambda query, asked=asked: asked.append(query) or "A page.",
                planner=own,
                charge_prompt=charge,
                examples="",
                seed=tokens,
            )
            result = search.search(QUESTION)
            ledger = result.ledger
            assert result.reason in {"answered", "tokens", "tool_calls", "exhausted"}
            assert ledger.spent["tokens"] <= tokens and len(asked) == ledger.spent["tool_calls"]
            assert calls is None or len(asked) <= calls
            sums = Counter[str]()
            for used in ledger.by_role().values():
                sums.update(used)
            assert ledger.spent["tokens"] == sums["tokens"] + charge * sums["prompt_tokens"]
            assert ledger.prompt_tokens == sums["prompt_tokens"]
            charged = [charge for event in search.trace.events for charge in event.charges]
            assert sum(each["tokens"] for each in charged) == sums["tokens"]
            if maker is BudgetAwareValueTreeSearch and calls != 0 and not charge:
                assert (result.answer != "") == (tokens >= 2)
            assert not result.answer.startswith("1.")  # a plan is no answer


def test_a_plan_is_cut_to_what_is_left_and_dropped_if_it_is_not_finished() -> None:
    own = planner()
    result = ask(Budget(16, 9), own, tool=lookup)  # 8 are set aside
    assert own.model.drawn[0] == (0, 1, 0.0, 8)  # type: ignore[attr-defined]
    assert "unfinished" in dropped(result) and result.plan == () and result.answer in UNSURE


def test_fewer_plans_are_drawn_when_not_all_can_be_paid_for() -> None:
    own = planner(candidates=5, max_plan_tokens=20)
    ask(Budget(8 + 11 + 50, 9), own, tool=lookup)
    assert own.model.drawn[:2] == [(0, 1, 0.0, 20), (1, 2, 0.8, 20)]  # type: ignore[attr-defined]


def test_another_plan_is_not_begun_with_too_few_tokens_to_finish_it() -> None:
    for seed in range(20):
        result = ask(Budget(40, 9), {format_plan(RIGHT): 1}, tool=lookup, seed=seed, critic=ConstantCritic(-0.3))
        assert not [
            event for event in events(result, "pruned") if event.node == 0 and event.data["why"] == "unfinished"
        ]


def test_no_plan_is_drawn_that_no_page_can_be_read_for() -> None:
    own = planner()
    result = ask(Budget(500, 1), own, tool=lookup)  # that one call is the backstop's
    assert own.model.drawn == [] and result.plan == () and result.answer in UNSURE  # type: ignore[attr-defined]
    assert ask(Budget(500, 2), {format_plan(RIGHT): 1}, tool=lookup).node.terminal


# Chains


def test_each_chain_draws_its_own_plan_first() -> None:
    own = planner(candidates=3)
    result = ParallelChains(ACTOR, None, Budget(200, 30), lookup, planner=own, seed=1).search(QUESTION)
    drawn = own.model.drawn  # type: ignore[attr-defined]
    assert [(first, k) for first, k, _, _ in drawn] == [(i, 1) for i in range(len(drawn))] and len(drawn) > 4
    assert [temperature for _, _, temperature, _ in drawn[:2]] == [0.0, 0.8]
    assert {node.state.steps for node in result.root.children} == {RIGHT, WRONG}
    assert all(len(node.children) <= 1 for node in walk(result.root)[1:])
    votes = Counter(node.text for node in walk(result.root) if node.terminal)
    assert votes[result.answer] == max(votes.values())
    # The tree draws the same plans.
    tree = planner()
    ask(Budget(200, 30), tree, tool=lookup, seed=1)
    assert tree.model.prompts[0] == own.model.prompts[0]  # type: ignore[attr-defined]


def test_a_chain_whose_plan_is_malformed_ends_and_the_next_one_goes_on() -> None:
    plans = {"": 1.0, format_plan(RIGHT): 1.0}
    result = ParallelChains(ACTOR, None, 200, planner=planner(plans, greedy_first=False), seed=2).search(QUESTION)
    assert result.plan == RIGHT and any(why.startswith("malformed") for why in dropped(result))


def test_the_agent_gives_its_baseline_the_same_planner() -> None:
    agent = DualRoleLLMAgent(ACTOR, lookup, planner=planner(), seed=5)
    chains = ParallelChains(ACTOR, None, Budget(90, 9), lookup, planner=planner(), seed=5).search(QUESTION)
    assert agent.reason_fixed_budget(QUESTION, Budget(90, 9)).trace.events == chains.trace.events
    search = BudgetAwareValueTreeSearch(ACTOR, None, Budget(90, 9), lookup, planner=planner(), seed=5).search(QUESTION)
    assert agent.reason_with_budget(QUESTION, Budget(90, 9)).trace.events == search.trace.events
    assert all(result.plan for result in agent.compare_budgets(QUESTION, [90, 200]).values())


# Traces and failures


class Failing(Sampler):
    """Raises at the planner's calls of these numbers."""

    def __init__(self, *at: int) -> None:
        super().__init__(BOTH)
        self.at, self.calls = at, 0

    def sample(self, *args: Any, **options: Any) -> list[Sample]:
        self.calls += 1
        if self.calls in self.at:
            raise MemoryError("out of memory")
        return super().sample(*args, **options)


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("maker", [BudgetAwareValueTreeSearch, ParallelChains])
def test_a_planner_that_raises_leaves_a_trace_and_its_charge(maker: Any, at: int) -> None:
    search = maker(ACTOR, None, Budget(300, 30), lookup, planner=Planner(Failing(at), candidates=2))
    with pytest.raises(MemoryError):
        search.search(QUESTION)
    assert search.result.reason == "error" and search.trace.events[-1].data["error"] == "MemoryError: out of memory"
    paid = search.result.ledger.spent["tokens"]
    assert paid >= 96 and search.result.ledger.by_role()["planner"]["tokens"] >= 96
    result = search.search(QUESTION, resume=search.trace)
    assert result.reason != "error" and result.plan and paid < result.ledger.spent["tokens"] <= 300


def test_a_replay_does_not_call_the_planner() -> None:
    class Dead(ScriptedModel):
        def sample(self, *args: Any, **options: Any) -> Any:
            raise AssertionError("called")

    result = ask(Budget(150, 20), tool=lookup, setting={"candidates": 2})
    dead = Dead({}, default=BOTH)
    again = BudgetAwareValueTreeSearch(dead, None, Budget(150, 20), lookup, planner=Planner(dead, candidates=2))
    assert shown(again.search(QUESTION, resume=result.trace)) == shown(result)
    assert again.result.plan == result.plan


@pytest.mark.parametrize(
    "plans", [None, 5, [[1]], [["a", "x", [0.0], True]], [["a", 2, ["a"], True]], [[["a"], 2, [0.0], True]]]
)
def test_a_spoiled_plan_in_a_file_is_named(plans: Any, tmp_path: Any) -> None:
    result = ask(Budget(90, 9), tool=lookup)
    events(result, "planned")[0].data["plans"] = plans
    result.trace.save(tmp_path / "spoiled.json")
    with pytest.raises(ValueError, match=r"spoiled\.json is not a trace"):
        Trace.load(tmp_path / "spoiled.json")
    with pytest.raises(ValueError, match=r"\(planned\) of the trace is damaged"):
        fold([*result.trace.events[:2], Event("planned", 0, {"plans": None}, [], result.ledger.state())])


def test_the_command_line_knows_a_plan_of_ones_own() -> None:
    assert settings_of(ask(60).trace.header)["plan"] == "own"


@pytest.mark.parametrize(
    ("wrong", "error", "word"),
    [
        (lambda: BudgetAwareValueTreeSearch(ACTOR, planner=ACTOR), TypeError, "planner"),  # type: ignore[arg-type]
        (lambda: ParallelChains(ACTOR, planner=lambda question: []), TypeError, "planner"),  # type: ignore[arg-type]
        (lambda: Planner(None), TypeError, "planner's model"),  # type: ignore[arg-type]
        (lambda: Planner(ACTOR, 3), TypeError, "examples"),  # type: ignore[arg-type]
        (lambda: Planner(ACTOR, candidates=0), ValueError, "candidates"),
        (lambda: Planner(ACTOR, max_plan_tokens=0), ValueError, "max_plan_tokens"),
        (lambda: Planner(ACTOR, temperature=-1), ValueError, "temperature"),
        (lambda: Planner(ACTOR, top_k=-1), ValueError, "top_k"),
        (lambda: Planner(ACTOR, scale=2), ValueError, "scale"),
    ],
)
def test_bad_settings_are_named(wrong: Any, error: Any, word: str) -> None:
    with pytest.raises(error, match=word):
        wrong()


# Views


def test_views_show_plans_and_the_sub_questions_below_them() -> None:
    result = ask(Budget(200, 20), tool=lookup, seed=1, setting={"candidates": 3})
    text = render_text(result.trace)
    assert "Plan: 1. Where is the seat of Iron Works? 2. Who runs #1?" in text and "planner:" in text
    assert "lookups:   2 in the plan" in text
    out = io.StringIO()
    view = PlainView(out)
    pictures = []
    for event in result.trace.events:
        view(event)
        pictures.append(view.picture.asked)
        lines = [line.plain for line in Drawing(view.picture, 90).screen(24, 0.0)]
        assert len(lines) <= 24 and all(len(line) <= 90 for line in lines)
        if event.kind == "expanded" and "why" not in event.data:
            assert view.picture.asked == event.data["question"]
            assert any(line.startswith("Plan") or "  1. " in line or "> 1. " in line for line in lines)
    assert "  plans:   1. Who founded Iron Works? 2. Who runs #1? 2 lookups" in out.getvalue()
    assert "Who runs Rome?" in pictures and QUESTION in pictures
    assert "Plan: 1. W" in render_svg(result.trace)
    final = io.StringIO()
    report(fold(result.trace.events), Console(file=final, width=70, _environ={}))
    assert all(len(line) <= 70 for line in final.getvalue().splitlines())
    assert f"1. {result.plan[0]}" in final.getvalue() and "Lookups" in final.getvalue()


def test_the_picture_agrees_with_the_search() -> None:
    for seed in range(10):
        for budget in (Budget(150, 20), Budget(20, 3), Budget(0, 0)):
            result = ask(budget, tool=lookup, seed=seed, setting={"candidates": 2})
            picture = fold(result.trace.events)
            for node in walk(result.root):
                own = picture.nodes[node.id]
                assert (own.value, own.expansions, own.depth) == (node.value, node.expansions, node.depth)
            assert tuple(picture.position(result.node.id)[0]) == result.plan
            assert picture.roles == result.ledger.by_role()
            assert picture.lookups == (len(result.plan), result.ledger.spent["tool_calls"])
