"""Selection rules against exact rational arithmetic, closed forms and sampled frequencies."""

from __future__ import annotations

import math
from decimal import Decimal, getcontext
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from bavt_minimal import BudgetAware, BudgetAwareUCB, TreeNode, greedy, uniform
from bavt_minimal.selection import Selection, sample_index

getcontext().prec = 60
RULES: list[Selection] = [
    BudgetAware(),
    BudgetAware(decay=1.0),
    BudgetAware(schedule=lambda r: 2.0),
    BudgetAwareUCB(1.0, 100.0),
    BudgetAwareUCB(1.0, 100.0, scaled=True),
    greedy,
    uniform,
]
FRONTIER = st.lists(st.tuples(st.floats(0.05, 1), st.integers(0, 6)), min_size=1, max_size=8)


def paper(
    values: list[float], visits: list[int], r: float, alpha_max: float = 50.0, decay: str = "0.85"
) -> list[float]:
    """w = V^(1/r) * decay^visits in 60-digit decimals."""
    alpha = Decimal(alpha_max) if r == 0 else min(Decimal(alpha_max), 1 / Decimal(r))
    weights = [
        Decimal(v) ** alpha * Decimal(decay) ** n if v else Decimal(0) for v, n in zip(values, visits, strict=True)
    ]
    total = sum(weights)
    return [float(weight / total) if total else 1 / len(values) for weight in weights]


@given(FRONTIER, st.floats(0, 1))
def test_the_papers_rule_equals_decimal_arithmetic(frontier: list[tuple[float, int]], r: float) -> None:
    values, visits = [v for v, _ in frontier], [n for _, n in frontier]
    np.testing.assert_allclose(BudgetAware()(values, visits, r), paper(values, visits, r), rtol=1e-9, atol=1e-30)


@pytest.mark.parametrize(("r", "alpha"), [(1.0, 1), (0.5, 2), (0.25, 4), (0.125, 8), (0.0, 50), (0.001, 50)])
def test_the_papers_rule_in_exact_fractions(r: float, alpha: int) -> None:
    values = [Fraction(1, 2), Fraction(3, 4), Fraction(1, 4), Fraction(1)]
    weights = [value**alpha for value in values]
    expected = [float(weight / sum(weights)) for weight in weights]
    np.testing.assert_allclose(BudgetAware()([float(v) for v in values], [0] * 4, r), expected, rtol=1e-12)


def test_alpha_is_capped_and_continuous() -> None:
    rule = BudgetAware(alpha_max=20.0)
    assert rule.alpha(1.0) == 1.0 and rule.alpha(0.25) == 4.0
    assert rule.alpha(0.05) == rule.alpha(0.01) == rule.alpha(1e-300) == rule.alpha(0.0) == 20.0
    assert rule.alpha(0.0500001) == pytest.approx(20.0, rel=1e-4)


def test_a_schedule_of_ones_own() -> None:
    rule = BudgetAware(schedule=lambda r: 3.0)
    np.testing.assert_allclose(rule([0.5, 1.0], [0, 0], 0.1), [1 / 9, 8 / 9])
    assert BudgetAware(alpha_max=5, schedule=lambda r: 99.0).alpha(0.5) == 5


@pytest.mark.parametrize("exponent", [math.nan, -1.0, 0.0, None])
def test_a_schedule_that_makes_no_sense_is_refused(exponent: Any) -> None:
    with pytest.raises(ValueError, match="schedule"):
        BudgetAware(schedule=lambda r: exponent)([0.5, 1.0], [0, 0], 0.5)


@given(FRONTIER)
def test_the_limit_of_no_budget_is_greedy(frontier: list[tuple[float, int]]) -> None:
    values = [v for v, _ in frontier]
    top = max(values)
    if any(v != top and v > 0.99 * top for v in values):
        return
    p = BudgetAware(alpha_max=1e4)(values, [0] * len(values), 1e-4)
    np.testing.assert_allclose(p, greedy(values, [0] * len(values), 0.0), atol=1e-6)


@given(st.lists(st.floats(0.05, 1), min_size=2, max_size=6), st.floats(0.02, 0.99))
def test_less_budget_favors_the_best_node(values: list[float], r: float) -> None:
    best = int(np.argmax(values))
    rule, none = BudgetAware(), [0] * len(values)
    assert rule(values, none, r)[best] >= rule(values, none, 1.0)[best] - 1e-12


# What holds for every rule


@pytest.mark.parametrize("rule", RULES)
@given(frontier=FRONTIER, r=st.floats(0, 1), seed=st.integers(0, 99))
def test_a_distribution_that_does_not_depend_on_the_order(
    rule: Selection, frontier: list[tuple[float, int]], r: float, seed: int
) -> None:
    values, visits = np.array([v for v, _ in frontier]), np.array([n for _, n in frontier])
    p = rule(values, visits, r)
    assert p.shape == (len(frontier),) and (p >= 0).all() and math.isclose(p.sum(), 1.0, abs_tol=1e-9)
    order = np.random.default_rng(seed).permutation(len(frontier))
    np.testing.assert_allclose(rule(values[order], visits[order], r), p[order], atol=1e-9)


@pytest.mark.parametrize("rule", RULES)
def test_edges(rule: Selection) -> None:
    assert rule([0.3], [4], 0.0).tolist() == [1.0]  # one node, no budget
    for r in (0.0, 0.5, 1.0):
        np.testing.assert_allclose(rule([0.5] * 4, [1] * 4, r), [0.25] * 4)  # equal
        np.testing.assert_allclose(rule([0.0] * 3, [0] * 3, r), [1 / 3] * 3)  # all zero
        assert np.isfinite(rule([0.0, 0.5, 1.0], [3, 0, 1], r)).all()  # one zero
        assert np.isfinite(rule([0.05, 1.0], [10**6, 10**6], r)).all()  # worn out


@pytest.mark.parametrize("rule", [rule for rule in RULES if not isinstance(rule, BudgetAwareUCB)])
def test_a_million_nodes(rule: Selection) -> None:
    values = np.random.default_rng(0).uniform(0.05, 1, 10**6)
    p = rule(values, np.zeros(10**6), 0.01)
    assert p.shape == (10**6,) and math.isclose(p.sum(), 1.0, abs_tol=1e-9)
    assert 0 <= sample_index(p, 10**6, np.random.default_rng(1)) < 10**6


def test_ucb_on_a_hundred_thousand_nodes() -> None:
    p = BudgetAwareUCB(1.0, 100.0)(np.linspace(0.05, 1, 10**5), np.zeros(10**5), 0.5)
    assert p.argmax() == 10**5 - 1 and p.max() == 1.0


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("values", "visits", "r", "word"),
    [
        ([math.nan, 0.5], [0, 0], 0.5, "values"),
        ([math.inf, 0.5], [0, 0], 0.5, "values"),
        ([-0.1, 0.5], [0, 0], 0.5, "values"),
        ([0.5, 0.5], [0, math.nan], 0.5, "visits"),
        ([0.5, 0.5], [0, -1], 0.5, "visits"),
        ([0.5, 0.5], [0], 0.5, "visits"),
        ([], [], 0.5, "values"),
        ([[0.5]], [[0]], 0.5, "values"),
        ([0.5], [0], math.nan, "r must"),
        ([0.5], [0], -0.01, "r must"),
        ([0.5], [0], 1.01, "r must"),
    ],
)
def test_nonsense_is_refused(rule: Selection, values: Any, visits: Any, r: float, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        rule(values, visits, r)


@given(FRONTIER, st.floats(0.02, 1), st.integers(0, 7))
def test_more_visits_lower_a_nodes_chance(frontier: list[tuple[float, int]], r: float, index: int) -> None:
    values, visits = [v for v, _ in frontier], [n for _, n in frontier]
    more = [n + (i == index % len(visits)) for i, n in enumerate(visits)]
    at = index % len(visits)
    for rule in (BudgetAware(), greedy, BudgetAwareUCB(1.0, 50.0), BudgetAwareUCB(1.0, 50.0, scaled=True)):
        assert rule(values, more, r)[at] <= rule(values, visits, r)[at] + 1e-12


@pytest.mark.parametrize("r", [1.0, 0.3, 0.05])
def test_sampled_frequencies_follow_the_probabilities(r: float) -> None:
    values, visits, n = [0.9, 0.7, 0.8, 0.3, 0.5], [1, 0, 2, 0, 0], 20_000
    expected = np.array(paper(values, visits, r))
    rng = np.random.default_rng(7)
    p = BudgetAware()(values, visits, r)
    drawn = np.bincount([sample_index(p, 5, rng) for _ in range(n)], minlength=5)
    often = expected * n >= 5  # chi-square needs that many in each class
    observed = np.append(drawn[often], drawn[~often].sum())
    wanted = np.append(expected[often], expected[~often].sum()) * n
    keep = wanted > 1e-9
    assert observed[~keep].sum() <= 1
    assert chisquare(observed[keep], wanted[keep] * observed[keep].sum() / wanted[keep].sum()).pvalue > 1e-3


# The guide's UCB


def test_the_guides_formula_as_stated() -> None:
    score = BudgetAwareUCB(1.0).compute_ucb_score(3.0, 2, 100, 25)
    assert math.isclose(score, 1.5 + 0.04 * math.sqrt(math.log(101) / 2), rel_tol=1e-15)


@given(st.floats(0, 50), st.integers(1, 99), st.integers(1, 10**6), st.floats(0.001, 1), st.floats(0, 2))
def test_the_guides_formula_everywhere(total_value: float, visits: int, budget: int, share: float, c: float) -> None:
    left = share * budget
    root = math.sqrt(math.log1p(budget) / visits)
    score = BudgetAwareUCB(c).compute_ucb_score(total_value, visits, budget, left)
    assert score == pytest.approx(total_value / visits + c / left * root)
    score = BudgetAwareUCB(c, scaled=True).compute_ucb_score(total_value, visits, budget, left)
    assert score == pytest.approx(total_value / visits + c * left / budget * root)


def test_the_guides_bonus_grows_as_the_budget_goes_and_the_scaled_one_falls() -> None:
    left = [100, 75, 50, 25, 10, 1]
    guide = [BudgetAwareUCB(1.0).compute_ucb_score(1.0, 2, 100, n) for n in left]
    scaled = [BudgetAwareUCB(1.0, scaled=True).compute_ucb_score(1.0, 2, 100, n) for n in left]
    assert guide == sorted(guide) and len(set(guide)) == len(guide)
    assert scaled == sorted(scaled, reverse=True) and len(set(scaled)) == len(scaled)


def test_unvisited_and_spent() -> None:
    ucb = BudgetAwareUCB(1.0)
    assert ucb.compute_ucb_score(0.0, 0, 100, 50) == math.inf
    assert ucb.compute_ucb_score(1.0, 2, 100, 0) == math.inf
    assert BudgetAwareUCB(0.0).compute_ucb_score(1.0, 2, 100, 0) == 0.5
    assert BudgetAwareUCB(1.0, scaled=True).compute_ucb_score(1.0, 2, 100, 0) == 0.5


@pytest.mark.parametrize("scaled", [False, True])
def test_a_budget_of_zero_has_no_share_and_is_refused(scaled: bool) -> None:
    with pytest.raises(ValueError, match="total_budget"):
        BudgetAwareUCB(1.0, scaled=scaled).compute_ucb_score(1.0, 2, 0, 0)


def test_numpy_numbers_are_numbers() -> None:
    score = BudgetAwareUCB(1.0).compute_ucb_score(np.float32(3.0), np.int64(2), np.int64(100), np.float64(25))
    assert score == pytest.approx(1.5 + 0.04 * math.sqrt(math.log(101) / 2))
    assert BudgetAware()([0.5], [0], np.float32(0.5)).tolist() == [1.0]


def test_select_best_child_is_the_arg_max() -> None:
    root = TreeNode("root")
    for residual in (0.1, 0.4, -0.2):
        root.add_child("step", residual)
    root.children[0].add_child("below", 0.3)
    ucb = BudgetAwareUCB(1.0)
    scores = [c.value_sum / c.visit_count + 0.02 * math.sqrt(math.log(101) / c.visit_count) for c in root.children]
    assert ucb.select_best_child(root, 100, 50) is root.children[int(np.argmax(scores))]
    unvisited = TreeNode("new")
    root.children.append(unvisited)
    assert ucb.select_best_child(root, 100, 50) is unvisited
    with pytest.raises(ValueError, match="no children"):
        ucb.select_best_child(TreeNode("leaf"), 100, 50)


def test_as_a_rule_ucb_takes_the_highest_score() -> None:
    values, visits, r = [0.5, 0.9, 0.2], [0, 3, 0], 0.2
    for scaled in (False, True):
        weight = 0.2 if scaled else 1 / (0.2 * 10)
        scores = [v + weight * math.sqrt(math.log(11) / (n + 1)) for v, n in zip(values, visits, strict=True)]
        p = BudgetAwareUCB(1.0, 10.0, scaled=scaled)(values, visits, r)
        assert p.tolist() == [float(score == max(scores)) for score in scores]


def test_greedy_shares_ties_and_wears_out() -> None:
    assert greedy([0.5, 0.9, 0.9], [0, 0, 0], 1.0).tolist() == [0.0, 0.5, 0.5]
    assert greedy([0.5, 0.9, 0.1], [0, 3, 0], 1.0).tolist() == [0.0, 1.0, 0.0]  # 0.9 * 0.85^3 = 0.55
    assert greedy([0.5, 0.9, 0.1], [0, 4, 0], 1.0).tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "p", [[0.5, 0.6], [1.5, -0.5], [math.nan, 1.0], [1.0], [[0.5, 0.5]], None, [0.0, 0.0], "ab", [1j, 0], object()]
)
def test_a_rule_of_ones_own_must_return_a_distribution(p: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="selection"):
        sample_index(p, 2, np.random.default_rng(0))
