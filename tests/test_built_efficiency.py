"""What 05_efficiency builds gives the same as the module's functions, and its checks refuse what is nearly right."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bavt_minimal import Budget, ParallelChains
from bavt_minimal.benchmark import scores
from bavt_minimal.benchmark.faults import walk
from bavt_minimal.benchmark.simulator import QUESTION, Setting, World
from bavt_minimal.searcher import choose_answer
from bavt_minimal.tree import TreeNode

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "notebooks"), str(ROOT / "tests")]
checks, built = (importlib.import_module(f"{folder}.efficiency") for folder in ("checks", "exercises"))
ANSWERS = st.lists(st.sampled_from(["Rome", "rome.", "The Rome", "Oslo", "OSLO", "Bern", "an Oslo", ""]), min_size=1)
GRID = st.sampled_from([0.0, 1 / 3, 2 / 3, 1.0])
NAMES = st.sampled_from([f"q{number}" for number in range(30)])


@given(ANSWERS)
@settings(deadline=None)
def test_the_vote_built_is_the_modules(answers: list[str]) -> None:
    assert built.my_vote(answers) == choose_answer([TreeNode(text) for text in answers], "majority").text
    assert built.my_vote(answers) == checks.vote_of(answers)


@given(st.integers(0, 9_999), st.integers(0, 90))
@settings(max_examples=40, deadline=None)
def test_the_vote_built_is_that_of_the_chains(seed: int, tokens: int) -> None:
    world = World(Setting(p=0.4, wrong=3), seed)
    result = ParallelChains(world, None, Budget(tokens, tokens), world.page, seed=seed).search(QUESTION, 3, world.plan)
    answers = [node.text for node in walk(result.root) if node.terminal]
    if answers:
        assert built.my_vote(answers) == result.answer


@given(st.lists(st.lists(GRID, min_size=3, max_size=3), min_size=2, max_size=60), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_the_interval_built_is_the_modules(rows: list[list[float]], seed: int) -> None:
    right = np.array(rows)
    found = scores.intervals(scores.over_seeds(right)[:, None])[0]
    assert found is not None
    # Two samples of means: percentiles of 2,000 of them are this near, five standard errors and a step of the grid.
    near = 5 * 0.06 * right.mean(1).std() / len(right) ** 0.5 + 1 / (9 * len(right)) + 1e-9
    assert built.my_interval(right, np.random.default_rng(seed)) == pytest.approx(found[1:3], abs=near)


def rows_of(method: str, accuracies: dict[str, float]) -> list[dict[str, Any]]:
    return [
        {"method": method, "tokens": 64, "tool_calls": 16, "question": name, "seed": 0, "right": value}
        for name, value in accuracies.items()
    ]


@given(st.dictionaries(NAMES, GRID, min_size=20), st.dictionaries(NAMES, GRID, min_size=20))
@settings(max_examples=40, deadline=None)
def test_the_difference_built_is_the_modules(one: dict[str, float], other: dict[str, float]) -> None:
    cells = ("one", 64, 16), ("other", 64, 16)
    found = scores.difference([*rows_of("one", one), *rows_of("other", other)], *cells).interval
    value, *ends = built.my_difference(one, other, np.random.default_rng(0))
    gains = np.array([one[name] - other[name] for name in one.keys() & other.keys()])
    near = 5 * 0.06 * gains.std() / len(gains) ** 0.5 + 1 / (3 * len(gains)) + 1e-9
    assert value == pytest.approx(found.value)
    assert ends == pytest.approx(found[1:3], abs=near)
    assert found.n == len(gains)


CLAIMS = st.lists(st.tuples(st.floats(-1, 1).filter(bool), st.floats(0, 0.2)), min_size=1, max_size=8)


@given(CLAIMS)
@settings(deadline=None)
def test_the_verdicts_built_are_the_modules(family: list[tuple[float, float]]) -> None:
    """Of claims with these differences and p-values."""
    adjusted = scores.holm([p for _, p in family])
    cell = ("a", 1, 1)
    words = {scores.BETTER: "ahead", scores.WORSE: "behind", scores.SAME: "tie"}
    claims = [
        scores.Claim(cell, cell, scores.Difference(scores.Interval(value, 0, 0, 9), p, 1), float(each))
        for (value, p), each in zip(family, adjusted, strict=True)
    ]
    assert built.my_verdicts(family) == checks.verdicts_of(family) == [words[claim.verdict] for claim in claims]


def test_what_is_chosen_among_nothings_flatters_only_where_it_was_chosen() -> None:
    rng = np.random.default_rng(0)
    halves = np.array([built.my_choice(*(rng.random((2, 32, 60)) < 0.5)) for _ in range(300)]).mean(0)
    assert halves[0] > 0.6 and halves[1] == pytest.approx(0.5, abs=0.02)


def test_the_interval_check_takes_other_right_bootstraps() -> None:
    """Other draws, more of them, or drawn one by one."""

    def one_by_one(right: Any, rng: Any) -> Any:
        means = right.mean(1)
        return np.percentile([rng.choice(means, len(means)).mean() for _ in range(1000)], [2.5, 97.5])

    for seed in range(20):
        mine = lambda right, rng, seed=seed: built.my_interval(right, np.random.default_rng(seed))  # noqa: E731
        assert checks.check_interval(mine) == "Right."
    assert checks.check_interval(one_by_one) == "Right."


def test_the_difference_check_takes_other_right_bootstraps() -> None:
    for seed in range(20):
        mine = lambda one, other, rng, seed=seed: built.my_difference(one, other, np.random.default_rng(seed))  # noqa: E731
        assert checks.check_difference(mine) == "Right."


def test_no_check_hands_out_what_it_compares_with() -> None:
    """A reader's function that changes what it is given is not compared with the change."""

    def spoiling(right: Any, rng: Any) -> Any:
        found = built.my_interval(right, rng)
        right[:] = 0
        return found

    assert checks.check_interval(spoiling) == "Right."
    assert checks.check_interval(spoiling) == "Right."
