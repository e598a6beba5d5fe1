"""What happens when a node is expanded: read a page, draw steps, drop the worthless, judge the rest, add them.

The tree search and the chains it is compared with share this, so that both are metered alike.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .budget import BudgetExceeded, Ledger
from .critic import Critic
from .steps import Generator, Sample, Step, clean, normalize
from .trace import Event, Events, Trace
from .tree import TreeNode


@dataclass
class Expansion:
    """The state of one search: tree, ledger, trace, and what was read and drawn."""

    generator: Generator
    critic: Critic
    ledger: Ledger
    trace: Trace
    root: TreeNode
    v_min: float = 0.05
    prune_below: float = -1.0  # a step whose residual is not above this adds nothing
    unique: bool = True  # drop a step that a sibling already has
    nodes: list[TreeNode] = field(default_factory=list)
    closed: dict[int, str] = field(default_factory=dict)  # node id -> why it is not expanded again

    def __post_init__(self) -> None:
        self.nodes.append(self.root)

    @property
    def judge_tokens(self) -> int:
        """The most that judging one step generates."""
        return int(getattr(self.critic, "tokens_per_step", 0))

    @staticmethod
    def answers(node: TreeNode) -> list[str]:
        """The texts of the steps on the way to a node."""
        return [step.text for step in node.path()[1:]]

    def record(self, kind: str, node: TreeNode, **data: Any) -> Event:
        """An event that costs nothing."""
        return self.trace.record(kind, node.id, self.ledger, lambda: data)

    def is_open(self, node: TreeNode) -> bool:
        """Whether a node may be expanded: no answer, no failure, not known to cost more than is left."""
        return not node.terminal and node.id not in self.closed

    def fail(self, node: TreeNode, why: str) -> Event:
        """An expansion came to nothing. A node that costs more than is left is closed; a tool may be tried again."""
        if why in ("tokens", "tool_calls"):
            self.closed[node.id] = why
        return self.record("pruned", node, text=node.text, why=why)

    def expand(self, node: TreeNode, k: int, role: str = "", again: bool = False) -> Events:
        """Add up to `k` children to `node`, yielding events. `role`: who pays; `again`: pay for a known page too."""
        answers = self.answers(node)
        node.expansions += 1
        if again or self.generator.needs_tool(answers):
            event = self.trace.record("read", node.id, self.ledger, lambda: self._read(answers, role or "tool", again))
            yield event
            if "why" in event.data:
                yield self.fail(node, event.data["why"])
                return
            self.generator.pages[event.data["query"]] = event.data["page"]
        prompt = self.generator.prompt(answers, self.ledger)
        steps: list[Step] = []
        event = self.trace.record(
            "expanded",
            node.id,
            self.ledger,
            lambda: self._draw(answers, prompt, k, role or "generator", steps),
        )
        yield event
        if "why" in event.data:
            yield self.fail(node, event.data["why"])
            return
        steps = steps or self._replay(answers, prompt, event)
        counts: Counter[str] = Counter()
        fresh: list[Step] = []
        for step in steps:
            why = self._worthless(node, step, fresh)
            counts[normalize(step.text)] += self.unique and why in ("", "duplicate")
            if why:
                yield self.record("pruned", node, text=step.text, why=why)
            else:
                fresh.append(step)
        for child in node.children if self.unique else ():
            child.copies += counts[normalize(child.text)]
        if fresh:
            event = self.trace.record("scored", node.id, self.ledger, lambda: self._judge(fresh))
            yield event
            if "why" in event.data:
                yield self.fail(node, event.data["why"])
                return
            for step, residual in zip(fresh, event.data["residuals"], strict=True):
                yield from self._add(node, step, residual, counts[normalize(step.text)] or 1)

    def _read(self, answers: Sequence[str], role: str, again: bool) -> dict[str, Any]:
        query = self.generator.fill(answers)[1]
        try:
            return {"query": query, "page": self.generator.read(answers, self.ledger, role, again)}
        except BudgetExceeded as error:
            return {"query": query, "why": error.resource}
        except Exception as error:  # whatever the user's tool raises: the step is lost, not the search
            return {"query": query, "why": f"tool: {type(error).__name__}: {clean(error, 200)}"}

    def _draw(self, answers: Sequence[str], prompt: str, k: int, role: str, steps: list[Step]) -> dict[str, Any]:
        try:
            steps += self.generator.propose(answers, prompt, k, self.ledger, role, self.judge_tokens)
        except BudgetExceeded as error:
            return {"why": error.resource}
        samples = [step.sample for step in steps]
        return {
            "question": self.generator.fill(answers)[0],
            "steps": [[sample.text, sample.tokens, list(sample.logprobs), sample.finished] for sample in samples],
        }

    def _replay(self, answers: Sequence[str], prompt: str, event: Event) -> list[Step]:
        """The recorded steps, made again from the event (without hidden states)."""
        self.generator.draws[prompt] += len(event.data["steps"])
        return [
            self.generator.step(answers, prompt, Sample(text, tokens, tuple(logprobs), finished))
            for text, tokens, logprobs, finished in event.data["steps"]
        ]

    def _worthless(self, node: TreeNode, step: Step, siblings: Sequence[Step]) -> str:
        """Why a step adds nothing, or ""."""
        text = normalize(step.text)
        if not step.sample.finished:
            return "unfinished"
        if not text:
            return "empty"
        if text in {normalize(known) for known in (*step.answers, step.query)}:
            return "repeat"
        if self.unique and text in {normalize(other.text) for other in siblings} | {
            normalize(child.text) for child in node.children
        }:
            return "duplicate"
        return ""

    def _judge(self, steps: Sequence[Step]) -> dict[str, Any]:
        try:
            returned = self.critic(steps, self.ledger)
        except BudgetExceeded as error:
            return {"why": error.resource}
        try:
            residuals = [float(x) for x in returned]
        except (TypeError, ValueError, OverflowError) as error:
            raise TypeError(f"critic must return one number in [-1, 1] a step, got {returned!r}") from error
        if len(residuals) != len(steps):
            raise ValueError(f"critic must return one number a step: got {len(residuals)} for {len(steps)} steps")
        # JSON has no NaN: a residual that is no number is kept as null
        return {"residuals": [x if math.isfinite(x) else None for x in residuals]}

    def _add(self, node: TreeNode, step: Step, residual: float | None, copies: int) -> Events:
        if residual is None or not -1.0 <= residual <= 1.0:
            yield self.record("pruned", node, text=step.text, why=f"critic returned {residual}, not in [-1, 1]")
            return
        if residual <= self.prune_below:
            yield self.record("pruned", node, text=step.text, why="adds nothing")
            return
        child = node.add_child(
            step.text,
            residual,
            self.v_min,
            id=len(self.nodes),
            terminal=step.final,
            copies=copies,
            state=step,
        )
        self.nodes.append(child)
        data = {"parent": node.id, "text": child.text, "residual": residual, "value": child.value}
        yield self.record("added", child, **data, terminal=child.terminal)
        if child.terminal:
            yield self.record("answered", child, answer=child.text, value=child.value)
