"""What the reader builds in 02_the_critic is what the module has: equal results on random inputs."""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from bavt_minimal import Sample, Step, TreeNode
from bavt_minimal.critics import calibration
from bavt_minimal.critics.head import ResidualValuePredictor
from bavt_minimal.critics.path import path_residuals
from bavt_minimal.residual import residual

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "notebooks"), str(ROOT / "tests")]
BUILT: Any = importlib.import_module("exercises.critic")
CHANCES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@given(CHANCES, st.floats(0.1, 1), st.floats(0, 1), st.floats(1e-6, 0.1))
def test_values_are_those_of_the_tree(chances: list[float], v0: float, scale: float, v_min: float) -> None:
    node, found = TreeNode("", value=v0), []
    for chance in chances:
        node = node.add_child("", residual(chance, scale), v_min)
        found.append(node.value)
    assert BUILT.values(chances, v0, scale, v_min) == pytest.approx(found)


@given(CHANCES, st.floats(0.05, 1))
def test_products_of_chances_are_the_modules_path_residuals(chances: list[float], scale: float) -> None:
    """The notebook takes `np.cumprod` of the chances for what `path_residuals` does one step at a time."""
    said: tuple[float, ...] = ()
    for chance in chances:
        step = Step("Where?", "it", "A page.", "", Sample("x", 1, (-0.1,), True), False, residuals=said)
        said += tuple(path_residuals([chance], scale, [step]))
    assert said == pytest.approx([residual(p, scale) for p in np.cumprod(chances)], abs=1e-9)


@given(st.lists(st.tuples(st.integers(-6, 6), st.booleans()), min_size=2, max_size=40))
def test_auc_is_the_modules_and_scikit_learns(rows: list[tuple[int, bool]]) -> None:
    scores, right = np.array([a / 4 for a, _ in rows]), np.array([b for _, b in rows])
    if right.all() or not right.any():
        return
    assert BUILT.auc(scores, right) == pytest.approx(calibration.auc(scores, right))
    assert BUILT.auc(scores, right) == pytest.approx(roc_auc_score(right, scores))


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 9), st.integers(0, 99))
def test_the_predictor_is_the_modules(size: int, batch: int, seed: int) -> None:
    torch.manual_seed(seed)
    mine, theirs = BUILT.Predictor(size), ResidualValuePredictor(size)
    with torch.no_grad():
        for own, other in zip(mine.parameters(), theirs.parameters(), strict=True):
            own.copy_(other)
        states = torch.randn(batch, size) * 4
        assert mine(states).shape == (batch, 1)
        torch.testing.assert_close(mine(states), theirs(states))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40), st.integers(1, 12))
def test_the_reliability_diagram_is_the_modules(rows: list[tuple[float, bool]], bins: int) -> None:
    p, right = [a for a, _ in rows], [int(b) for _, b in rows]
    wanted = calibration.reliability(p, right, bins, by="width")
    assert [tuple(row) for row in BUILT.reliability(p, right, bins)] == [pytest.approx(row) for row in wanted]
