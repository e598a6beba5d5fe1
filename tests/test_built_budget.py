"""What 01_budget_and_ledger builds does the same as the module, where both can do it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "notebooks"), str(ROOT / "tests")]

from checks.budget import NAMES, ROLES, play  # noqa: E402
from exercises.budget import MyLedger, RoleLedger, my_bill, my_call, my_ratio  # noqa: E402

from bavt_minimal import Budget, Ledger  # noqa: E402
from bavt_minimal.benchmark.simulator import METHODS, QUESTION, Setting, World  # noqa: E402

UNITS, CALLS, WHICH = st.integers(0, 12), st.integers(0, 3), st.integers(0, 9)
OPERATIONS = st.lists(
    st.tuples(st.just("open"), st.sampled_from(ROLES), UNITS, CALLS)
    | st.tuples(st.just("close"), WHICH, UNITS, CALLS, st.booleans())
    | st.tuples(st.just("lose"), WHICH)
    | st.tuples(st.just("release")),
    max_size=40,
)


@given(OPERATIONS, st.builds(Budget, st.integers(0, 60), st.integers(0, 8)), st.builds(Budget, UNITS, CALLS))
@settings(max_examples=300, deadline=None)
def test_the_ledger_built_does_what_the_modules_does(operations: list[Any], total: Budget, aside: Budget) -> None:
    assert play((RoleLedger, my_call, my_ratio), operations, total, aside) == ""


def test_the_game_sees_a_difference() -> None:
    class Generous(RoleLedger):
        def left(self, resource: str, role: str = "backstop") -> float:
            return MyLedger.left(self, resource, role)

    opened = [("open", "generator", 5, 0), ("close", 0, 2, 0, False)]
    assert play((RoleLedger, my_call, my_ratio), opened, Budget(9, 1), Budget(4, 0)) == ""
    assert "generator" in play((Generous, my_call, my_ratio), opened, Budget(9, 1), Budget(4, 0))
    assert "r is" in play((RoleLedger, my_call, lambda left, total: 1.0), opened, Budget(9, 1), Budget(4, 0))


@given(st.data())
@settings(deadline=None)
def test_the_ratio_built_is_the_modules(data: st.DataObject) -> None:
    given = {name: data.draw(st.none() | st.integers(0, 40)) for name in NAMES}
    ledger = Ledger(Budget(**given))
    used = {name: data.draw(st.integers(0, 40 if amount is None else amount)) for name, amount in given.items()}
    with ledger.reserve("generator", **used) as call:
        call.spend(**used)
    assert my_ratio({name: ledger.left(name) for name in NAMES}, given) == pytest.approx(ledger.ratio())


@given(st.sampled_from(sorted(METHODS)), st.integers(0, 60), st.integers(0, 9), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_the_bill_built_is_the_ledgers(method: str, tokens: int, calls: int, seed: int) -> None:
    world = World(Setting(spread=0.4, dead=0.2, tokens=tokens, tool_calls=calls), seed)
    result = METHODS[method](world).search(QUESTION, 3, world.plan)
    iterations, *bill = my_bill(result.trace.events)
    assert bill == [result.ledger.spent[name] for name in NAMES]
    assert iterations == sum(event.kind == "selected" for event in result.trace.events)
