"""The tree against a fold over paths and a recount of everything below a node."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bavt_minimal.tree import TreeNode

RESIDUALS = st.floats(-1, 1)
# Each entry adds a node: below which of those there are (as a share), and with what residual.
GROWTH = st.lists(st.tuples(st.floats(0, 0.999), RESIDUALS), max_size=30)


def grow(growth: list[tuple[float, float]], v0: float = 0.5, v_min: float = 0.05) -> list[TreeNode]:
    nodes = [TreeNode("root", value=v0)]
    for share, residual in growth:
        nodes.append(nodes[int(share * len(nodes))].add_child(f"step {len(nodes)}", residual, v_min, id=len(nodes)))
    return nodes


def below(node: TreeNode) -> list[TreeNode]:
    return [node, *(each for child in node.children for each in below(child))]


@given(GROWTH, st.floats(0.1, 1), st.floats(0.01, 0.1))
def test_a_value_is_the_fold_of_the_residuals_on_its_path(
    growth: list[tuple[float, float]], v0: float, v_min: float
) -> None:
    for node in grow(growth, v0, v_min):
        steps = [each.residual_value for each in node.path()[1:]]
        assert node.value == reduce(lambda value, residual: sorted((v_min, value + residual, 1.0))[1], steps, v0)


@given(GROWTH)
def test_statistics_equal_a_recount(growth: list[tuple[float, float]]) -> None:
    nodes = grow(growth)
    for node in nodes:
        counted = [each for each in below(node) if each is not nodes[0]]
        assert node.visit_count == len(counted)
        assert node.value_sum == pytest.approx(sum(each.value for each in counted))


@given(GROWTH)
def test_paths_and_depths(growth: list[tuple[float, float]]) -> None:
    nodes = grow(growth)
    for node in nodes:
        path = node.path()
        assert path[0] is nodes[0] and path[-1] is node and node.depth == len(path) - 1
        assert all(child in parent.children for parent, child in pairwise(path))
    assert len(below(nodes[0])) == len(nodes) == len(growth) + 1


def test_the_value_stays_in_bounds() -> None:
    root = TreeNode("root", value=0.5)
    assert root.add_child("right", 1.0).value == 1.0
    assert root.add_child("wrong", -1.0, 0.05).value == 0.05
    assert root.add_child("wrong", -1.0, 0.2).value == 0.2


@pytest.mark.parametrize("residual", [1.0001, -1.0001, float("nan"), float("inf"), "x", None])
def test_a_residual_out_of_range_is_refused_and_leaves_the_tree_alone(residual: Any) -> None:
    root = TreeNode("root")
    with pytest.raises((TypeError, ValueError), match="residual"):
        root.add_child("step", residual)
    assert not root.children and root.visit_count == 0


def test_an_answer_takes_no_children() -> None:
    answer = TreeNode("root").add_child("the end", 0.1, terminal=True, id=7)
    with pytest.raises(ValueError, match="node 7 is an answer"):
        answer.add_child("more", 0.1)


def test_a_long_chain_is_no_problem() -> None:
    node = TreeNode("root")
    for _ in range(3000):
        node = node.add_child("step", 0.0)
    assert node.depth == 3000 and node.path()[0].visit_count == 3000


def test_the_repr_says_what_matters() -> None:
    text = repr(TreeNode("root", value=0.5).add_child("Rome", 0.25, id=3))
    assert "id=3" in text and "'Rome'" in text and "V=0.750" in text and "+0.250" in text
