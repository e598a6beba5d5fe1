"""What 00_first_search builds, held against the module: the answers to its exercises are those of `exercises/`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bavt_minimal import Budget, BudgetAware, Ledger, TreeNode

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "notebooks"), str(ROOT / "tests")]
BUILT = importlib.import_module("exercises.first_search")


@given(st.lists(st.floats(-1, 1), max_size=12))
def test_values_along_a_path(residuals: list[float]) -> None:
    node = TreeNode("question")
    for residual in residuals:
        node = node.add_child("step", residual)
    assert BUILT.values(residuals) == [each.value for each in node.path()[1:]]


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.floats(0, 1), st.floats(0, 1))
def test_the_share_left(tokens: int, calls: int, one: float, other: float) -> None:
    ledger, spent = Ledger(Budget(tokens, calls)), {"tokens": int(tokens * one), "tool_calls": int(calls * other)}
    with ledger.reserve("generator", **spent) as call:
        call.spend(**spent)
    np.testing.assert_allclose(BUILT.ratio({"tokens": tokens, "tool_calls": calls}, spent), ledger.ratio(), atol=1e-12)


@given(st.lists(st.floats(0.05, 1), min_size=1, max_size=9), st.floats(0.02, 1))
def test_the_rule_without_decay(values: list[float], r: float) -> None:
    rule = BUILT.EXERCISES["check_selection"][0]
    np.testing.assert_allclose(rule(values, r), BudgetAware()(values, [0] * len(values), r), rtol=1e-9, atol=1e-300)
