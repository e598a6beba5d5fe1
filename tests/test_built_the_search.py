"""What 04_the_search builds, held against the module: the answers to its exercises are those of `exercises/`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bavt_minimal import BudgetAware
from bavt_minimal.benchmark.simulator import QUESTION, Setting, World, tree

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "notebooks"), str(ROOT / "tests")]
BUILT = importlib.import_module("exercises.the_search")
GIVEN = importlib.import_module("checks.the_search")
SETTINGS = st.builds(
    Setting,
    depth=st.integers(1, 4),
    p=st.sampled_from([0.2, 0.5, 0.9]),
    spread=st.sampled_from([0.0, 0.4]),
    wrong=st.integers(1, 4),
    tilt=st.sampled_from([0.3, 1.0]),
    dead=st.sampled_from([0.0, 0.5]),
    auc=st.sampled_from([0.7, 0.95, 1.0]),
    tokens_per_step=st.integers(1, 4),
    tokens=st.integers(0, 90),
    tool_calls=st.none() | st.integers(0, 9),
)


@settings(max_examples=150, deadline=None)
@given(SETTINGS, st.integers(0, 10**6), st.integers(1, 5))
def test_the_loop_is_the_modules(setting: Setting, seed: int, k: int) -> None:
    answer, why, state = BUILT.search(World(setting, seed), k)
    world = World(setting, seed)
    result = tree(world, num_candidates=k).search(QUESTION, setting.depth, world.plan)
    added = [event.data for event in result.trace.events if event.kind == "added"]
    assert [(node.text, node.residual_value, node.value, node.terminal) for node in state.nodes[1:]] == [
        (data["text"], data["residual"], data["value"], data["terminal"]) for data in added
    ]
    assert (answer, why) == (result.answer, result.reason)
    assert state.ledger.spent == result.ledger.spent
    assert state.ledger.rows == result.ledger.rows  # role by role, call by call


@settings(max_examples=60, deadline=None)
@given(SETTINGS, st.integers(0, 10**6), st.integers(1, 5))
def test_the_selection_has_the_modules_chances(setting: Setting, seed: int, k: int) -> None:
    chances: list[float] = []

    def select(state: Any, frontier: list[Any]) -> Any:
        node = BUILT.select(state, frontier)
        worth = [GIVEN.promise(state, each) for each in frontier]
        rule = BudgetAware()(worth, [each.expansions for each in frontier], state.ledger.ratio())
        chances.append(float(rule[frontier.index(node)]))
        return node

    BUILT.search(World(setting, seed), k, select=select)
    world = World(setting, seed)
    result = tree(world, num_candidates=k).search(QUESTION, setting.depth, world.plan)
    recorded = [event.data["chance"] for event in result.trace.events if event.kind == "selected"]
    np.testing.assert_allclose(chances, recorded)


@pytest.mark.parametrize("name", ["honest", "sure", "stops_at_gold", "picks_gold"])
def test_the_leak_test_knows_each_search(name: str) -> None:
    assert BUILT.leaks(getattr(GIVEN, name)) == name.endswith("gold")
