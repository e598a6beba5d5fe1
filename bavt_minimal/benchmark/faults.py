"""Why a wrong answer is wrong: the planning, the sampling, the critic, the selection, or the budget."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from ..searcher import SearchResult
from ..tasks.data import Gold, Question
from ..tasks.encyclopedia import RELATIONS
from ..tree import TreeNode
from .oracle import OracleCritic

FAULTS = ("planning", "never sampled", "critic", "selection", "budget")


def fault(result: SearchResult, question: Question, gold: Gold) -> str:
    """What a search that went wrong failed at, one of FAULTS."""
    if not result.plan:
        return "budget" if result.reason in ("tokens", "tool_calls") else "planning"
    if [relation_of(step) for step in result.plan] != [relation_of(step) for step in question.plan]:
        return "planning"
    good = [node for node in walk(result.root) if is_step(node) and on_path(node, gold)]
    if any(node.terminal for node in good):
        return "critic"  # it was there, and another was valued more
    planned = "planner" in result.trace.header and result.node is not result.root
    start = result.node.path()[1] if planned else result.root
    last = max(good, key=lambda node: node.depth, default=start)
    if last.expansions:
        return "never sampled"
    values = {node.id: node.value for node in walk(result.root)}
    known = last is result.root
    for event in result.trace.events:
        known |= event.kind == "added" and event.node == last.id
        if known and event.kind == "selected" and values[event.node] < last.value:
            return "selection"  # the right way on was valued more than what was drawn instead
    passed_over = any(value > last.value for id, value in values.items() if id != last.id)
    return "critic" if result.reason == "answered" or passed_over else "budget"


def is_step(node: TreeNode) -> bool:
    """The root is none, and neither is a plan."""
    return node.parent is not None and hasattr(node.state, "answers")


def on_path(node: TreeNode, gold: Gold) -> bool:
    """Whether a step and all before it are on the gold path."""
    return OracleCritic(gold.path).on_path(node.state)


@lru_cache(4096)  # every wrong answer asks for its plan's
def relation_of(step: str) -> set[tuple[str, str]]:
    """What a sub-question asks for, and of whom, in any wording."""
    asks = [(name, *ask.split("{}")) for name, relation in RELATIONS.items() for ask in relation.asks]
    return {(name, step[len(a) : -len(b)]) for name, a, b in asks if step.startswith(a) and step.endswith(b)}


def walk(node: TreeNode) -> Iterator[TreeNode]:
    """A node and all below it."""
    yield node
    for child in node.children:
        yield from walk(child)
