"""The tree of steps. It knows no policy, no model and no budget.

Field names are the implementation guide's. What is backed up: each new node adds its own value V, not its
residual, to `value_sum` of itself and of every ancestor, so `value_sum / visit_count` is the mean value below a node.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .checks import check_range


@dataclass(eq=False)
class TreeNode:
    """One step of reasoning: `text`, its place in the tree, and what the critic thought of it.

    >>> root = TreeNode("Where was Ada born?")
    >>> root.add_child("London", residual=0.25)
    TreeNode(id=0, text='London', V=0.750, residual=+0.250, visits=1, children=0)
    >>> root.visit_count, root.value_sum
    (1, 0.75)
    """

    text: str
    parent: TreeNode | None = None
    children: list[TreeNode] = field(default_factory=list)
    visit_count: int = 0
    value_sum: float = 0.0
    residual_value: float = 0.0  #: what this step added, in [-1, 1]
    value: float = 0.5  #: V, in [v_min, 1]
    expansions: int = 0  #: times that children were drawn from here
    copies: int = 1  #: how often this step was drawn
    terminal: bool = False  #: an answer
    id: int = 0
    state: Any = None  #: the search's own data

    @property
    def depth(self) -> int:
        """Steps from the root (0 at the root)."""
        return len(self.path()) - 1

    def path(self) -> list[TreeNode]:
        """Nodes from the root to this one.

        >>> child = TreeNode("question").add_child("London", residual=0.25)
        >>> [node.text for node in child.path()]
        ['question', 'London']
        """
        nodes = [self]
        while (parent := nodes[-1].parent) is not None:
            nodes.append(parent)
        return nodes[::-1]

    def add_child(self, text: str, residual: float, v_min: float = 0.05, **fields: Any) -> TreeNode:
        """Append a child with V = clip(V(parent) + residual, v_min, 1) (paper, "node value").

        Raises ValueError if `residual` is not in [-1, 1] or this node is an answer.

        >>> TreeNode("question").add_child("London", residual=0.75).value
        1.0
        """
        check_range("residual", residual, -1.0, 1.0)
        if self.terminal:
            raise ValueError(f"node {self.id} is an answer and takes no children")
        value = min(1.0, max(v_min, self.value + residual))
        child = TreeNode(text, parent=self, residual_value=float(residual), value=value, **fields)
        self.children.append(child)
        child.backup()
        return child

    def backup(self) -> None:
        """Add this node's V to the visit statistics of itself and of every ancestor."""
        for node in self.path():
            node.visit_count += 1
            node.value_sum += self.value

    def __repr__(self) -> str:
        numbers = f"V={self.value:.3f}, residual={self.residual_value:+.3f}, visits={self.visit_count}"
        return f"TreeNode(id={self.id}, text={self.text!r}, {numbers}, children={len(self.children)})"
