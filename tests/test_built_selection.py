"""What a reader builds in 03_budget_aware_selection is what the module has: equal results on random inputs."""

import importlib
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bavt_minimal import BudgetAware, BudgetAwareUCB

sys.path.insert(0, str(Path(__file__).parent))
built = importlib.import_module("exercises.selection")
FRONTIER = st.lists(st.tuples(st.floats(1e-6, 1), st.integers(0, 30)), min_size=1, max_size=12)
SHARE, CONSTANT, TOKENS = st.floats(1e-3, 1), st.floats(0.01, 4), st.floats(1, 1e6)


@given(FRONTIER, st.floats(0, 1), st.floats(1, 1e4), st.floats(0.1, 1))
def test_the_papers_rule(frontier: list[tuple[float, int]], r: float, alpha_max: float, decay: float) -> None:
    values, visits = zip(*frontier, strict=True)
    found = built.budget_aware(values, visits, r, alpha_max, decay)
    np.testing.assert_allclose(found, BudgetAware(alpha_max, decay)(values, visits, r), rtol=1e-9, atol=1e-300)


def test_the_papers_rule_has_the_same_defaults() -> None:
    values, visits = [0.9, 0.7, 0.2], [2, 0, 1]
    for r in (0.0, 0.3, 1.0):
        np.testing.assert_allclose(built.budget_aware(values, visits, r), BudgetAware()(values, visits, r))


@given(st.floats(0.05, 1), st.floats(0.05, 1), st.floats(1.1, 1e6))
def test_the_share_for_odds(one: float, other: float, odds: float) -> None:
    better, worse = max(one, other), min(one, other)
    if better / worse < 1.001 or not 1e-5 < built.share(better, worse, odds) <= 1:
        return
    rule = BudgetAware(alpha_max=1e6, decay=1.0)
    chances = rule([better, worse], [0, 0], built.share(better, worse, odds))
    assert chances[0] / chances[1] == pytest.approx(odds, rel=1e-6)


@given(st.floats(0, 30), st.integers(0, 40), TOKENS, SHARE, CONSTANT)
def test_the_guides_score(value: float, visits: int, total: float, share: float, c: float) -> None:
    found = built.ucb_score(value, visits, total, share * total, c)
    assert found == pytest.approx(BudgetAwareUCB(c).compute_ucb_score(value, visits, total, share * total), rel=1e-12)


@given(FRONTIER, SHARE, CONSTANT, TOKENS, st.booleans())
def test_ucb_on_a_frontier(frontier: list[tuple[float, int]], r: float, c: float, total: float, scaled: bool) -> None:
    values, visits = zip(*frontier, strict=True)
    found, wanted = built.ucb_rule(values, visits, r, c, total, scaled), BudgetAwareUCB(c, total, scaled)
    weight = c * r if scaled else c / (r * total)
    scores = [v + weight * math.sqrt(math.log(total + 1) / (n + 1)) for v, n in frontier]
    near = np.isclose(scores, max(scores), rtol=1e-12)  # which of these is the highest is a matter of rounding
    assert found.sum() == pytest.approx(1.0) and (found[~near] == 0).all()
    if near.sum() == 1 or len(set(frontier)) == 1:
        np.testing.assert_allclose(found, wanted(values, visits, r))
