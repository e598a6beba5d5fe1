"""The ledger against a model in plain ints, and the edges of a budget."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bavt_minimal.budget import ROLES, Budget, BudgetExceeded, Ledger, Reservation, Row

UNITS = st.integers(0, 12)
TOTAL = st.none() | st.integers(0, 40)


class LedgerAgainstInts(RuleBasedStateMachine):
    """Reserve, spend, release and raise in any order; the model keeps plain ints."""

    @initialize(tokens=TOTAL, calls=TOTAL, aside=st.tuples(UNITS, st.integers(0, 3)), charge=st.booleans())
    def begin(self, tokens: int | None, calls: int | None, aside: tuple[int, int], charge: bool) -> None:
        self.total = {"tokens": tokens, "tool_calls": calls}
        self.aside = {"tokens": aside[0], "tool_calls": aside[1]}
        self.charge = charge
        self.ledger = Ledger(Budget(tokens, calls), charge, Budget(*aside))
        self.used = {"tokens": 0, "tool_calls": 0}
        self.prompts = 0
        self.open: list[tuple[Reservation, dict[str, int], int]] = []

    def room(self, name: str, role: str) -> float:
        total = self.total[name]
        if total is None:
            return float("inf")
        held = sum(most[name] for _, most, _ in self.open)
        aside = 0 if role == "backstop" else min(self.aside[name], total)
        return max(0, total - self.used[name] - held - aside)

    @rule(role=st.sampled_from(ROLES), tokens=UNITS, calls=st.integers(0, 3), prompt=UNITS)
    def reserve(self, role: str, tokens: int, calls: int, prompt: int) -> None:
        most = {"tokens": tokens + prompt * self.charge, "tool_calls": calls}
        short = [name for name in most if most[name] > self.room(name, role)]
        if not short:
            self.open.append((self.ledger.reserve(role, tokens, calls, prompt).__enter__(), most, prompt))
            return
        before = self.ledger.state()
        with pytest.raises(BudgetExceeded) as caught:
            self.ledger.reserve(role, tokens, calls, prompt)
        assert caught.value.resource in short
        assert self.ledger.state() == before  # a refusal changes nothing

    @rule(data=st.data(), raises=st.booleans())
    def spend(self, data: st.DataObject, raises: bool) -> None:
        if not self.open:
            return
        call, _, prompt = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        tokens = data.draw(st.integers(0, call.most.tokens))
        calls = data.draw(st.integers(0, call.most.tool_calls))
        call.spend(tokens, calls)
        call.__exit__(RuntimeError if raises else None, None, None)
        self.settled(tokens + prompt * self.charge, calls, prompt)

    @rule(data=st.data())
    def fail_without_report(self, data: st.DataObject) -> None:
        if not self.open:
            return
        call, most, prompt = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        call.__exit__(RuntimeError, RuntimeError("gone"), None)
        self.settled(most["tokens"], most["tool_calls"], prompt)

    @rule(data=st.data(), more=st.integers(1, 50))
    def report_too_much(self, data: st.DataObject, more: int) -> None:
        if not self.open:
            return
        call = self.open[data.draw(st.integers(0, len(self.open) - 1))][0]
        with pytest.raises(ValueError, match="tokens"):
            call.spend(tokens=call.most.tokens + more)

    @rule()
    def free_the_backstop(self) -> None:
        self.ledger.release_backstop()
        self.aside = {"tokens": 0, "tool_calls": 0}

    def settled(self, tokens: int, calls: int, prompt: int) -> None:
        self.used["tokens"] += tokens
        self.used["tool_calls"] += calls
        self.prompts += prompt

    @invariant()
    def totals_are_the_models(self) -> None:
        if not hasattr(self, "ledger"):
            return
        assert {name: self.ledger.spent[name] for name in self.used} == self.used
        assert self.ledger.prompt_tokens == self.prompts
        for name, total in self.total.items():
            assert total is None or self.used[name] <= total
            for role in ROLES:
                assert self.ledger.left(name, role) == self.room(name, role)

    @invariant()
    def rows_sum_to_totals(self) -> None:
        if not hasattr(self, "ledger"):
            return
        rows = self.ledger.rows
        charged = sum(row.tokens + row.prompt_tokens * self.charge for row in rows)
        assert (charged, sum(row.tool_calls for row in rows)) == (self.used["tokens"], self.used["tool_calls"])
        by_role = self.ledger.by_role()
        for field in ("tokens", "tool_calls", "prompt_tokens"):
            assert sum(totals[field] for totals in by_role.values()) == sum(getattr(row, field) for row in rows)

    @invariant()
    def ratio_is_the_tightest_share(self) -> None:
        if not hasattr(self, "ledger"):
            return
        shares = [
            Fraction(int(self.room(name, "backstop")), total) if total else Fraction(0)
            for name, total in self.total.items()
            if total is not None
        ]
        assert self.ledger.ratio() == pytest.approx(float(min(shares, default=Fraction(1))))
        assert 0.0 <= self.ledger.ratio() <= 1.0


LedgerAgainstInts.TestCase.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
TestLedgerAgainstInts: Any = LedgerAgainstInts.TestCase


def test_no_budget_is_unlimited_and_full() -> None:
    ledger = Ledger()
    with ledger.reserve("generator", tokens=10**9, tool_calls=10**9) as call:
        call.spend(10**9, 10**9)
    assert ledger.left("tokens") == float("inf") and ledger.ratio() == 1.0
    assert ledger.spent == {"tokens": 10**9, "tool_calls": 10**9}


@pytest.mark.parametrize("budget", [Budget(0), Budget(tool_calls=0), Budget(0, 0), Budget(5, 0), Budget(0, 5)])
def test_a_total_of_zero_leaves_nothing(budget: Budget) -> None:
    assert Ledger(budget).ratio() == 0.0


def test_the_ratio_is_that_of_the_tighter_resource() -> None:
    ledger = Ledger(Budget(100, 4))
    with ledger.reserve("tool", tool_calls=1) as call:
        call.spend(tool_calls=1)
    assert ledger.ratio() == 0.75
    with ledger.reserve("generator", tokens=60) as call:
        call.spend(tokens=60)
    assert ledger.ratio() == 0.4


def test_a_reservation_counts_while_it_is_open_and_the_rest_comes_back() -> None:
    ledger = Ledger(Budget(10))
    with ledger.reserve("generator", tokens=8) as call:
        assert ledger.left("tokens") == 2
        with pytest.raises(BudgetExceeded, match="3 tokens, 2 left"):
            ledger.reserve("critic", tokens=3)
        call.spend(tokens=3)
    assert ledger.left("tokens") == 7 and ledger.rows == [Row("generator", 3)]


def test_only_the_backstop_may_use_its_share() -> None:
    ledger = Ledger(Budget(10, 2), backstop=Budget(8, 1))
    assert [ledger.left("tokens", role) for role in ROLES] == [2, 2, 2, 2, 10]
    assert [ledger.left("tool_calls", role) for role in ROLES] == [1, 1, 1, 1, 2]
    for role in set(ROLES) - {"backstop"}:
        with pytest.raises(BudgetExceeded):
            ledger.reserve(role, tokens=3)
    with ledger.reserve("backstop", tokens=10):
        pass
    assert ledger.spent["tokens"] == 10


def test_a_share_larger_than_the_budget_is_all_of_it() -> None:
    ledger = Ledger(Budget(5), backstop=Budget(8, 1))
    assert (ledger.left("tokens", "generator"), ledger.left("tokens", "backstop")) == (0, 5)
    ledger.release_backstop()
    assert ledger.left("tokens", "generator") == 5


def test_prompt_tokens_are_counted_and_charged_only_when_asked() -> None:
    for charge, left in ((False, 96), (True, 66)):
        ledger = Ledger(Budget(100), charge_prompt=charge)
        with ledger.reserve("generator", tokens=8, prompt_tokens=30) as call:
            call.spend(tokens=4)
        assert ledger.left("tokens") == left and ledger.prompt_tokens == 30
        assert ledger.state()["prompt_tokens"] == 30
    with pytest.raises(BudgetExceeded):
        Ledger(Budget(30), charge_prompt=True).reserve("critic", tokens=1, prompt_tokens=30)


def test_a_call_that_raises_is_charged() -> None:
    ledger = Ledger(Budget(20))
    with pytest.raises(KeyError), ledger.reserve("generator", tokens=8):
        raise KeyError
    with pytest.raises(KeyError), ledger.reserve("critic", tokens=8) as call:
        call.spend(tokens=2)
        raise KeyError
    assert ledger.rows == [Row("generator", 8), Row("critic", 2)]
    assert ledger.left("tokens") == 10


def test_a_model_that_used_more_than_its_cap_is_charged_the_cap() -> None:
    ledger = Ledger(Budget(20))
    with pytest.raises(ValueError, match="9"), ledger.reserve("generator", tokens=8) as call:
        call.spend(tokens=9)
    assert ledger.spent["tokens"] == 8


@given(amount=st.integers(-(10**6), -1) | st.sampled_from([float("nan"), 1.5, "3", None]))
def test_amounts_that_are_no_counts_are_refused(amount: Any) -> None:
    ledger = Ledger(Budget(10, 10))
    for name in ("tokens", "tool_calls", "prompt_tokens"):
        with pytest.raises((TypeError, ValueError), match=name):
            ledger.reserve("generator", **{name: amount})
    for name in ("tokens", "tool_calls"):
        with pytest.raises((TypeError, ValueError), match=name), ledger.reserve("tool", 5, 5) as call:
            call.spend(**{name: amount})
    assert 0 <= ledger.left("tokens") <= 10 and 0 <= ledger.left("tool_calls") <= 10


def test_replayed_rows_are_booked_but_never_past_the_budget() -> None:
    ledger = Ledger(Budget(10, 2))
    ledger.add(Row("generator", 4))
    ledger.add(Row("tool", 0, 1))
    assert ledger.left("tokens") == 6 and ledger.left("tool_calls") == 1 and len(ledger.rows) == 2
    with pytest.raises(ValueError, match="tokens=7"):
        ledger.add(Row("generator", 7))
    assert ledger.spent["tokens"] == 4


def test_an_int_is_a_budget_of_tokens() -> None:
    assert Budget.of(7) == Budget(7, None) and Budget.of(Budget(1, 2)) == Budget(1, 2)
