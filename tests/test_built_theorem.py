"""What the reader of 06_when_it_pays builds gives what the module gives."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bavt_minimal import BudgetAware
from bavt_minimal.benchmark.progress import Chances, Hop
from bavt_minimal.benchmark.simulator import PAPER, SCHEDULES, Setting, scheduled, simulate
from bavt_minimal.benchmark.theorem import expansions_needed, least_progress

sys.path.append(str(Path(__file__).parent))
built = importlib.import_module("exercises.pays")


@given(st.integers(1, 60), st.floats(1e-6, 1.0), st.floats(1e-9, 1.0))
def test_the_bound_is_the_modules(steps: int, p_min: float, eps: float) -> None:
    assert built.bound(steps, p_min, eps) == expansions_needed(steps, p_min, eps)


@given(st.integers(1, 8), st.integers(1, 20), st.integers(0, 20), st.floats(0.01, 0.9))
@settings(deadline=None)
def test_the_exact_quantile_is_the_modules(steps: int, right: int, wrong: int, eps: float) -> None:
    """The module multiplies chances of single expansions; scipy has a closed form."""
    known, p = Chances((Hop(right, right + wrong),) * steps, num_candidates=1), right / (right + wrong)
    found, below = known.quantile(eps), built.exact(steps, p, eps)
    if found != below:  # both sides of a chance that is 1 - eps but for rounding
        assert built.exact(steps, p, eps * (1 + 1e-9)) != built.exact(steps, p, eps * (1 - 1e-9))


@given(
    st.integers(1, 3), st.integers(1, 4), st.floats(0.05, 1.0), st.integers(1, 4), st.floats(0.5, 8), st.floats(0.01, 1)
)
def test_the_least_chance_is_the_modules(
    depth: int, wrong: int, p: float, k: int, alpha_max: float, v_min: float
) -> None:
    nodes, drawn = sum((wrong + 1) ** level for level in range(depth)), 1 - (1 - p) ** k
    found = built.least(v_min, alpha_max, nodes, drawn)
    assert found == pytest.approx(least_progress(Setting(depth=depth, wrong=wrong, p=p), k, alpha_max, v_min))


@given(st.floats(0.0, 1.0), st.lists(st.floats(0.05, 1.0), min_size=1, max_size=6))
def test_a_schedule_is_the_exponent_of_the_rule(r: float, values: list[float]) -> None:
    weights = np.array(values) ** built.schedule(r)
    assert BudgetAware(decay=1.0, schedule=built.schedule)(values, [0] * len(values), r) == pytest.approx(
        weights / weights.sum()
    )


def test_the_papers_schedule_given_as_a_function_is_the_default() -> None:
    methods = {"own": scheduled(lambda r: 1 / max(r, 1e-9)), PAPER: SCHEDULES[PAPER]}
    rows = simulate(Setting(depth=2, spread=0.3, tool_calls=10), methods, 15)
    assert [row[1:] for row in rows if row.method == "own"] == [row[1:] for row in rows if row.method == PAPER]


def test_the_honest_choice_by_hand() -> None:
    development = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1]], float)
    test = np.array([[1, 0, 0, 0], [0, 1, 1, 0], [1, 1, 1, 1]], float)
    row, gain, half = built.honest(development, test)  # row 2 is best on test, and is not taken
    assert (row, gain) == (1, 25.0)
    assert half == pytest.approx(1.96 * 100 * math.sqrt((1.25**2 + 2 * 0.75**2 + 0.25**2) / 3 / 4))
