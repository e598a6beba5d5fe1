"""Critics against closed forms, and what judging costs."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bavt_minimal import (
    Budget,
    BudgetAwareValueTreeSearch,
    ConstantCritic,
    Ledger,
    LogProbCritic,
    PromptedCritic,
    Sample,
    Step,
)
from bavt_minimal.benchmark.oracle import OracleCritic
from bavt_minimal.models.scripted import ScriptedModel

PLAN = ["Where is it?", "Who runs #1?"]


def step(text: str = "Rome", logprobs: tuple[float, ...] = (-0.5,), answers: tuple[str, ...] = ()) -> Step:
    return Step("Where?", "it", "A page.", "prompt", Sample(text, len(logprobs), logprobs, True), False, answers)


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=8), st.floats(0, 1))
def test_the_log_probability_critic_is_the_geometric_mean(chances: list[float], scale: float) -> None:
    logprobs = tuple(math.log(chance) for chance in chances)
    mean = math.prod(chances) ** (1 / len(chances))
    (residual,) = LogProbCritic(scale)([step(logprobs=logprobs)], Ledger())
    assert residual == pytest.approx(scale * (2 * mean - 1), abs=1e-9)
    assert -scale - 1e-12 <= residual <= scale + 1e-12


def test_the_log_probability_critics_ends() -> None:
    steps = [step(logprobs=(0.0, 0.0)), step(logprobs=()), step(logprobs=(-math.inf, 0.0))]
    assert LogProbCritic(0.4)(steps, Ledger()) == [0.4, -0.4, -0.4]
    assert LogProbCritic()([], Ledger()) == []


def test_a_constant_critic_is_constant_and_free() -> None:
    ledger = Ledger(Budget(0))
    assert ConstantCritic(0.25)([step()] * 3, ledger) == [0.25] * 3 and not ledger.rows


@given(st.floats(0.01, 10), st.floats(0.01, 10), st.floats(0, 1))
def test_the_prompted_critic_weighs_yes_against_no(yes: float, no: float, scale: float) -> None:
    judge = ScriptedModel({}, default={"yes": yes, "no": no, "maybe": 3.0})
    (residual,) = PromptedCritic(judge, scale)([step()], Ledger())
    assert residual == pytest.approx(scale * (yes - no) / (yes + no), abs=1e-9)


def test_the_prompted_critic_pays_one_token_and_one_prompt_a_step() -> None:
    prompts: list[str] = []

    def table(prompt: str) -> dict[str, float]:
        prompts.append(prompt)
        return {"yes": 1.0, "no": 1.0}

    judge = ScriptedModel(table)
    ledger = Ledger(Budget(5), backstop=Budget(1, 0))
    assert PromptedCritic(judge)([step(answers=("Oslo",)), step("Paris")], ledger) == [0.0, 0.0]
    assert [(row.role, row.tokens) for row in ledger.rows] == [("critic", 1)] * 2
    assert [row.prompt_tokens for row in ledger.rows] == [judge.count_tokens(prompt) for prompt in prompts]
    assert "Known 1: Oslo\n" in prompts[0] and "A page." in prompts[0] and "Rome" in prompts[0]


def test_a_judge_that_says_neither_is_undecided() -> None:
    assert PromptedCritic(ScriptedModel({}, default={"maybe": 1}))([step()], Ledger()) == [0.0]


@pytest.mark.parametrize("charge_prompt", [False, True])
def test_a_search_with_the_prompted_critic_ends_well_under_every_budget(charge_prompt: bool) -> None:
    model = ScriptedModel({"Where is it?\nAnswer:": {"Rome": 2, "Paris": 1, "Oslo": 1}}, default={"Ann": 1, "Bob": 1})
    judge = ScriptedModel({}, default={"yes": 3, "no": 1})
    budgets = range(0, 40) if not charge_prompt else range(0, 1600, 37)
    for tokens in budgets:
        search = BudgetAwareValueTreeSearch(
            model, PromptedCritic(judge), tokens, charge_prompt=charge_prompt, seed=tokens, examples="Few words.\n"
        )
        result = search.search("Who?", plan=PLAN)
        assert result.ledger.spent["tokens"] <= tokens
        judged = [row for row in result.ledger.rows if row.role == "critic"]
        steps = sum(len(e.data.get("residuals", ())) for e in search.trace.events if e.kind == "scored")
        assert len(judged) == sum(row.tokens for row in judged)
        if not charge_prompt:
            assert len(judged) == steps


def test_the_oracle_knows_the_path() -> None:
    critic = OracleCritic(["Rome", "Ann Lee", "Oslo"])
    steps = [
        step("Rome"),
        step("the rome."),
        step("Paris"),
        step("Ann Lee", answers=("Rome",)),
        step("Ann Lee", answers=("Paris",)),
        step("Rome", answers=("Rome",)),
        step("Oslo", answers=("Rome", "Ann Lee")),
        step("More", answers=("Rome", "Ann Lee", "Oslo")),
    ]
    assert critic(steps, Ledger(Budget(0))) == [0.4, 0.4, -0.4, 0.4, -0.4, -0.4, 0.4, -0.4]
    assert OracleCritic(["Rome"], scale=0.2)(steps[:1], Ledger()) == [0.2]


def test_with_the_oracle_a_search_finds_what_the_model_can_say() -> None:
    model = ScriptedModel(
        {"Where is it?\nAnswer:": {"Rome": 0.2, "Paris": 0.8}, "runs Rome?\nAnswer:": {"Ann": 0.3, "Bob": 0.7}},
        default={"Cy": 1},
    )
    answers = [
        BudgetAwareValueTreeSearch(model, OracleCritic(["Rome", "Ann"]), 200, seed=seed, stop_value=1.0)
        .search("Who?", plan=PLAN)
        .answer
        for seed in range(30)
    ]
    assert answers == ["Ann"] * 30


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1.5, -1.5])
def test_a_residual_out_of_range_prunes_the_step_and_the_search_still_ends(value: float) -> None:
    model = ScriptedModel({}, default={"Rome": 1, "Paris": 1})
    search = BudgetAwareValueTreeSearch(model, lambda steps, ledger: [value] * len(steps), 60)
    result = search.search("Who?", plan=PLAN)
    assert result.answer == "" and result.reason in {"tokens", "exhausted"} and not result.root.children
    assert any("critic returned" in str(event.data.get("why")) for event in search.trace.events)


@pytest.mark.parametrize(
    "value", ["x", None, 3, [None], ["a"], [10**400], [0.1, 0.2], [], [[0.1]], [1j]], ids=lambda value: str(value)[:9]
)
def test_a_critic_that_returns_nonsense_is_named(value: Any) -> None:
    model = ScriptedModel({}, default={"Rome": 1})
    search = BudgetAwareValueTreeSearch(model, lambda steps, ledger: value, 60, num_candidates=1)
    with pytest.raises((TypeError, ValueError), match="critic"):
        search.search("Who?", plan=PLAN)
    assert search.result.reason == "error" and search.trace.events[-1].kind == "stopped"


def test_a_critic_that_raises_ends_the_search_with_its_trace() -> None:
    def critic(steps: Any, ledger: Ledger) -> list[float]:
        with ledger.reserve("critic", tokens=2):
            raise RuntimeError("no judge")

    search = BudgetAwareValueTreeSearch(ScriptedModel({}, default={"Rome": 1}), critic, 60)
    with pytest.raises(RuntimeError, match="no judge"):
        search.search("Who?", plan=PLAN)
    ledger = search.result.ledger
    assert search.result.reason == "error"
    assert [row.tokens for row in ledger.rows if row.role == "critic"] == [2]  # charged all that it reserved
    # Every row of the ledger is on some event of the trace.
    assert sum(charge["tokens"] for event in search.trace.events for charge in event.charges) == ledger.spent["tokens"]
